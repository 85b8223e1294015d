//! Variables and MCP servers of a request: they work, and nothing tells what is secret in them.

use std::fs;

use scripted_model::prompt::{text, tool, turns};
use serde_json::json;

use super::super::World;
use super::super::mcp::{SERVER, entry, has_node};
use crate::harness::Stream;

const VARIABLE: &str = "variable-in-private-4711";
const OF_SERVER: &str = "token-of-the-server";

#[tokio::test(flavor = "multi_thread")]
async fn variables_and_servers_of_a_request_work_and_nothing_tells_their_secrets() {
    if !has_node() {
        return;
    }
    let world = World::new().await;
    let command = "printf %s \"$MY_TOKEN\" > seen; printenv MY_TOKEN";
    let script = turns([
        format!("[[pause_ms:3000]]{}", tool("Bash", &json!({"command": command, "description": "d"}))),
        tool("mcp__mine__say", &json!({})),
        text("end"),
    ]);
    let body = json!({
        "content": [{"type": "text", "text": format!("prompt-in-private {script}")}],
        "system_prompt": "system-in-private", "append_system_prompt": "appended-in-private",
        "agents": {"a": {"description": "agent-in-private", "prompt": "prompt-of-agent-in-private"}},
        "output_schema": {"type": "object", "description": "schema-in-private"},
        "allowed_tools": ["Bash(rule-in-private:*)", "Bash", "mcp__mine"],
        "disallowed_tools": ["Bash(denied-in-private:*)"],
        "env": {"MY_TOKEN": VARIABLE},
        "mcp_servers": {"mine": entry(SERVER, "the-request")},
        "on_disconnect": "cancel",
    });
    let request = world.server.posting("/v1/runs").header("accept", "text/event-stream").json(&body);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    let run = response.headers()["x-askd-run-id"].to_str().unwrap().to_owned();
    world.model_is_asked().await;
    let lines = command_lines(&world);
    assert!(lines.contains("--permission-mode="), "what would be found if it were there: {lines}");
    for secret in ["in-private", OF_SERVER] {
        assert!(!lines.contains(secret), "{secret} in {lines}");
    }
    let events = format!("{:?}", Stream::of(response).envelopes().await);

    // They have arrived.
    assert_eq!(fs::read_to_string(world.server.folders.workspace().join("seen")).unwrap(), VARIABLE);
    let results = world.sent();
    assert!(results.contains(&format!("hello from the-request, {OF_SERVER}")), "{results}");
    // And are told to nobody.
    assert!(events.contains("[redacted]"), "{events}");
    let mut told = vec![events];
    for path in [format!("/v1/runs/{run}"), format!("/v1/runs/{run}/events"), "/v1/runs".to_owned()] {
        told.push(format!("{:?}", world.server.get(&path).await));
    }
    for told in told {
        for secret in [VARIABLE, OF_SERVER] {
            assert!(!told.contains(secret), "{secret} in {told}");
        }
    }
    world.server.at_rest().await;
    world.stop().await;
}

/// Those of all processes of the run.
fn command_lines(world: &World) -> String {
    let pids = world.server.processes();
    let lines = pids.iter().filter_map(|pid| fs::read(format!("/proc/{pid}/cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).into_owned() + "\n").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_s_variable_wins_over_one_of_the_request() {
    let world = World::with(|server| server.child_variable("GH_TOKEN", "of the operator")).await;
    let prompt = super::bash("printf %s \"$GH_TOKEN\" > seen");
    let body = json!({"prompt": prompt, "allowed_tools": ["Bash"], "on_disconnect": "cancel",
        "env": {"GH_TOKEN": "of-this-request"}});
    let run = world.completed(body).await;
    assert_eq!(fs::read_to_string(world.server.folders.workspace().join("seen")).unwrap(), "of the operator");
    assert!(run["warnings"].to_string().contains("`GH_TOKEN` of the request was left out"), "{run}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_run_of_the_session_has_neither() {
    let world = World::new().await;
    let prompt = super::bash("printf %s \"[$MY_TOKEN]\" > seen");
    let body = |session: serde_json::Value| json!({"prompt": prompt, "allowed_tools": ["Bash"], "session_id": session});
    let mut first = body(serde_json::Value::Null);
    first.as_object_mut().unwrap().remove("session_id");
    first["env"] = json!({"MY_TOKEN": VARIABLE});
    first["on_disconnect"] = "cancel".into();
    let run = world.completed(first).await;
    let seen = || fs::read_to_string(world.server.folders.workspace().join("seen")).unwrap();
    assert_eq!(seen(), format!("[{VARIABLE}]"));
    world.completed(body(run["session_id"].clone())).await;
    assert_eq!(seen(), "[]");
    world.stop().await;
}
