//! What a run can see of the server: its environment and the command lines of all processes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use askd::settings::Settings;
use scripted_model::prompt::{text, tool, turns};
use serde_json::json;

use super::World;

/// What the server gives to a run whose operator passes nothing on.
const GIVEN: [&str; 29] = [
    "ANTHROPIC_BASE_URL",
    "ASKD_RUN_MARKER",
    "CLAUDE_AGENT_SDK_CLIENT_APP",
    "CLAUDE_CODE_DISABLE_AUTO_MEMORY",
    "CLAUDE_CODE_DISABLE_CRON",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
    "CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL",
    "CLAUDE_CODE_DISABLE_TERMINAL_TITLE",
    "CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS",
    "CLAUDE_CODE_MAX_RETRIES",
    "CLAUDE_CODE_PROJECT_DIR_NAME",
    "CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST",
    "CLAUDE_CODE_SIMPLE",
    "CLAUDE_CODE_STARTUP_FAILURE_RESULTS",
    "CLAUDE_CODE_TMPDIR",
    "CLAUDE_CONFIG_DIR",
    "DISABLE_AUTOUPDATER",
    "DISABLE_ERROR_REPORTING",
    "DISABLE_TELEMETRY",
    "DISABLE_UPDATES",
    "ENABLE_CLAUDEAI_MCP_SERVERS",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_KEY_0",
    "GIT_CONFIG_VALUE_0",
    "HOME",
    "TMPDIR",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
];

/// Given too, but also what every shell sets.
const GIVEN_AND_SHELL: [&str; 6] = ["PATH", "PWD", "SHELL", "SHLVL", "XDG_STATE_HOME", "_"];

/// What CLI 2.1.330 adds for its tools.
const ADDED_BY_THE_CLI: [&str; 15] = [
    "AI_AGENT",
    "CLAUDECODE",
    "CLAUDE_CODE_CHILD_NOTES_DIR",
    "CLAUDE_CODE_CHILD_SESSION",
    "CLAUDE_CODE_ENTRYPOINT",
    "CLAUDE_CODE_EXECPATH",
    "CLAUDE_CODE_MESSAGING_SOCKET",
    "CLAUDE_CODE_MESSAGING_TOKEN",
    "CLAUDE_CODE_SESSION_ATTENDED",
    "CLAUDE_CODE_SESSION_ID",
    "CLAUDE_EFFORT",
    "CLAUDE_PID",
    "COREPACK_ENABLE_AUTO_PIN",
    "GIT_EDITOR",
    "NoDefaultCurrentDirectoryInExePath",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_command_of_the_agent_sees_the_allowed_variables_only() {
    let world = World::with(|server| server.child_variable("GH_TOKEN", "passed on by the operator")).await;
    let input = json!({"command": "env -0 > seen", "description": "d"});
    let script = turns([tool("Bash", &input), text("end")]);
    assert_eq!(world.ask(json!({"prompt": script, "allowedTools": ["Bash"]})).await.result(), "end");

    let seen = fs::read_to_string(world.server.folders.workspace().join("seen")).unwrap();
    let variables: BTreeMap<&str, &str> = seen.split('\0').filter_map(|entry| entry.split_once('=')).collect();
    let allowed: BTreeSet<&str> =
        GIVEN.into_iter().chain(GIVEN_AND_SHELL).chain(ADDED_BY_THE_CLI).chain(["GH_TOKEN"]).collect();
    assert_eq!(variables.keys().copied().collect::<BTreeSet<_>>(), allowed);
    for secret in ["sk-test-key", Settings::TEST_API_KEY] {
        assert!(!seen.contains(secret), "{secret}");
    }
    // Everything that names a place names one in this run's own home, which is gone with the run.
    let home = Path::new(variables["HOME"]);
    assert!(home.starts_with(world.server.folders.data().join("homes")), "{}", home.display());
    for name in ["CLAUDE_CONFIG_DIR", "CLAUDE_CODE_TMPDIR", "TMPDIR", "XDG_CONFIG_HOME"] {
        assert!(Path::new(variables[name]).starts_with(home), "{name}: {}", variables[name]);
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_environment_and_no_command_line_of_a_run_holds_a_secret_or_a_text() {
    let world = World::new().await;
    let body = json!({"prompt": "a-prompt-in-private [[hang]]", "systemPrompt": "a-system-prompt-in-private",
        "jsonSchema": {"description": "a-schema-in-private"}, "allowedTools": ["Bash(a-rule-in-private:*)"]});
    let stream = world.server.stream(body).await;
    assert!(world.model_is_asked().await.system_text().contains("a-system-prompt-in-private"));
    let processes = world.server.processes();
    assert!(processes.len() >= 2, "the CLI and its guardian: {processes:?}");
    let mut seen = String::new();
    for pid in processes {
        for file in ["environ", "cmdline"] {
            // What the CLI has started for a moment may have ended.
            let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            seen += &String::from_utf8_lossy(&bytes);
        }
    }
    // What would be found if it were there.
    assert!(seen.contains("--permission-mode=") && seen.contains("ASKD_RUN_MARKER="), "{seen}");
    for secret in ["sk-test-key", Settings::TEST_API_KEY, "in-private"] {
        assert!(!seen.contains(secret), "{secret} in {seen}");
    }
    drop(stream);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_looks_everywhere_finds_no_key_of_askd() {
    let world = World::with(|server| server.file("config/settings.json", "{}")).await;
    let rule = serde_json::json!({"content": "A rule of the house."});
    assert_eq!(world.server.put("/config/rules/house", &rule).await.status, 201);
    // The key of the model is the CLI's own; askd's is nobody's.
    // In a file: the CLI's own rules would see what the command is about to read.
    let look = "env -0 > seen\ncat /proc/[0-9]*/environ /proc/[0-9]*/cmdline >> seen\n\
        find \"$HOME\" \"$CLAUDE_CONFIG_DIR\" /tmp /run -xdev -type f -size -4096k -exec cat {} + >> seen\ntrue\n";
    world.server.folders.write("workspace/look.sh", look);
    let script = turns([tool("Bash", &json!({"command": "sh look.sh", "description": "d"})), text("end")]);
    assert_eq!(world.ask(json!({"prompt": script, "allowedTools": ["Bash"]})).await.result(), "end");
    let seen = fs::read(world.server.folders.workspace().join("seen")).unwrap();
    let seen = String::from_utf8_lossy(&seen);
    // What would be found if it were there.
    for part in ["ASKD_RUN_MARKER=", "--permission-mode=", "A rule of the house."] {
        assert!(seen.contains(part), "{part}");
    }
    assert!(!seen.contains(Settings::TEST_API_KEY));
    world.stop().await;
}
