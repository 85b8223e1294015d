//! The questions of the main path. Each holds with every CLI that askd accepts.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use scripted_model::prompt::{text, tool, turns};
use serde_json::{Value, json};

use super::super::mcp::has_node;
use super::super::{Told, World};
use super::codes;

type Question = for<'a> fn(&'a World) -> BoxFuture<'a, ()>;

/// What is asked, in this order.
pub(super) const PATH: [(&str, Question); 15] = [
    ("a fresh run", |world| fresh(world).boxed()),
    ("a stream", |world| stream(world).boxed()),
    ("an agent", |world| agent(world).boxed()),
    ("system prompts", |world| system_prompts(world).boxed()),
    ("a schema", |world| schema(world).boxed()),
    ("a session that goes on, and its fork", |world| session(world).boxed()),
    ("a cancel", |world| cancel(world).boxed()),
    ("an interrupt", |world| interrupt(world).boxed()),
    ("a subagent in the background", |world| background(world).boxed()),
    ("an answer in pieces", |world| pieces(world).boxed()),
    ("an answer whose stream ends early", |world| ends_early(world).boxed()),
    ("a denied tool", |world| denied(world).boxed()),
    ("a command that the guard refuses", |world| guarded(world).boxed()),
    ("an MCP server", |world| mcp_server(world).boxed()),
    ("tools that the request leaves out", |world| fewer_tools(world).boxed()),
];

#[track_caller]
fn assert_completed(run: &Value, result: &str) {
    assert_eq!((&run["state"], &run["result"]), (&json!("completed"), &json!(result)), "{run:#}");
}

async fn fresh(world: &World) {
    let run = world.server.run(json!({"prompt": "[[usage:input=1000,output=10]][[text:hello]]"})).await;
    assert_completed(&run, "hello");
    assert_eq!(codes(&run), ["cli_version"], "said once, and nothing else: {run:#}");
    assert!(run["cost_usd"].as_f64().is_some_and(|cost| cost > 0.0), "{run:#}");
}

async fn pieces(world: &World) {
    let run = world.server.run(json!({"prompt": "[[text:first]][[stop:max_tokens]][[then]][[text:second]]"})).await;
    assert_completed(&run, "second");
    assert_eq!(codes(&run), ["cli_version", "answer_continued"], "{run:#}");
}

async fn ends_early(world: &World) {
    let run = world.server.run(json!({"prompt": "[[text:first]][[short]]"})).await;
    assert_eq!((&run["state"], &run["error"]["type"]), (&json!("failed"), &json!("connection")), "{run:#}");
    assert_eq!(run["usage"]["complete"], false, "these do not count it: {run:#}");
}

async fn stream(world: &World) {
    let told = world.told(json!({"prompt": "[[text:x]]"})).await;
    assert_eq!((told.text().as_str(), told.warnings().len()), ("x", 0), "/ask does not speak of the CLI: {told:?}");
}

async fn agent(world: &World) {
    let run = world.server.run(json!({"prompt": "[[text:arr]]", "agent": "file-name"})).await;
    assert_completed(&run, "arr");
    assert!(world.last_message().system_text().contains("Speak like a pirate."));
}

async fn system_prompts(world: &World) {
    let body = json!({"prompt": "[[text:x]]", "system_prompt": "Be a heron.", "append_system_prompt": "And brief."});
    assert_completed(&world.server.run(body).await, "x");
    let system = world.last_message().system_text();
    assert!(system.contains("Be a heron.") && system.contains("And brief."), "{system}");
}

async fn schema(world: &World) {
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
    let prompt = tool("StructuredOutput", &json!({"n": 7}));
    let run = world.server.run(json!({"prompt": prompt, "output_schema": schema})).await;
    assert_eq!((&run["state"], &run["structured_output"]), (&json!("completed"), &json!({"n": 7})), "{run:#}");
}

