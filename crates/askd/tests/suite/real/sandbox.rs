//! The CLI's own sandbox inside of a layer, and what a layer holds back when the CLI's rules hold back nothing.
//!
//! The CLI makes its sandbox by bubblewrap, socat and ripgrep, so it needs namespaces: inside of askd's bubblewrap there
//! are some, and inside of Landlock there are none.

use std::process::Command;

use scripted_model::ScriptedModel;
use scripted_model::prompt::{text, tool, turns};
use serde_json::{Value, json};

use super::outside::Outside;
use crate::harness::Folders;

/// Turns the sandbox on. Commands in it need no rule.
const SANDBOX: &str = r#"{"sandbox": {"enabled": true, "failIfUnavailable": true, "autoAllowBashIfSandboxed": true}}"#;

const BUBBLEWRAP: [(&str, &str); 1] = [("ASKD_ISOLATION", "required")];
const LANDLOCK: [(&str, &str); 2] = [("ASKD_ISOLATION", "required"), ("ASKD_BWRAP_BIN", "/nonexistent")];

/// Whether the programs that a test needs are there and may do what they do; says so where not.
fn can_run(name: &str) -> bool {
    #[expect(clippy::disallowed_methods, reason = "what the CLI is to do by itself")]
    let works = |program: &str, args: &[&str]| {
        Command::new(program).args(args).output().is_ok_and(|output| output.status.success())
    };
    let can_run = works("bwrap", &["--ro-bind", "/", "/", "--unshare-pid", "true"])
        && works("socat", &["-V"])
        && works("rg", &["--version"]);
    if !can_run {
        // Past the harness, which shows nothing of a test that passes.
        let line = format!("NOT RUN: {name}: bubblewrap, socat or ripgrep is missing, or may make no namespaces\n");
        std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).unwrap();
    }
    can_run
}

fn bash(command: &str) -> String {
    turns([tool("Bash", &json!({"command": command, "description": "d"})), text("end")])
}

/// Runs one command; what the tool said, and what became of the run.
async fn said(server: &Outside, model: &ScriptedModel, body: Value) -> (String, Value) {
    let answer = server.ask(body).await;
    let results = model.messages().pop().map(|request| request.tool_results()).unwrap_or_default();
    (results.join("\n"), answer.body)
}

/// How many filters of system calls are on the command.
fn filters(said: &str) -> u32 {
    let line = said.lines().find_map(|line| line.strip_prefix("Seccomp_filters:"));
    line.unwrap_or_else(|| panic!("no filters: {said}")).trim().parse().unwrap()
}

const LOOK: &str = "grep Seccomp_filters /proc/self/status; touch ~/planted; touch made";

#[tokio::test(flavor = "multi_thread")]
async fn the_clis_own_sandbox_works_inside_of_bubblewrap() {
    if !can_run("the_clis_own_sandbox_works_inside_of_bubblewrap") {
        return;
    }
    let model = ScriptedModel::start().await.unwrap();
    let outer = {
        let folders = Folders::new();
        let server = Outside::unprivileged(&folders, &model, &BUBBLEWRAP).await;
        let body = json!({"prompt": bash(&format!("sh -c '{LOOK}'")), "allowedTools": ["Bash"]});
        let (said, answer) = said(&server, &model, body).await;
        assert_eq!(folders.list("workspace"), ["made"], "{said} {answer}");
        assert!(!said.contains("Read-only"), "without it the home can be written: {said}");
        server.stop(&folders).await;
        filters(&said)
    };

    let folders = Folders::new();
    folders.write("config/settings.json", SANDBOX);
    let server = Outside::unprivileged(&folders, &model, &BUBBLEWRAP).await;
    assert_eq!(server.get("/v1/isolation").await.body["layer"], "bubblewrap");
    // No rule allows Bash: that it runs shows that the sandbox is on.
    let (said, answer) = said(&server, &model, json!({"prompt": bash(LOOK)})).await;
    // Beside it lies what the sandbox makes to hold its place: `.claude`.
    assert!(folders.workspace().join("made").exists(), "{said} {answer}");
    assert!(said.contains("Read-only file system"), "its sandbox leaves the home read-only: {said}");
    assert!(filters(&said) > outer, "a filter of its own: {said}, and {outer} without");
    assert_eq!(answer["result"], "end", "{answer}");
    server.stop(&folders).await;
    model.shutdown().await;
}

/// There are no namespaces to be had. `failIfUnavailable` is the operator's word, and the CLI keeps it.
#[tokio::test(flavor = "multi_thread")]
async fn the_clis_own_sandbox_cannot_be_had_inside_of_landlock_and_no_command_runs_without_it() {
    if !can_run("the_clis_own_sandbox_cannot_be_had_inside_of_landlock") || supervisor::landlock::abi() < 3 {
        return;
    }
    let model = ScriptedModel::start().await.unwrap();
    let folders = Folders::new();
    folders.write("config/settings.json", SANDBOX);
    let server = Outside::unprivileged(&folders, &model, &LANDLOCK).await;
    assert_eq!(server.get("/v1/isolation").await.body["layer"], "landlock");
    let (said, answer) = said(&server, &model, json!({"prompt": bash(LOOK)})).await;
    assert!(said.contains("Sandbox is required but failed to initialize"), "{said}");
    assert_eq!(folders.list("workspace"), [""; 0], "{said} {answer}");
    // It is no denial of a rule: what the caller sees is the answer of a model that could run nothing.
    assert_eq!(answer["result"], "end", "{answer}");
    server.stop(&folders).await;
    model.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_rule_forbids_a_layer_does() {
    if !can_run("what_no_rule_forbids_a_layer_does") {
        return;
    }
    for layer in [&[("ASKD_ISOLATION", "off")][..], &BUBBLEWRAP, &LANDLOCK] {
        let model = ScriptedModel::start().await.unwrap();
        let folders = Folders::new();
        folders.write("workspace/other/secret", "a-secret");
        folders.write("workspace/own/x", "");
        let server = Outside::unprivileged(&folders, &model, &[layer, &[("ASKD_ALLOW_BYPASS", "1")]].concat()).await;
        // A shell within the shell: its words are not looked at.
        let command = "sh -c 'cat ../other/secret; touch ../other/planted ../../config/planted made; id -u'";
        let body = json!({"prompt": bash(command), "permissionMode": "bypassPermissions", "cwd": "own"});
        let (said, answer) = said(&server, &model, body).await;
        let off = layer[0].1 == "off";
        assert_eq!(answer["result"], "end", "{answer}");
        assert_eq!(said.contains("a-secret"), off, "{layer:?}: {said}");
        assert_eq!(folders.list("workspace/other").contains(&"planted".to_owned()), off, "{layer:?}: {said}");
        assert_eq!(folders.list("config").contains(&"planted".to_owned()), off, "{layer:?}: {said}");
        assert_eq!(folders.list("workspace/own"), ["made", "x"], "{layer:?}: {said}");
        server.stop(&folders).await;
        model.shutdown().await;
    }
}
