//! What of the server's own the CLI and the log get to see.

use askd::settings::Settings;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Folders, Program};

#[tokio::test(flavor = "multi_thread")]
async fn of_the_servers_environment_the_cli_gets_an_allow_list() {
    let folders = Folders::new();
    let key = "sk-ant-secret-of-the-operator";
    let program = Program::start(
        &folders,
        &[
            ("ANTHROPIC_API_KEY", key),
            ("ASKD_CHILD_ENV", "GH_TOKEN"),
            ("GH_TOKEN", "for the agent"),
            ("TZ", "Europe/Berlin"),
            ("DATABASE_PASSWORD", "not for the agent"),
            ("AWS_ACCESS_KEY", "not for the agent"),
            ("ANTHROPIC_LOG", "not for the agent"),
            ("CLAUDECODE", "1"),
            ("CLAUDE_CODE_FOO_SERVICE_HOST", "not for the agent"),
            ("KUBERNETES_SERVICE_HOST", "not for the agent"),
            ("LD_LIBRARY_PATH", "not for the agent"),
            ("NODE_OPTIONS", "not for the agent"),
        ],
    );
    let answer = program.ask(&json!({"prompt": "!report"})).await;
    let report: Value = serde_json::from_str(answer.result()).unwrap();
    let environment = report["environment"].as_object().unwrap();
    // The agent has the token; whoever reads its answer has not.
    assert_eq!((&environment["GH_TOKEN"], &environment["TZ"]), (&json!("[redacted]"), &json!("Europe/Berlin")));
    assert!(!answer.body.to_string().contains(key), "the key goes through a pipe");
    let names: Vec<_> = environment.keys().map(String::as_str).collect();
    insta::assert_snapshot!(names.join("\n"), @r"
    ASKD_RUN_MARKER
    CLAUDE_AGENT_SDK_CLIENT_APP
    CLAUDE_CODE_API_KEY_FILE_DESCRIPTOR
    CLAUDE_CODE_DISABLE_AUTO_MEMORY
    CLAUDE_CODE_DISABLE_CRON
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC
    CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL
    CLAUDE_CODE_DISABLE_TERMINAL_TITLE
    CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS
    CLAUDE_CODE_PROJECT_DIR_NAME
    CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST
    CLAUDE_CODE_STARTUP_FAILURE_RESULTS
    CLAUDE_CODE_TMPDIR
    CLAUDE_CONFIG_DIR
    DISABLE_AUTOUPDATER
    DISABLE_ERROR_REPORTING
    DISABLE_TELEMETRY
    DISABLE_UPDATES
    ENABLE_CLAUDEAI_MCP_SERVERS
    GH_TOKEN
    GIT_CONFIG_COUNT
    GIT_CONFIG_KEY_0
    GIT_CONFIG_VALUE_0
    HOME
    PATH
    TMPDIR
    TZ
    XDG_CACHE_HOME
    XDG_CONFIG_HOME
    XDG_DATA_HOME
    XDG_STATE_HOME
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_reaches_the_log() {
    let folders = Folders::new();
    let key = "sk-ant-secret-of-the-operator";
    let mut program = Program::start(&folders, &[("ANTHROPIC_API_KEY", key), ("ASKD_LOG", "trace")]);
    for prompt in ["!key\n!key stderr\n!result a secret answer", "!stderr 10m\n!key stderr\n!exit 1"] {
        program.ask(&json!({"prompt": prompt, "systemPrompt": "a secret prompt"})).await;
    }
    program.signal(Signal::TERM);
    program.ended().await;
    let log = program.log();
    assert!(log.contains("the key is [redacted]"), "what the CLI said before it died is logged: {log:.5000}");
    for secret in [key, Settings::TEST_API_KEY, "secret prompt", "secret answer"] {
        assert!(!log.contains(secret), "{secret}: {log:.5000}");
    }
}
