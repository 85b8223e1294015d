//! MCP servers: what `CONFIG_DIR` names, every run has; what stands in a repository, only where the operator trusts it.

use std::process::Command;

use askd::settings::ProjectConfig;
use scripted_model::prompt::{text, tool, turns};
use serde_json::{Value, json};

use super::World;
use crate::harness::TestServerBuilder;

/// A server of one tool, which says what it finds in its environment.
pub(super) const SERVER: &str = r"
const lines = require('readline').createInterface({input: process.stdin});
lines.on('line', (line) => {
  const {id, method, params} = JSON.parse(line);
  if (id === undefined) return;
  const result = {
    initialize: () => ({protocolVersion: params.protocolVersion, capabilities: {tools: {}}, serverInfo: {name: 's', version: '1'}}),
    'tools/list': () => ({tools: [{name: 'say', description: 'says', inputSchema: {type: 'object', properties: {}}}]}),
    'tools/call': () => ({content: [{type: 'text', text: ['hello from ' + process.argv[1], process.env.TOKEN, process.env.ANTHROPIC_API_KEY].join(', ')}]}),
  }[method] ?? (() => ({}));
  console.log(JSON.stringify({jsonrpc: '2.0', id, result: result()}));
});
";

const TOKEN: &str = "token-of-the-server";

/// Whether a server can be written in a few lines; says so where not.
pub(super) fn has_node() -> bool {
    #[expect(clippy::disallowed_methods, reason = "what the CLI is to start")]
    let has_node = Command::new("node").arg("--version").output().is_ok_and(|output| output.status.success());
    if !has_node {
        // Past the harness, which shows nothing of a test that passes.
        std::io::Write::write_all(&mut std::io::stderr(), b"NOT RUN: MCP servers: there is no node\n").unwrap();
    }
    has_node
}

pub(super) fn entry(script: &str, who: &str) -> Value {
    json!({"type": "stdio", "command": "node", "args": ["-e", script, "--", who], "env": {"TOKEN": TOKEN}})
}

pub(super) fn servers(entries: &Value) -> String {
    json!({"mcpServers": entries}).to_string()
}

fn call(server: &str) -> Value {
    let prompt = turns([tool(&format!("mcp__{server}__say"), &json!({})), text("end")]);
    json!({"prompt": prompt, "allowedTools": [format!("mcp__{server}")]})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_the_operator_answers_and_its_secrets_stay_out_of_events() {
    if !has_node() {
        return;
    }
    let entries = json!({"own": entry(SERVER, "the-operator"), "broken": {"command": 5}});
    let world = World::with(|server| server.file("config/.mcp.json", &servers(&entries))).await;
    let told = world.told(call("own")).await;
    assert_eq!(told.text(), "end");
    let said = world.last_message().tool_results().join("\n");
    assert!(said.contains("hello from the-operator, token-of-the-server"), "{said}");
    let events = format!("{told:?}");
    assert!(!events.contains(TOKEN) && events.contains("[redacted]"), "{events}");
    // Once, and not at every turn.
    let left_out = told.warnings().into_iter().filter(|warning| warning.contains("`broken` was left out")).count();
    assert_eq!(left_out, 1, "{:?}", told.warnings());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_s_servers_start_only_where_it_is_trusted() {
    if !has_node() {
        return;
    }
    let file = servers(&json!({"own": entry(SERVER, "the-repository")}));
    let world = World::with(|server| server.file("workspace/.mcp.json", &file)).await;
    let told = world.told(call("own")).await;
    assert!(told.init()["mcp_servers"].as_array().unwrap().is_empty(), "{:?}", told.init());
    world.stop().await;

    let trust = |server: TestServerBuilder| {
        let workspace = server.folders.workspace();
        let server = server.file("workspace/.mcp.json", &file);
        server.set(|settings| {
            settings.permissions.project_config = ProjectConfig::Trusted;
            settings.permissions.trusted_projects = vec![workspace];
        })
    };
    let world = World::with(trust).await;
    assert_eq!(world.told(call("own")).await.text(), "end");
    let said = world.last_message().tool_results().join("\n");
    assert!(said.contains("hello from the-repository"), "{said}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_valid_stops_the_run() {
    let world = World::new().await;
    world.server.folders.write("config/.mcp.json", "{\"mcpServers\": [");
    let answer = world.ask(json!({"prompt": "[[text:no]]"})).await;
    assert_eq!(answer.status, 500);
    assert!(answer.message().contains(".mcp.json") && answer.message().contains("line 1"), "{answer:?}");
    world.stop().await;
}
