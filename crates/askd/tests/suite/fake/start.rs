//! When a server starts, and what it says when it does not.

use serde_json::json;

use crate::harness::{Folders, Program, TestServerBuilder, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_cli_that_is_too_old_or_none_at_all_is_refused() {
    for (options, part) in [
        ("version 2.1.260 (Claude Code)", "too old"),
        ("version 1.0.0 (Claude Code)", "needs 2.1.261 or newer"),
        ("version usage: something", "is no version"),
        ("version ", "is no version"),
    ] {
        let (error, folders) = TestServerBuilder::fake_that(options).try_start().await.err().expect(options);
        assert!(error.to_string().contains(part), "{options}: {error}");
        assert_eq!(folders.list("data/homes"), [""; 0]);
    }
    TestServerBuilder::fake_that("version 2.1.261 (Claude Code)").start().await.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn configuration_with_which_rules_would_be_lost_is_refused_with_file_line_and_field() {
    for (file, text, part) in [
        (
            "settings.json",
            "{\n\"permissions\": {\"deny\": \"Bash\"}}",
            "line 2: `permissions.deny`: must be a list, not a text",
        ),
        (
            "settings.json",
            "{\"permissions\": {\"deny\": [\"bash(x)\"]}}",
            "line 1: `permissions.deny[0]`: never matches",
        ),
        ("settings.json", "{\n\"model\": 5 }", "line 2: `model`: must be a text, not a number"),
        ("settings.json", "{ // why\n}", "line 1: is not valid JSON"),
        ("askd-policy.json", "{", "line 1"),
        (".mcp.json", "[]", "line 1"),
    ] {
        let server = TestServerBuilder::fake().file(&format!("config/{file}"), text);
        let (error, folders) = server.try_start().await.err().expect(text);
        let error = error.to_string();
        assert!(error.contains(&format!("`{file}`")) && error.contains(part), "{text}: {error}");
        assert!(!error.contains(&folders.root().display().to_string()), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_cli_only_skips_is_a_line_of_the_log() {
    let folders = Folders::new();
    folders.write("config/agents/half.md", "---\nname: half\n---\n");
    folders.write("config/settings.json", "{\"themes\": 1}");
    let program = Program::start(&folders, &[]);
    program.address().await;
    for part in [
        "agents/half.md: line 1: `description`: is missing",
        "settings.json: line 1: `themes`: is no key",
        "did you mean `theme`?",
    ] {
        eventually(part, || program.log().contains(part).then_some(())).await;
    }
}

/// Starts with these variables; gives the exit code and what was written.
async fn refused(variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let folders = Folders::new();
    let mut program = Program::start(&folders, variables);
    let code = program.ended().await.code();
    (code, program.log())
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_settings_are_all_named_with_their_origin() {
    let (code, text) = refused(&[("API_KEY", ""), ("MAX_CONCURRENT", "many"), ("ASKD_HEARTBEET", "1s")]).await;
    assert_eq!(code, Some(2), "{text}");
    for part in ["API_KEY", "MAX_CONCURRENT", "many", "ASKD_HEARTBEET", "ASKD_HEARTBEAT"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_cannot_work_says_what_to_do() {
    for (variables, part) in [
        (vec![("ASKD_CLAUDE_BIN", "/nonexistent/claude")], "ASKD_CLAUDE_BIN"),
        (vec![("ASKD_CLAUDE_BIN", "/bin/echo")], "is no version"),
        (vec![("ASKD_CLAUDE_BIN", "/bin/false")], "exit code 1"),
        (vec![("WORKSPACE_DIR", "/nonexistent/workspace")], "WORKSPACE_DIR"),
        (vec![("ASKD_LISTEN", "192.0.2.1:1")], "ASKD_LISTEN"),
        (vec![("ASKD_CGROUP", "/nonexistent/cgroup")], "the folder of ASKD_CGROUP cannot be used"),
        (vec![("ASKD_CGROUP", "/tmp")], "of the cgroup2 file system"),
    ] {
        let (code, text) = refused(&variables).await;
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_and_has_no_effect_is_warned_of() {
    let folders = Folders::new();
    let home = folders.workspace().join("home");
    std::fs::create_dir(&home).unwrap();
    let home = home.display().to_string();
    let variables = [
        ("ASKD_CGROUP", "off"),
        ("ASKD_MAX_CPU_PERCENT", "50"),
        ("ASKD_ISOLATION", "best_effort"),
        ("ASKD_BWRAP_BIN", "/etc/passwd"),
        ("HOME", home.as_str()),
    ];
    let program = Program::start(&folders, &variables);
    program.address().await;
    let in_workspaces = format!("the home `{home}` of the server's user lies in WORKSPACE_DIR");
    for part in ["ASKD_MAX_CPU_PERCENT is not kept", "ASKD_BWRAP_BIN `/etc/passwd` is no file", &in_workspaces] {
        assert!(program.log().contains(part), "{part}: {}", program.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_data_folder_serves_one_server() {
    let folders = Folders::new();
    let first = Program::start(&folders, &[]);
    let run = first.ask_beside(&json!({"prompt": "!touch there\n!await go\n!result fine"})).await;
    eventually("the run", || folders.workspace().join("there").exists().then_some(())).await;
    let mut second = Program::start(&folders, &[]);
    assert_eq!(second.ended().await.code(), Some(1));
    let holder = format!("another askd (process {}) works in ASKD_DATA_DIR", first.pid());
    assert!(second.log().contains(&holder), "{}", second.log());
    // It has not taken the first one's run for a leftover.
    folders.write("workspace/go", "");
    assert_eq!(run.await.unwrap().result(), "fine");
}

#[tokio::test(flavor = "multi_thread")]
async fn root_needs_a_word_from_the_operator() {
    let folders = Folders::new();
    let mut program = Program::start(&folders, &[("ASKD_ALLOW_ROOT", "")]);
    if rustix::process::geteuid().is_root() {
        assert_eq!(program.ended().await.code(), Some(1));
        assert!(program.log().contains("ASKD_ALLOW_ROOT=1"), "{}", program.log());
    } else {
        program.address().await;
    }
}
