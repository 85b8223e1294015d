//! The fields `allowedTools` and `permissionMode`: what runs, what is denied, and that a denial is seen.

use scripted_model::prompt::{text, tool, turns};
use serde_json::{Value, json};

use super::{Told, World};
use crate::harness::Answer;

/// Runs a command, then ends.
fn bash(command: &str) -> String {
    turns([tool("Bash", &json!({"command": command, "description": "d"})), text("end")])
}

/// Writes `written.txt` in the workspace, then ends.
fn write(world: &World) -> String {
    let file = world.server.folders.workspace().join("written.txt");
    turns([tool("Write", &json!({"file_path": file, "content": "by the agent"})), text("end")])
}

fn is_written(world: &World) -> bool {
    world.server.folders.list("workspace").contains(&"written.txt".to_owned())
}

/// What the last tool call gave the model.
fn last_tool_result(world: &World) -> String {
    world.last_message().tool_results().pop().expect("a tool result")
}

/// A call was denied, and whoever looks sees it.
fn assert_denied(answer: &Answer, told: &Told, tool: &str) {
    assert_eq!((answer.result(), told.text().as_str()), ("end", "end"));
    assert_eq!(answer.header("x-askd-permission-denials"), Some("1"));
    assert!(answer.header("x-askd-warning").unwrap().contains("1 tool call was denied"), "{answer:?}");
    assert!(told.warnings().iter().any(|warning| warning.contains("1 tool call was denied")), "{told:?}");
    for result in [&answer.body, &told.result()] {
        let denials: Vec<&Value> = result["permission_denials"].as_array().unwrap().iter().collect();
        assert_eq!(denials.len(), 1, "{result}");
        assert_eq!(denials[0]["tool_name"], tool);
    }
}

fn assert_not_denied(answer: &Answer) {
    assert_eq!(answer.result(), "end");
    assert_eq!(answer.header("x-askd-permission-denials"), None);
    assert_eq!(answer.header("x-askd-warning"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_needs_a_rule() {
    let world = World::new().await;
    let (answer, told) = world.ask_both_ways(json!({"prompt": bash("sh -c 'touch made.txt'")})).await;
    assert_denied(&answer, &told, "Bash");
    assert_eq!(world.server.folders.list("workspace"), [""; 0]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_lets_it_run_whether_listed_or_in_one_string() {
    let world = World::new().await;
    let list = json!(["Bash(touch:*)", "Bash(mkdir a b)"]);
    for (rules, file) in
        [(list, "one"), (json!("Bash(mkdir a b),Bash(touch:*)"), "two"), (json!("Read Bash(touch:*)"), "3")]
    {
        let body =
            json!({"prompt": bash(&format!("touch {file}")), "allowedTools": rules, "permissionMode": "dontAsk"});
        assert_not_denied(&world.ask(body).await);
        assert!(world.server.folders.list("workspace").contains(&file.to_owned()), "{rules}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_covers_its_own_command_only() {
    let world = World::new().await;
    let body = json!({"prompt": bash("touch one && sh -c 'touch two'"), "allowedTools": ["Bash(touch:*)"]});
    let (answer, told) = world.ask_both_ways(body).await;
    assert_denied(&answer, &told, "Bash");
    assert_eq!(world.server.folders.list("workspace"), [""; 0]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accept_edits_is_the_default_and_writes_in_the_workspace() {
    for mode in [None, Some("acceptEdits")] {
        let world = World::new().await;
        let mut body = json!({"prompt": write(&world)});
        if let Some(mode) = mode {
            body["permissionMode"] = mode.into();
        }
        let told = world.told(body).await;
        assert_eq!((told.text().as_str(), told.warnings().len()), ("end", 0));
        assert_eq!(told.init()["permissionMode"], "acceptEdits");
        assert!(is_written(&world), "{}", last_tool_result(&world));
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn accept_edits_ends_at_the_workspace() {
    let world = World::new().await;
    let file = world.server.folders.root().join("outside.txt");
    let script = turns([tool("Write", &json!({"file_path": file, "content": "x"})), text("end")]);
    let (answer, told) = world.ask_both_ways(json!({"prompt": script})).await;
    assert_denied(&answer, &told, "Write");
    assert!(!file.exists());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn default_dont_ask_and_plan_write_nothing() {
    for mode in ["default", "dontAsk", "plan"] {
        let world = World::new().await;
        let body = json!({"prompt": write(&world), "permissionMode": mode});
        let told = world.told(body).await;
        assert_eq!(told.text(), "end", "{mode}");
        assert_eq!(told.init()["permissionMode"], mode);
        assert!(!is_written(&world), "{mode}");
        assert_eq!(told.result()["permission_denials"].as_array().unwrap().len(), 1, "{mode}: {}", told.result());
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn auto_writes_in_the_workspace_and_denies_what_the_provider_would_have_to_judge() {
    let world = World::new().await;
    let told = world.told(json!({"prompt": write(&world), "permissionMode": "auto"})).await;
    assert_eq!((told.text().as_str(), &told.init()["permissionMode"]), ("end", &json!("auto")));
    assert!(is_written(&world));
    let body = json!({"prompt": bash("sh -c 'touch made.txt'"), "permissionMode": "auto"});
    let (answer, told) = world.ask_both_ways(body).await;
    assert_denied(&answer, &told, "Bash");
    assert_eq!(world.server.folders.list("workspace"), ["written.txt"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bypass_and_unknown_modes_are_refused_and_nothing_starts() {
    let world = World::new().await;
    for mode in ["bypassPermissions", "manual", "--help", ""] {
        let answer = world.ask(json!({"prompt": "[[text:no]]", "permissionMode": mode})).await;
        assert_eq!((answer.status, answer.code()), (400, "REQUEST_ERROR"), "{mode}");
        assert!(answer.message().contains("permissionMode"), "{answer:?}");
    }
    assert!(world.model.recorded().is_empty());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_deny_rules_beat_a_clients_allow_rules() {
    let settings = json!({"permissions": {"deny": ["Bash(touch:*)"]}}).to_string();
    let world = World::with(|server| server.file("config/settings.json", &settings)).await;
    let body = json!({"prompt": bash("touch made.txt"), "allowedTools": ["Bash(touch:*)", "Bash"]});
    let (answer, told) = world.ask_both_ways(body).await;
    assert_denied(&answer, &told, "Bash");
    assert_eq!(world.server.folders.list("workspace"), [""; 0]);
    world.stop().await;
}
