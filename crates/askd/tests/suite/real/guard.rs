//! The guard: what the policy refuses is refused whatever else would allow it, and its reader hears of it.

use scripted_model::ScriptedModel;
use scripted_model::prompt::{text, tool, turns};
use serde_json::{Value, json};

use super::outside::Outside;
use super::{Told, World};
use crate::harness::Folders;

/// A command that is refused, and would leave a trace if it were not.
const REFUSED: &str = "touch trace; git push -f";

fn bash(command: &str) -> String {
    turns([tool("Bash", &json!({"command": command, "description": "d"})), text("end")])
}

fn assert_refused(told: &Told, tool: &str) {
    assert_eq!(told.text(), "end");
    let denials = told.result()["permission_denials"].clone();
    assert_eq!((denials.as_array().map(Vec::len), &denials[0]["tool_name"]), (Some(1), &json!(tool)), "{denials}");
    let of_the_guard = |warning: &&&str| warning.contains("the guard refused") && warning.contains("git-force-push");
    assert_eq!(told.warnings().iter().filter(of_the_guard).count(), 1, "{told:?}");
}

async fn told(world: &World, prompt: String, change: Value) -> Told {
    let mut body = json!({"prompt": prompt, "allowedTools": ["Bash", "Monitor", "Task"]});
    body.as_object_mut().unwrap().extend(change.as_object().cloned().unwrap_or_default());
    world.told(body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_command_does_not_run_though_bash_is_allowed_and_the_model_reads_why() {
    let world = World::new().await;
    assert_refused(&told(&world, bash(REFUSED), json!({})).await, "Bash");
    let said = world.last_message().tool_results().join("\n");
    assert!(said.contains("force pushes are not allowed here"), "{said}");
    assert_eq!(world.server.folders.list("workspace"), [""; 0]);

    let told = told(&world, bash("touch made; echo 'git push -f'"), json!({})).await;
    assert_eq!((told.text().as_str(), told.warnings().len()), ("end", 0));
    assert_eq!(world.server.folders.list("workspace"), ["made"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_holds_in_the_background_in_a_monitor_and_in_a_subagent() {
    let world = World::new().await;
    let background = json!({"command": REFUSED, "description": "d", "run_in_background": true});
    assert_refused(&told(&world, turns([tool("Bash", &background), text("end")]), json!({})).await, "Bash");
    let monitor = json!({"command": REFUSED, "description": "d", "timeout_ms": 3_000, "persistent": false});
    assert_refused(&told(&world, turns([tool("Monitor", &monitor), text("end")]), json!({})).await, "Monitor");
    let agent = json!({"description": "d", "subagent_type": "general-purpose", "prompt": bash(REFUSED)});
    let told = told(&world, turns([tool("Task", &agent), text("end")]), json!({})).await;
    assert!(told.warnings().iter().any(|warning| warning.contains("the guard refused")), "{told:?}");
    assert_eq!(world.server.folders.list("workspace"), [""; 0]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_holds_when_permissions_are_bypassed() {
    let model = ScriptedModel::start().await.unwrap();
    let folders = Folders::new();
    let server = Outside::unprivileged(&folders, &model, &[("ASKD_ALLOW_BYPASS", "1")]).await;
    let body = json!({"prompt": bash(REFUSED), "permissionMode": "bypassPermissions"});
    assert_refused(&Told(server.stream(body).await.rest().await), "Bash");
    assert_eq!(folders.list("workspace"), [""; 0]);
    server.stop(&folders).await;
    model.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_holds_beside_a_hook_that_allows_everything() {
    let allow = r#"{"hookSpecificOutput": {"hookEventName": "PreToolUse", "permissionDecision": "allow"}}"#;
    let hook = json!({"type": "command", "command": format!("echo '{allow}'")});
    let settings = json!({"hooks": {"PreToolUse": [{"matcher": "Bash", "hooks": [hook]}]}}).to_string();
    let world = World::with(|server| server.file("config/settings.json", &settings)).await;
    assert_refused(&told(&world, bash(REFUSED), json!({})).await, "Bash");
    assert_eq!(world.server.folders.list("workspace"), [""; 0]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_on_disk_counts_from_the_next_run_on() {
    let world = World::with(|server| server.file("config/askd-policy.json", r#"{"version": 1}"#)).await;
    let off = told(&world, bash(REFUSED), json!({})).await;
    assert_eq!((off.text().as_str(), off.warnings().len()), ("end", 0), "an empty policy refuses nothing");
    assert_eq!(world.server.folders.list("workspace"), ["trace"]);

    let own = json!({"version": 1, "permissions": {"deny": ["Bash(mkdir:*)"]}, "guard": {"rules": [
        {"id": "no-touch", "message": "leave it alone", "programs": ["touch"]}]}});
    world.server.folders.write("config/askd-policy.json", &own.to_string());
    let guarded = told(&world, bash("sh -c 'touch other'"), json!({})).await;
    assert!(guarded.warnings().iter().any(|warning| warning.contains("no-touch")), "{guarded:?}");
    let denied = told(&world, bash("mkdir other"), json!({})).await;
    assert_eq!(denied.result()["permission_denials"].as_array().unwrap().len(), 1);
    assert_eq!(world.server.folders.list("workspace"), ["trace"]);

    world.server.folders.write("config/askd-policy.json", "{\n\"version\": 3}");
    let answer = world.ask(json!({"prompt": "[[text:no]]"})).await;
    assert_eq!(answer.status, 500, "{answer:?}");
    assert!(answer.message().contains("line 2: `version`"), "{answer:?}");
    world.stop().await;
}