async fn session(world: &World) {
    let first = world.server.run(json!({"prompt": "Remember heron. [[text:one]]"})).await;
    assert_completed(&first, "one");
    let session = &first["session_id"];
    let second = world.server.run(json!({"prompt": "[[text:two]]", "session_id": session})).await;
    assert_completed(&second, "two");
    assert!(world.last_message().body()["messages"].to_string().contains("Remember heron."));
    assert_eq!(&second["session_id"], session);
    let body = json!({"prompt": "[[text:three]]", "session_id": session, "fork_session": true});
    let fork = world.server.run(body).await;
    assert_completed(&fork, "three");
    assert!(world.last_message().body()["messages"].to_string().contains("Remember heron."));
    assert_ne!(&fork["session_id"], session);
}

/// A run whose model has begun to answer.
async fn at_work(world: &World) -> String {
    let run = world.server.submit(json!({"prompt": "[[text:one moment]] [[hang]]"})).await;
    world.model_is_asked().await;
    run
}

async fn cancel(world: &World) {
    let run = at_work(world).await;
    assert_eq!(world.server.post(&format!("/v1/runs/{run}/cancel"), &json!({})).await.status, 202);
    assert_eq!(world.server.ended(&run).await["state"], "cancelled");
    world.server.at_rest().await;
}

async fn interrupt(world: &World) {
    let run = at_work(world).await;
    assert_eq!(world.server.post(&format!("/v1/runs/{run}/interrupt"), &json!({})).await.status, 202);
    let ended = world.server.ended(&run).await;
    assert_eq!(ended["state"], "cancelled", "{ended:#}");
    assert!(ended["error"]["terminal_reason"].as_str().unwrap().starts_with("aborted_"), "{ended:#}");
}

/// The subagent works for longer than the CLI takes to go idle.
async fn background(world: &World) {
    let prompt = format!("[[pause_ms:1000]]{}", text("found by the subagent"));
    let input = json!({
        "description": "d", "prompt": prompt, "subagent_type": "general-purpose", "run_in_background": true,
    });
    let script = turns([tool("Agent", &input), text("I have started it."), text("It has ended.")]);
    assert_completed(&world.server.run(json!({"prompt": script})).await, "It has ended.");
    assert!(world.last_message().body().to_string().contains("found by the subagent"));
}

async fn denied(world: &World) {
    let fetch = tool("WebFetch", &json!({"url": "http://127.0.0.1:9/", "prompt": "x"}));
    let run = world.server.run(json!({"prompt": turns([fetch, text("end")])})).await;
    assert_completed(&run, "end");
    assert_eq!(
        (&run["permission_denials"]["count"], codes(&run).last()),
        (&json!(1), Some(&"tools_denied")),
        "{run:#}"
    );
}

async fn guarded(world: &World) {
    let bash = tool("Bash", &json!({"command": "touch trace; git push -f", "description": "d"}));
    let told: Told = world.told(json!({"prompt": turns([bash, text("end")]), "allowedTools": ["Bash"]})).await;
    assert_eq!(told.text(), "end");
    assert!(told.warnings().iter().any(|warning| warning.contains("git-force-push")), "{told:?}");
    let said = world.last_message().tool_results().join("\n");
    assert!(said.contains("force pushes are not allowed here"), "{said}");
    assert!(!world.server.folders.list("workspace").contains(&"trace".to_owned()));
}

async fn mcp_server(world: &World) {
    if !has_node() {
        return;
    }
    let prompt = turns([tool("mcp__own__say", &json!({})), text("end")]);
    let run = world.server.run(json!({"prompt": prompt, "allowed_tools": ["mcp__own"]})).await;
    assert_completed(&run, "end");
    let said = world.last_message().tool_results().join("\n");
    assert!(said.contains("hello from the-operator"), "{said}");
}

async fn fewer_tools(world: &World) {
    let run = world.server.run(json!({"prompt": "[[text:x]]", "tools": ["Read", "Grep"]})).await;
    assert_completed(&run, "x");
    let tools = world.last_message();
    assert!(tools.tool_names().contains(&"Read") && !tools.tool_names().contains(&"Bash"), "{:?}", tools.tool_names());
}
