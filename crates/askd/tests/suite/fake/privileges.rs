//! A server that is started as root: whom it becomes, and what it says when it must not or cannot.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use askd::settings::Settings;
use rustix::process::{Signal, geteuid};
use serde_json::{Value, json};

use crate::harness::{Folders, Program, UNPRIVILEGED, V1, fake_cli, give, launcher, place_program, unprivileged};

/// Whether these tests can become somebody; says so where they cannot.
fn is_root(test: &str) -> bool {
    if !geteuid().is_root() {
        // Past the harness, which shows nothing of a test that passes.
        let line = format!("NOT RUN: {test}: only root becomes another user\n");
        drop(std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()));
    }
    geteuid().is_root()
}

/// The programs where everybody can execute them, in `bin`.
fn furnish(folders: &Folders) {
    let bin = folders.root().join("bin");
    fs::create_dir(&bin).unwrap();
    fs::set_permissions(folders.root(), fs::Permissions::from_mode(0o755)).unwrap();
    for program in [launcher(), fake_cli()] {
        let there = bin.join(program.file_name().unwrap());
        place_program(&program, &there);
    }
}

/// Starts it without the word that lets root stay root.
fn start(folders: &Folders, variables: &[(&str, &str)]) -> Program {
    let cli = folders.root().join("bin/fake-claude").display().to_string();
    let usual = [("ASKD_ALLOW_ROOT", ""), ("ASKD_CLAUDE_BIN", cli.as_str())];
    #[expect(clippy::disallowed_methods, reason = "the program under test")]
    let command = Command::new(folders.root().join("bin/askd"));
    Program::start_by(command, folders, &[&usual, variables].concat())
}

/// What it says when it ends without having started.
async fn refusal(folders: &Folders, variables: &[(&str, &str)]) -> String {
    let mut program = start(folders, variables);
    assert_eq!(program.ended().await.code(), Some(1), "{}", program.log());
    program.log()
}

/// Folders with a workspace `shop`; those that are named belong to the user without rights.
fn folders(theirs: &[&str]) -> Folders {
    let folders = Folders::new();
    furnish(&folders);
    fs::create_dir(folders.workspace().join("shop")).unwrap();
    for name in theirs {
        give(&folders.root().join(name), UNPRIVILEGED);
    }
    folders
}

