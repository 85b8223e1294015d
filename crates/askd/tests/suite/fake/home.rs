//! What a run is given: a private home, an environment from an allow-list, and its key in neither.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{TestServer, TestServerBuilder};

const KEY: &str = "sk-ant-secret-of-the-operator";

/// What the CLI sees of itself.
async fn report(server: &TestServer, body: Value) -> Value {
    serde_json::from_str(server.ask(body).await.result()).unwrap()
}

fn keyed(builder: TestServerBuilder) -> TestServerBuilder {
    builder.set(|settings| settings.credentials.anthropic_api_key = Some(KEY.to_owned().into()))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_is_private_seeded_and_gone_afterwards() {
    let builder = TestServerBuilder::fake()
        .file("config/CLAUDE.md", "Be kind.")
        .file("config/skills/s/SKILL.md", "A skill.")
        .file("config/settings.json", r#"{"language":"French"}"#)
        .file("config/history.jsonl", "{}")
        .file("config/.claude.json", r#"{"oauthAccount":{}}"#);
    let server = builder.start().await;
    let run = server.ask_beside(&json!({"prompt": "!touch there\n!await go\n!report"}));
    server.reached("there").await;
    let homes = server.folders.list("data/homes");
    assert_eq!(homes.len(), 1);
    let home = server.folders.data().join("homes").join(&homes[0]);
    let config = home.join(".claude");
    for folder in [&server.folders.data().join("homes"), &home, &config, &home.join("tmp")] {
        assert_eq!(mode(folder), 0o700, "{}", folder.display());
    }
    assert_eq!(fs::read_to_string(config.join("CLAUDE.md")).unwrap(), "Be kind.");
    assert!(config.join("skills/s/SKILL.md").is_file() && config.join("settings.json").is_file());
    let state = fs::read_to_string(config.join(".claude.json")).unwrap();
    assert!(!config.join("history.jsonl").exists() && !state.contains("oauthAccount"), "{state}");
    server.release("go");

    let report: Value = serde_json::from_str(run.await.unwrap().result()).unwrap();
    let variable = |name: &str| Path::new(report["environment"][name].as_str().unwrap()).to_owned();
    assert_eq!(variable("HOME"), home);
    assert_eq!(variable("CLAUDE_CONFIG_DIR"), config);
    assert_eq!(variable("TMPDIR"), home.join("tmp"));
    for name in ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "CLAUDE_CODE_TMPDIR"] {
        assert!(variable(name).starts_with(&home), "{name}");
    }
    server.at_rest().await;
    assert!(!home.exists());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_is_neither_in_the_environment_nor_in_the_arguments() {
    let server = keyed(TestServerBuilder::fake()).start().await;
    let report = report(&server, json!({"prompt": "!report", "systemPrompt": "a secret system prompt"})).await;
    assert_eq!(report["key_source"], "CLAUDE_CODE_API_KEY_FILE_DESCRIPTOR");
    let descriptor = report["environment"]["CLAUDE_CODE_API_KEY_FILE_DESCRIPTOR"].as_str().unwrap();
    let open: Vec<_> = report["descriptors"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(open, ["0", "1", "2", descriptor], "nothing else of the server is inherited: {report:#}");
    let args = report["args"].to_string();
    assert!(!args.contains(KEY) && !args.contains("secret system prompt") && !args.contains("!report"), "{args}");
    assert_eq!(report["initialize"]["systemPrompt"], json!(["a secret system prompt"]));
    assert_eq!(report["status"]["NoNewPrivs"], "1");
    assert_eq!(report["status"]["Umask"], "0077");
    assert_eq!(report["status"]["SigBlk"], "0000000000000000");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cli_that_reads_no_descriptor_gets_its_key_by_variable() {
    let server = keyed(TestServerBuilder::fake_that("no-descriptor")).start().await;
    let report = report(&server, json!({"prompt": "!report"})).await;
    assert_eq!(report["key_source"], "ANTHROPIC_API_KEY");
    assert_eq!(report["environment"]["ANTHROPIC_API_KEY"], "[redacted]");
    assert_eq!(report["descriptors"].as_object().unwrap().len(), 3);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_cli_repeats_is_not_passed_on() {
    let server = keyed(TestServerBuilder::fake()).start().await;
    let blocks = server.stream(json!({"prompt": "!key"})).await.rest().await;
    let text = format!("{blocks:?}");
    assert!(text.contains("the key is [redacted]") && !text.contains(KEY), "{text}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_works_in_the_folder_that_was_asked_for() {
    let server = TestServerBuilder::fake().file("workspace/project/src/main.rs", "").start().await;
    let workspace = server.folders.workspace().canonicalize().unwrap();
    for (cwd, expected) in [("", "."), ("project", "project"), ("project/src", "project/src")] {
        let report = report(&server, json!({"prompt": "!report", "cwd": cwd})).await;
        assert_eq!(Path::new(report["cwd"].as_str().unwrap()), workspace.join(expected).canonicalize().unwrap());
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tool_rules_go_by_file_and_keep_agents_out_of_the_servers_folders() {
    let server = TestServerBuilder::fake().start().await;
    let report = report(&server, json!({"prompt": "!report", "allowedTools": "Bash(git status:*), Read"})).await;
    let rules = |kind: &str| report["settings"]["permissions"][kind].to_string();
    assert!(rules("allow").contains("Bash(git status:*)") && rules("allow").contains("\"Read\""), "{report:#}");
    for folder in [server.folders.config(), server.folders.data().join("sessions"), "/proc".into()] {
        assert!(rules("deny").contains(&format!("Read(/{}/**)", folder.display())), "{report:#}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_the_cli_would_ignore_stop_the_run() {
    let server = TestServerBuilder::fake().start().await;
    server.folders.write("config/settings.json", "{\"permissions\":\n{\"deny\": \"Bash\"}}");
    let answer = server.ask(json!({"prompt": "!touch never"})).await;
    assert_eq!((answer.status, answer.code()), (500, "RUN_FAILED"), "{answer:?}");
    assert!(answer.message().contains("`settings.json`"), "{answer:?}");
    assert!(answer.message().contains("line 2: `permissions.deny`: must be a list, not a text"), "{answer:?}");
    let root = server.folders.root().display().to_string();
    assert!(!answer.message().contains(&root), "no path of the server: {answer:?}");
    server.at_rest().await;
    assert!(!server.folders.workspace().join("never").exists());
    server.stop().await;
}
