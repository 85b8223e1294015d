//! `askd doctor`: what it says is what a run then meets.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use askd::doctor::NAMES;
use askd::settings::Settings;
use rustix::process::geteuid;
use serde_json::{Value, json};

use crate::harness::{Folders, Program, UNPRIVILEGED, V1, eventually, fake_cli, launcher, place_program, unprivileged};

/// What the start itself says has its remedy in its own words.
const OF_THE_START: [&str; 7] = ["settings", "user", "executable", "cli", "workspace_dir", "config_dir", "data_dir"];

const WITHOUT_BWRAP: (&str, &str) = ("ASKD_BWRAP_BIN", "/nonexistent/bwrap");

/// `askd doctor` over these folders, which asks nobody outside.
fn doctor(command: Command, folders: &Folders, args: &[&str], variables: &[(&str, &str)]) -> Output {
    online_doctor(command, folders, &[&["--offline"], args].concat(), variables)
}

/// `askd doctor` as it is.
pub(super) fn online_doctor(
    mut command: Command,
    folders: &Folders,
    args: &[&str],
    variables: &[(&str, &str)],
) -> Output {
    let below = |folder: &str| folders.root().join(folder).into_os_string();
    command.arg("doctor").args(args).env_clear();
    command.envs([
        ("ASKD_LISTEN", "127.0.0.1:0".into()),
        ("API_KEY", Settings::TEST_API_KEY.into()),
        ("CONFIG_DIR", below("config")),
        ("WORKSPACE_DIR", below("workspace")),
        ("ASKD_DATA_DIR", below("data")),
        ("ASKD_CLAUDE_BIN", fake_cli().into_os_string()),
        ("ANTHROPIC_API_KEY", "sk-a-credential".into()),
        ("PATH", "/usr/local/bin:/usr/bin:/bin".into()),
        ("ASKD_ALLOW_ROOT", "1".into()),
    ]);
    for (name, value) in variables {
        if value.is_empty() {
            command.env_remove(name)
        } else {
            command.env(name, value)
        };
    }
    command.output().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "the program under test")]
pub(super) fn askd() -> Command {
    Command::new(launcher())
}

/// Its findings, and whether it ended with 0.
pub(super) fn diagnosis(output: &Output) -> (Value, bool) {
    let text = String::from_utf8_lossy(&output.stdout);
    let json: Value = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text}\n{}", String::from_utf8_lossy(&output.stderr)));
    for found in json["checks"].as_array().unwrap() {
        let name = found["name"].as_str().unwrap();
        assert!(NAMES.contains(&name), "docs/health.md says nothing of {name}");
        let has_remedy = found["hint"].is_string() || matches!(found["status"].as_str(), Some("ok" | "skip"));
        assert!(
            has_remedy || OF_THE_START.contains(&name) || name.starts_with("layer_"),
            "what is to be done? {found}"
        );
    }
    (json, output.status.success())
}

pub(super) fn check<'a>(diagnosis: &'a Value, name: &str) -> &'a Value {
    let mut checks = diagnosis["checks"].as_array().unwrap().iter();
    checks.find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name}: {diagnosis:#}"))
}

/// Whether these tests are root; says so where they are not.
fn is_root(test: &str) -> bool {
    if !geteuid().is_root() {
        // Past the harness, which shows nothing of a test that passes.
        let line = format!("NOT RUN: {test}: only root becomes another user\n");
        drop(std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()));
    }
    geteuid().is_root()
}

