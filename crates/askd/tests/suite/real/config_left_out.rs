//! A workspace's configuration that runs do not load forbids all the same what it forbade before.

use scripted_model::prompt::{text, tool, turns};
use serde_json::{Value, json};

use super::World;

/// What became of one call in the workspace `shop`: whether it was refused.
async fn is_refused(world: &World, name: &str, input: &Value) -> bool {
    let prompt = turns([tool(name, input), text("end")]);
    let body = json!({"prompt": prompt, "cwd": "shop", "allowedTools": ["Bash", "Read", "Write", "Edit"]});
    let answer = world.ask(body).await;
    assert_eq!(answer.result(), "end", "{answer:?}");
    let results = format!("{:?}", world.last_message().tool_results());
    results.contains("denied") || results.contains("haven't granted")
}

async fn put(world: &World, document: &str, content: Value) -> Value {
    let path = format!("/v1/config/{document}?workspace=shop");
    let answer = world.server.put(&path, &json!({ "content": content })).await;
    assert!(matches!(answer.status, 200 | 201), "{answer:?}");
    answer.body["warnings"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn deny_and_ask_rules_hold_as_they_were_meant_when_the_rest_is_left_out() {
    let world = World::with(|server| {
        let server = server.file("workspace/shop/secret/a.txt", "x").file("workspace/shop/x/a.txt", "x");
        server.file("workspace/shop/free/a.txt", "x").file("workspace/shop/free/x/a.txt", "x")
    })
    .await;
    let shop = world.server.folders.workspace().join("shop");
    let read = |path: &str| json!({"file_path": shop.join(path)});
    let write = |path: &str| json!({"file_path": shop.join(path), "content": "x"});
    let command = |command: &str| json!({"command": command, "description": "d"});
    let rules = json!({"deny": ["Bash(ls:*)", "Read(./secret/**)", "Edit(/x/**)"], "ask": ["Bash(touch:*)"]});
    put(&world, "settings", json!({ "permissions": rules })).await;
    for round in ["loaded", "left out"] {
        for (name, input, refused) in [
            ("Bash", command("ls"), true),
            ("Bash", command("touch free/b"), true),
            ("Bash", command("pwd"), false),
            ("Read", read("secret/a.txt"), true),
            ("Read", read("free/a.txt"), false),
            ("Write", write("x/new"), true),
            // A `/` at the beginning means the folder of the settings, and not any folder below it.
            ("Write", write(&format!("free/x/{}", round.len())), false),
        ] {
            assert_eq!(is_refused(&world, name, &input).await, refused, "{round}: {name} {input}");
        }
        let entry = json!({"mcpServers": {"m": {"command": "true"}}});
        let warnings = put(&world, "mcp-servers", entry).await;
        assert!(warnings.to_string().contains("runs do not load"), "{warnings}");
    }
    let told = world.told(json!({"prompt": "[[text:hi]]", "cwd": "shop"})).await;
    assert!(told.warnings().iter().any(|line| line.contains("left out")), "{told:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_cannot_be_read_are_told_of() {
    let world = World::with(|server| {
        let server = server.file("workspace/shop/.mcp.json", "{}");
        server.file("workspace/shop/.claude/settings.json", r#"{"permissions": {"deny": ["bash(ls)"]}}"#)
    })
    .await;
    let told = world.told(json!({"prompt": "[[text:hi]]", "cwd": "shop"})).await;
    let warnings = told.warnings();
    let one = warnings.iter().find(|line| line.contains("do not hold")).unwrap_or_else(|| panic!("{warnings:?}"));
    assert!(one.contains("line 1: `permissions.deny[0]`: never matches"), "{one}");
    world.stop().await;
}