/// The lines of a process's status.
fn ids(status: &str) -> Vec<String> {
    let names = ["Uid:", "Gid:", "Groups:", "CapInh:", "CapPrm:", "CapEff:", "CapAmb:"];
    let lines = status.lines().filter(|line| names.iter().any(|name| line.starts_with(name)));
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

fn ids_of(uid: u32, gid: u32) -> Vec<String> {
    let none = "0000000000000000";
    let mut ids = vec![format!("Uid: {uid} {uid} {uid} {uid}"), format!("Gid: {gid} {gid} {gid} {gid}")];
    ids.push(format!("Groups: {gid}"));
    ids.extend(["CapInh", "CapPrm", "CapEff", "CapAmb"].map(|name| format!("{name}: {none}")));
    ids
}

/// As whom the server and a run of it work.
async fn works_as(program: &mut Program, uid: u32, gid: u32) {
    let client = V1::at(program.address().await);
    let status = fs::read_to_string(format!("/proc/{}/status", program.pid())).unwrap();
    assert_eq!(ids(&status), ids_of(uid, gid), "the server");
    let run = client.submit(&json!({"prompt": "!touch made\n!report", "cwd": "shop"})).await;
    let run = client.ended(&run).await;
    let report: Value = serde_json::from_str(run["result"].as_str().unwrap_or_else(|| panic!("{run}"))).unwrap();
    let status = report["status"].as_object().unwrap().iter();
    let status: Vec<_> = status.map(|(name, value)| format!("{name}: {}", value.as_str().unwrap())).collect();
    let mut expected = ids_of(uid, gid);
    let mut found = ids(&status.join("\n"));
    expected.sort();
    found.sort();
    assert_eq!(found, expected, "the run");
    assert_eq!(run["isolation"]["in_force"][0], "unprivileged_user", "{run}");
}

async fn stop(mut program: Program) {
    program.signal(Signal::TERM);
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_becomes_the_owner_of_the_workspaces_and_the_agents_with_it() {
    if !is_root("it_becomes_the_owner_of_the_workspaces") {
        return;
    }
    let folders = folders(&["workspace"]);
    let key = folders.root().join("key");
    fs::write(&key, Settings::TEST_API_KEY).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o400)).unwrap();
    fs::remove_dir(folders.data()).unwrap();
    let key = key.display().to_string();
    for isolation in ["off", "best_effort"] {
        // A secret that only root may read arrives.
        let variables = [("API_KEY", ""), ("API_KEY_FILE", key.as_str()), ("ASKD_ISOLATION", isolation)];
        let mut program = start(&folders, &variables);
        works_as(&mut program, UNPRIVILEGED, UNPRIVILEGED).await;
        let owner = |path: PathBuf| fs::metadata(path).unwrap().uid();
        assert_eq!(owner(folders.workspace().join("shop/made")), UNPRIVILEGED);
        assert_eq!(owner(folders.data()), UNPRIVILEGED, "the folder was made for it");
        assert_eq!(fs::metadata(folders.data()).unwrap().mode() & 0o777, 0o700);
        assert_eq!(owner(folders.config()), 0, "nothing else is given away");
        assert!(program.log().contains("started as root, and works as `nobody`"), "{}", program.log());
        stop(program).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_becomes_the_user_of_the_setting_by_name_or_number() {
    if !is_root("it_becomes_the_user_of_the_setting") {
        return;
    }
    for (run_as, uid, gid) in [("nobody", UNPRIVILEGED, UNPRIVILEGED), ("4711", 4711, 4711), ("4711:4712", 4711, 4712)]
    {
        let folders = folders(&[]);
        // Root's and empty: it is given away.
        fs::set_permissions(folders.data(), fs::Permissions::from_mode(0o700)).unwrap();
        chown(folders.workspace().join("shop"), Some(uid), Some(gid)).unwrap();
        // One workspace that it can write is enough. The setting wins over the word that lets root stay.
        let mut program = start(&folders, &[("ASKD_RUN_AS", run_as), ("ASKD_ALLOW_ROOT", "1")]);
        works_as(&mut program, uid, gid).await;
        stop(program).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_all_is_root_s_it_names_both_ways_out() {
    if !is_root("where_all_is_root_s_it_names_both_ways_out") {
        return;
    }
    let text = refusal(&folders(&[]), &[]).await;
    for part in ["ASKD_RUN_AS", "ASKD_ALLOW_ROOT=1", "WORKSPACE_DIR", "belongs to root"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_that_it_cannot_become_is_named() {
    if !is_root("a_user_that_it_cannot_become_is_named") {
        return;
    }
    for (run_as, part) in [
        ("root", "ASKD_RUN_AS names root"),
        ("0", "ASKD_RUN_AS names root"),
        ("no-such-user", "`no-such-user` is not in /etc/passwd; give the numbers, as UID:GID"),
    ] {
        let text = refusal(&folders(&["workspace"]), &[("ASKD_RUN_AS", run_as)]).await;
        assert!(text.contains(part), "{text}");
    }
    let folders = folders(&["workspace", "data"]);
    let mut program =
        Program::start_by(unprivileged(&folders.root().join("bin/askd")), &folders, &[("ASKD_RUN_AS", "daemon")]);
    assert_eq!(program.ended().await.code(), Some(1));
    assert!(program.log().contains("only root can become another user"), "{}", program.log());
}

/// Makes a folder unusable.
type Change = fn(&Folders);

/// Shuts a folder to everybody but root.
fn shut(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_user_cannot_use_is_named_with_what_to_do() {
    if !is_root("what_the_user_cannot_use_is_named") {
        return;
    }
    let table: [(&str, &str, &str, Change); 6] = [
        ("WORKSPACE_DIR", "workspace", "agents could write nothing there", |_| {}),
        ("WORKSPACE_DIR", "workspace", "cannot use WORKSPACE_DIR", |folders| {
            give(&folders.workspace().join("shop"), UNPRIVILEGED);
            shut(&folders.workspace());
        }),
        ("ASKD_DATA_DIR", "data", "chown -R", |folders| {
            give(&folders.workspace(), UNPRIVILEGED);
            folders.write("data/file", "");
        }),
        ("ASKD_DATA_DIR", "outer", "cannot use ASKD_DATA_DIR", |folders| {
            give(&folders.workspace(), UNPRIVILEGED);
            fs::remove_dir(folders.data()).unwrap();
            fs::create_dir_all(folders.root().join("outer/data")).unwrap();
            shut(&folders.root().join("outer"));
            std::os::unix::fs::symlink("outer/data", folders.data()).unwrap();
        }),
        ("CONFIG_DIR", "config", "let this user read it", |folders| {
            give(&folders.workspace(), UNPRIVILEGED);
            shut(&folders.config());
        }),
        ("the CLI", "own", "install it where this user may read it", |folders| {
            give(&folders.workspace(), UNPRIVILEGED);
            fs::create_dir(folders.root().join("own")).unwrap();
            fs::rename(folders.root().join("bin/fake-claude"), folders.root().join("own/claude")).unwrap();
            shut(&folders.root().join("own"));
            std::os::unix::fs::symlink("../own/claude", folders.root().join("bin/fake-claude")).unwrap();
        }),
    ];
    for (what, at_fault, part, change) in table {
        let folders = folders(&[]);
        change(&folders);
        let text = refusal(&folders, &[("ASKD_RUN_AS", "nobody")]).await;
        // A program is named itself, and then what is in the way.
        let setting = if what == "the CLI" {
            format!("{what} `{}`: ", folders.root().join("bin/fake-claude").display())
        } else {
            format!("{what} ")
        };
        let named = format!("{setting}`{}`", folders.root().join(at_fault).display());
        assert!(
            text.contains(&named) && text.contains(part) && text.contains("`nobody` (uid 65534"),
            "{named}: {text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_can_write_no_workspace_is_told_at_the_start() {
    if !is_root("whoever_can_write_no_workspace_is_told_at_the_start") {
        return;
    }
    for (theirs, is_told) in [(&["data"][..], true), (&["data", "workspace/shop"], false)] {
        let folders = folders(theirs);
        fs::set_permissions(folders.workspace(), fs::Permissions::from_mode(0o755)).unwrap();
        let cli = folders.root().join("bin/fake-claude").display().to_string();
        let command = unprivileged(&folders.root().join("bin/askd"));
        let program = Program::start_by(command, &folders, &[("ASKD_CLAUDE_BIN", &cli)]);
        program.address().await;
        let log = program.log();
        assert_eq!(log.contains("can write nothing in WORKSPACE_DIR"), is_told, "{log}");
        stop(program).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_made_behind_a_folder_that_the_user_cannot_enter() {
    if !is_root("nothing_is_made_behind_a_folder_that_the_user_cannot_enter") {
        return;
    }
    let folders = folders(&["workspace"]);
    let home = folders.root().join("home");
    fs::create_dir(&home).unwrap();
    shut(&home);
    let data = home.join(".local/share/askd").display().to_string();
    let text = refusal(&folders, &[("ASKD_DATA_DIR", &data)]).await;
    let named = format!("ASKD_DATA_DIR `{}`", home.display());
    assert!(text.contains(&named) && text.contains("name a folder that this user can reach"), "{text}");
    assert!(!text.contains("chown"), "root's home is not to be given away: {text}");
    assert_eq!(fs::read_dir(&home).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_something_else_is_unusable_the_data_folder_is_not_made() {
    if !is_root("where_something_else_is_unusable_the_data_folder_is_not_made") {
        return;
    }
    let folders = folders(&[]);
    fs::remove_dir(folders.data()).unwrap();
    let text = refusal(&folders, &[("ASKD_RUN_AS", "nobody")]).await;
    assert!(text.contains("agents could write nothing there") && !folders.data().exists(), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_that_are_asked_for_are_given_and_those_as_good_as_root_are_warned_of() {
    let test = "groups_that_are_asked_for_are_given";
    if !is_root(test) {
        return;
    }
    if !fs::read_to_string("/etc/group").unwrap_or_default().lines().any(|line| line.starts_with("disk:x:6:")) {
        drop(std::io::Write::write_all(&mut std::io::stderr(), format!("NOT RUN: {test}: no group disk\n").as_bytes()));
        return;
    }
    for (run_as, groups, is_warned_of) in [("nobody", "65534", false), ("nobody:65534,disk", "6 65534", true)] {
        let folders = folders(&["workspace", "data"]);
        let mut program = start(&folders, &[("ASKD_RUN_AS", run_as)]);
        let client = V1::at(program.address().await);
        let status = fs::read_to_string(format!("/proc/{}/status", program.pid())).unwrap();
        assert!(ids(&status).contains(&format!("Groups: {groups}")), "{run_as}: {status}");
        assert_eq!(
            program.log().contains("as good as root on many machines (disk)"),
            is_warned_of,
            "{}",
            program.log()
        );
        let report = client.get("/v1/isolation").await.body;
        assert_eq!(report["not_prevented"].to_string().contains("as good as root"), is_warned_of, "{report:#}");
        program.signal(Signal::TERM);
        program.ended().await;
    }
}