/// What a run does to find out: each attack, and the protection that stops it.
fn attacks(folders: &Folders, server: u32) -> Vec<(String, &'static str)> {
    let path = |below: &str| folders.root().join(below).display().to_string();
    vec![
        (format!("read {}", path("data/instance-id")), "private_files"),
        (format!("list {}", path("workspace/other")), "private_workspaces"),
        (format!("write {}", path("beside")), "read_only_system"),
        (format!("list /proc/{server}"), "pid_namespace"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_doctor_says_is_what_a_run_meets() {
    for (root, without_bwrap) in [(true, false), (true, true), (false, false), (false, true)] {
        if root && !is_root("what_the_doctor_says_is_what_a_run_meets, as root") {
            continue;
        }
        // Not below /tmp, of which a run may have one of its own.
        let folders = Folders::below(Path::new(env!("CARGO_TARGET_TMPDIR")));
        folders.write("workspace/own/file", "");
        folders.write("workspace/other/file", "");
        folders.give_to(if root { 0 } else { UNPRIVILEGED });
        let command = || if root { askd() } else { unprivileged(&launcher()) };
        let variables: Vec<_> =
            [("ASKD_ISOLATION", "best_effort")].into_iter().chain(without_bwrap.then_some(WITHOUT_BWRAP)).collect();
        let (said, _) = diagnosis(&doctor(command(), &folders, &["--json"], &variables));
        let case = format!("root: {root}, without bwrap: {without_bwrap}: {said:#}");

        let program = Program::start_by(command(), &folders, &variables);
        let client = V1::at(program.address().await);
        let report = client.get("/v1/isolation").await.body;
        for field in ["layer", "reason", "nested_namespaces", "not_prevented", "user", "limits"] {
            assert_eq!(said["isolation"][field], report[field], "{field}: {case}");
        }
        let in_force = report["in_force"].as_array().unwrap();
        let without_cgroup: Vec<_> =
            in_force.iter().filter(|word| !word.as_str().unwrap().starts_with("cgroup")).collect();
        assert_eq!(
            said["isolation"]["in_force"].as_array().unwrap().iter().collect::<Vec<_>>(),
            without_cgroup,
            "{case}"
        );
        if without_bwrap {
            assert_eq!(check(&said, "bubblewrap")["status"], "warn", "{case}");
            assert_ne!(report["layer"], "bubblewrap", "{case}");
        }

        let attacks = attacks(&folders, program.pid());
        let script: Vec<_> = attacks.iter().map(|(attack, _)| format!("!attack {attack}")).collect();
        let body = json!({"prompt": script.join("\n"), "cwd": "own"});
        let run = client.ended(&client.submit(&body).await).await;
        assert_eq!(run["isolation"]["in_force"], report["in_force"], "{case}");
        let outcomes: Value = serde_json::from_str(run["result"].as_str().unwrap_or_default())
            .unwrap_or_else(|error| panic!("{error}: {run:#}\n{}", program.log()));
        for ((attack, protection), outcome) in attacks.iter().zip(outcomes.as_array().unwrap()) {
            let is_said_to_be_stopped = in_force.contains(&json!(protection));
            assert_eq!(outcome["worked"], !is_said_to_be_stopped, "{attack}: {outcome}: {case}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_may_look_beside_a_server_and_leaves_nothing() {
    let folders = Folders::new();
    let program = Program::start(&folders, &[]);
    program.address().await;
    let before = folders.list("data");
    let (said, ok) = diagnosis(&doctor(askd(), &folders, &["--json"], &[]));
    assert!(ok && said["ok"] == true, "{said:#}");
    assert_eq!(folders.list("data"), before);
    // Those of other tests go as well.
    let of_a_doctor = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with("askd-doctor-");
    let there: Vec<_> = fs::read_dir("/tmp").unwrap().flatten().filter(of_a_doctor).map(|entry| entry.path()).collect();
    eventually("that its folder is gone", || there.iter().all(|folder| !folder.exists()).then_some(())).await;
}

#[test]
fn what_keeps_a_server_from_starting_is_a_failure_with_a_remedy() {
    for (variables, name, part) in [
        (vec![("API_KEY", "")], "api_key", "API_KEY_FILE"),
        (vec![("ASKD_CLAUDE_BIN", "/nonexistent/claude")], "cli", "npm install"),
        (vec![("ASKD_CLAUDE_BIN", "/bin/echo")], "cli", "ASKD_CLAUDE_BIN"),
        (vec![("WORKSPACE_DIR", "/nonexistent/workspace")], "workspace_dir", "WORKSPACE_DIR"),
        (vec![("CONFIG_DIR", "/etc/passwd")], "config_dir", "folder"),
        (vec![("ASKD_CGROUP", "/tmp")], "cgroup", "cgroup2"),
    ] {
        let (said, ok) = diagnosis(&doctor(askd(), &Folders::new(), &["--json"], &variables));
        let found = check(&said, name);
        assert!(!ok && found["status"] == "fail", "{said:#}");
        assert!(found["hint"].as_str().unwrap().contains(part), "{said:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_no_run_can_have_a_copy_of_is_a_failure_and_the_start_warns_of_it() {
    let deep = format!("config/hooks/{}check.sh", "deeper/".repeat(16));
    for (name, mode, part) in
        [(&*deep, 0o755, "deeper than 16 folders"), ("config/hooks/secret.sh", 0o000, "secret.sh`: Permission denied")]
    {
        let folders = Folders::new();
        folders.write(name, "exit 0");
        folders.give_to(UNPRIVILEGED);
        fs::set_permissions(folders.root().join(name), fs::Permissions::from_mode(mode)).unwrap();
        let (said, ok) = diagnosis(&doctor(unprivileged(&launcher()), &folders, &["--json"], &[]));
        let found = check(&said, "configuration");
        assert!(!ok && found["status"] == "fail", "{said:#}");
        assert!(found["message"].as_str().unwrap().contains(part), "{said:#}");
        assert!(found["hint"].as_str().unwrap().contains("ASKD_MAX_CONFIG"), "{said:#}");

        let program = Program::start_by(unprivileged(&launcher()), &folders, &[]);
        let client = V1::at(program.address().await);
        eventually("the warning of the start", || {
            let log = program.log();
            log.lines().any(|line| line.contains("no run can begin") && line.contains(part)).then_some(())
        })
        .await;
        let run = client.ended(&client.submit(&json!({"prompt": "Hi"})).await).await;
        assert!(run["error"]["message"].as_str().unwrap().contains("cannot be copied"), "{run:#}");
    }
}

#[test]
fn settings_that_cannot_be_read_are_findings_too() {
    let output = doctor(askd(), &Folders::new(), &["--json"], &[("MAX_CONCURRENT", "many")]);
    assert_eq!(output.status.code(), Some(2));
    let (said, _) = diagnosis(&output);
    assert!(check(&said, "settings")["message"].as_str().unwrap().contains("MAX_CONCURRENT"), "{said:#}");
}

#[test]
fn what_the_start_would_refuse_as_another_user_is_a_failure_in_its_words() {
    if !is_root("what_the_start_would_refuse_as_another_user") {
        return;
    }
    let look = |folders: &Folders, variables: &[(&str, &str)], name: &str| {
        let variables = [&[("ASKD_ALLOW_ROOT", "")], variables].concat();
        let (said, ok) = diagnosis(&doctor(askd(), folders, &["--json"], &variables));
        assert!(!ok, "{said:#}");
        let found = check(&said, name).clone();
        assert_eq!(found["status"], "fail", "{said:#}");
        found["message"].as_str().unwrap().to_owned()
    };
    let folders = Folders::new();
    folders.give_to(UNPRIVILEGED);
    fs::set_permissions(folders.workspace(), fs::Permissions::from_mode(0o755)).unwrap();
    let text = look(&folders, &[("ASKD_RUN_AS", "4711")], "workspace_dir");
    assert!(text.contains("agents could write nothing there"), "{text}");

    let own = folders.root().join("own");
    fs::create_dir(&own).unwrap();
    let cli = own.join("claude");
    place_program(&fake_cli(), &cli);
    std::os::unix::fs::chown(&own, Some(0), Some(0)).unwrap();
    fs::set_permissions(&own, fs::Permissions::from_mode(0o700)).unwrap();
    let variables = [("ASKD_CLAUDE_BIN", cli.to_str().unwrap())];
    let text = look(&folders, &variables, "cli");
    for path in [&cli, &own] {
        assert!(text.contains(&format!("`{}`", path.display())), "{text}");
    }
    let printed = doctor(askd(), &folders, &[], &[&[("ASKD_ALLOW_ROOT", "")], &variables[..]].concat());
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert!(printed.contains("Mend what says FAIL first: "), "{printed}");
    assert!(!printed.contains("\nIn force for a run"), "{printed}");
}

#[test]
fn a_secret_beside_what_runs_need_is_named() {
    let folders = Folders::below(Path::new(env!("CARGO_TARGET_TMPDIR")));
    folders.write("bin/key", Settings::TEST_API_KEY);
    folders.write("keys/key", Settings::TEST_API_KEY);
    let cli = folders.root().join("bin/fake-claude");
    place_program(&fake_cli(), &cli);
    let path = |name: &str| folders.root().join(name).to_str().unwrap().to_owned();
    let said = |key: &str| {
        let variables = [("ASKD_CLAUDE_BIN", &*path("bin/fake-claude")), ("API_KEY", ""), ("API_KEY_FILE", &path(key))];
        diagnosis(&doctor(askd(), &folders, &["--json"], &variables)).0
    };
    let beside = said("bin/key");
    let found = check(&beside, "secret_files");
    assert!(found["status"] == "warn" && found["message"].as_str().unwrap().contains("bin/key"), "{beside:#}");
    if beside["isolation"]["layer"] == "bubblewrap" {
        assert!(beside["isolation"]["not_prevented"].to_string().contains("a folder of their own"), "{beside:#}");
    }
    let apart = said("keys/key");
    assert!(!apart["checks"].as_array().unwrap().iter().any(|check| check["name"] == "secret_files"), "{apart:#}");
}

#[test]
fn whether_runs_with_secrets_can_wait_is_told() {
    for (key, part) in
        [("", "ASKD_SECRET_KEY is not set"), ("mDCn5sWfUOeCkWlFJOHv3YIcZBb2TBbzYBdqTfXbhyQ=", "ASKD_SECRET_KEY is set")]
    {
        let (said, _) = diagnosis(&doctor(askd(), &Folders::new(), &["--json"], &[("ASKD_SECRET_KEY", key)]));
        let found = check(&said, "secret_key");
        assert!(found["status"] == "ok" && found["message"].as_str().unwrap().contains(part), "{said:#}");
        assert_eq!(found["hint"].is_string(), key.is_empty(), "{said:#}");
    }
}

#[test]
fn a_credential_is_told_by_its_kind_and_never_itself() {
    let folders = Folders::new();
    let kind = |variables: &[(&str, &str)]| {
        let output = doctor(askd(), &folders, &[], variables);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!text.contains("sk-a-credential"), "{text}");
        text.lines().find(|line| line.contains(" credential ")).unwrap().to_owned()
    };
    assert!(kind(&[]).contains("ok    credential             ANTHROPIC_API_KEY is set"));
    let token = kind(&[("ANTHROPIC_API_KEY", ""), ("CLAUDE_CODE_OAUTH_TOKEN", "sk-a-credential")]);
    assert!(token.starts_with("warn") && token.contains("one person's token"), "{token}");
    assert!(kind(&[("ANTHROPIC_API_KEY", "")]).contains("no credential"));
    folders.write("config/.credentials.json", r#"{"claudeAiOauth":{"accessToken":"sk-a-credential"}}"#);
    let login = kind(&[("ANTHROPIC_API_KEY", "")]);
    assert!(login.starts_with("warn") && login.contains("do not serve others with it"), "{login}");
}

#[test]
fn as_root_it_looks_as_the_user_that_the_server_would_become() {
    if !is_root("as_root_it_looks_as_the_user_that_the_server_would_become") {
        return;
    }
    let folders = Folders::new();
    folders.give_to(UNPRIVILEGED);
    let (said, ok) = diagnosis(&doctor(askd(), &folders, &["--json"], &[("ASKD_ALLOW_ROOT", "")]));
    assert!(ok, "{said:#}");
    assert_eq!(said["isolation"]["user"]["uid"], UNPRIVILEGED);
    assert!(check(&said, "user")["message"].as_str().unwrap().contains("become"), "{said:#}");

    folders.give_to(0);
    let (said, ok) = diagnosis(&doctor(askd(), &folders, &["--json"], &[("ASKD_ALLOW_ROOT", "")]));
    assert!(!ok);
    assert!(check(&said, "user")["message"].as_str().unwrap().contains("ASKD_RUN_AS"), "{said:#}");
    let (said, _) = diagnosis(&doctor(askd(), &folders, &["--json"], &[]));
    assert_eq!(check(&said, "user")["status"], "warn", "{said:#}");
}

#[test]
fn a_data_folder_that_root_could_make_and_the_user_not_reach_is_a_failure() {
    if !is_root("a_data_folder_that_root_could_make_and_the_user_not_reach") {
        return;
    }
    let folders = Folders::new();
    folders.give_to(UNPRIVILEGED);
    let home = folders.root().join("home");
    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
    let look = |data: &Path| {
        let variables = [("ASKD_ALLOW_ROOT", ""), ("ASKD_DATA_DIR", data.to_str().unwrap())];
        let (said, ok) = diagnosis(&doctor(askd(), &folders, &["--json"], &variables));
        let found = check(&said, "data_dir").clone();
        (found, ok)
    };
    let (found, ok) = look(&home.join(".local/share/askd"));
    assert!(!ok && found["status"] == "fail", "{found:#}");
    let words = found.to_string();
    assert!(words.contains("ASKD_DATA_DIR") && words.contains("can reach"), "{words}");
    // In a folder of the user's root makes nothing, since a link put there would decide what is given away.
    std::os::unix::fs::chown(&home, Some(UNPRIVILEGED), None).unwrap();
    let (found, _) = look(&home.join("absent"));
    assert!(!found["message"].as_str().unwrap().contains("by root"), "{found:#}");
}

#[test]
fn groups_as_good_as_root_are_a_warning_and_what_a_layer_costs_is_told() {
    let test = "groups_as_good_as_root_are_a_warning";
    if !is_root(test) {
        return;
    }
    let folders = Folders::new();
    folders.give_to(UNPRIVILEGED);
    let variables = [("ASKD_ALLOW_ROOT", ""), ("ASKD_RUN_AS", "65534:65534,6"), WITHOUT_BWRAP];
    let (said, _) = diagnosis(&doctor(askd(), &folders, &["--json"], &variables));
    if fs::read_to_string("/etc/group").unwrap_or_default().lines().any(|line| line.starts_with("disk:x:6:")) {
        let found = check(&said, "groups");
        assert!(found["status"] == "warn" && found["message"].as_str().unwrap().contains("disk"), "{found:#}");
    }
    let costs = said["isolation"]["costs"].as_array().unwrap();
    assert_eq!(costs.is_empty(), said["isolation"]["layer"] == "none", "{said:#}");
    let printed = String::from_utf8(doctor(askd(), &folders, &[], &variables).stdout).unwrap();
    for cost in costs {
        assert!(printed.contains(cost.as_str().unwrap()), "{printed}");
    }
}
