//! What acts without a call of a tool: files that a prompt mentions, and what MCP servers have besides tools.

use scripted_model::prompt::{text, tool, turns};
use serde_json::{Value, json};

use super::super::{World, mcp};

/// A server with a tool, a resource and a prompt.
const SERVER: &str = r"
const lines = require('readline').createInterface({input: process.stdin});
lines.on('line', (line) => {
  const {id, method, params} = JSON.parse(line);
  if (id === undefined) return;
  const result = {
    initialize: () => ({protocolVersion: params.protocolVersion, capabilities: {tools: {}, resources: {}, prompts: {}}, serverInfo: {name: 's', version: '1'}}),
    'tools/list': () => ({tools: [{name: 'say', description: 'says', inputSchema: {type: 'object', properties: {}}}]}),
    'resources/list': () => ({resources: [{uri: 'res://page', name: 'page', mimeType: 'text/plain'}]}),
    'resources/read': () => ({contents: [{uri: 'res://page', mimeType: 'text/plain', text: 'the-text-of-the-resource'}]}),
    'prompts/list': () => ({prompts: [{name: 'dump', description: 'd'}]}),
    'prompts/get': () => ({messages: [{role: 'user', content: {type: 'text', text: 'the-text-of-the-prompt'}}]}),
  }[method] ?? (() => ({}));
  console.log(JSON.stringify({jsonrpc: '2.0', id, result: result()}));
});
";

/// A picture of one pixel.
const PICTURE: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90wS\xde\0\0\0\x0cIDATx\x9cc\xf8\xcf\xc0\0\0\x03\x01\x01\0\xc9\xfe\x92\xef\0\0\0\0IEND\xaeB`\x82";

#[tokio::test(flavor = "multi_thread")]
async fn without_the_tool_that_reads_no_mentioned_file_is_read() {
    let world = World::with(|server| {
        server
            .file("workspace/repo/page.txt", "the-text-of-the-page")
            .file("workspace/repo/folder/of-the-folder.txt", "x")
            .file("workspace/repo/CLAUDE.md", "Prefer tabs.\n\n@page.txt\n")
            .file("config/CLAUDE.md", "the-memory-of-the-operator")
            .file("config/commands/look.md", "---\ndescription: d\n---\nLook: @page.txt [[text:x]]\n")
    })
    .await;
    std::fs::write(world.server.folders.workspace().join("repo/picture.png"), PICTURE).unwrap();
    let free = world.server.user(json!({})).await;
    let outside = world.server.folders.workspace().join("repo/page.txt");
    for policy in [json!({"tools": []}), json!({"tools": ["Edit", "Bash", "Skill"]}), json!({"denied_tools": ["Read"]})]
    {
        let mut held = policy.clone();
        held["project_config"] = false.into();
        let held = world.server.user(held).await;
        for (prompt, mark) in [
            ("look @page.txt [[text:x]]".to_owned(), "the-text-of-the-page"),
            (format!("look @{} [[text:x]]", outside.display()), "the-text-of-the-page"),
            ("look @folder [[text:x]]".to_owned(), "of-the-folder.txt"),
            ("look @picture.png [[text:x]]".to_owned(), "image/png"),
            ("/look".to_owned(), "the-text-of-the-page"),
        ] {
            let body = json!({"prompt": prompt, "cwd": "repo", "expand": true});
            world.done(&free, &body).await.completed();
            assert!(world.sent().contains(mark), "{prompt}");
            world.done(&held, &body).await.completed();
            assert!(!world.sent().contains(mark), "{policy} {prompt}");
            assert!(world.sent().contains("the-memory-of-the-operator"), "{policy}");
        }
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_denied_whole_gives_neither_prompts_nor_resources() {
    if !mcp::has_node() {
        return;
    }
    let entries = json!({"one": mcp::entry(SERVER, "one")});
    let world = World::with(|server| server.file("config/.mcp.json", &mcp::servers(&entries))).await;
    let (free, held) = world.free_and_held(json!({"denied_tools": ["mcp__one"]})).await;
    let read = turns([tool("ReadMcpResourceTool", &json!({"server": "one", "uri": "res://page"})), text("end")]);
    for (prompt, mark) in [("/mcp__one__dump".to_owned(), "the-text-of-the-prompt"), (read, "the-text-of-the-resource")]
    {
        let body: Value = json!({"prompt": prompt, "expand": true});
        world.done(&free, &body).await;
        assert!(world.sent().contains(mark), "{prompt}");
        world.done(&held, &body).await;
        assert!(!world.sent().contains(mark), "{prompt}");
    }
    world.stop().await;
}
