//! Configuration put over HTTP is what the very next run has.

use scripted_model::prompt::{text, tool, turns};
use serde_json::{Value, json};

use super::World;
use crate::harness::Answer;

/// Puts a document that must be new or another one.
async fn put(world: &World, path: &str, body: Value) -> Answer {
    let answer = world.server.put(path, &body).await;
    assert!(matches!(answer.status, 200 | 201), "{path}: {answer:?}");
    answer
}

/// What the model is sent for a prompt, wherever in the request it stands.
async fn sent_for(world: &World, body: Value) -> String {
    world.model.clear();
    assert_eq!(world.ask(body).await.status, 200);
    world.sent()
}

const HI: &str = "[[text:hi]]";

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_a_skill_a_rule_and_claude_md_put_the_old_way_reach_the_model() {
    let world = World::new().await;
    let before = sent_for(&world, json!({ "prompt": HI })).await;
    let agent = "---\nname: pirate\ndescription: Speaks.\n---\nSpeak like a pirate.\n";
    let skill = "---\nname: lookup\ndescription: Looks up house numbers.\n---\nThe number is 4711.\n";
    put(&world, "/config/agents/pirate", json!({ "content": agent })).await;
    put(&world, "/config/skills/lookup", json!({ "content": skill })).await;
    put(&world, "/config/rules/tabs", json!({"content": "Always prefer tabs.\n"})).await;
    put(&world, "/config/claude-md", json!({"content": "The house is made of wood.\n"})).await;

    let script = turns([tool("Skill", &json!({"skill": "lookup"})), text("end")]);
    let sent = sent_for(&world, json!({"prompt": script, "agent": "pirate"})).await;
    for part in ["Speak like a pirate.", "The number is 4711.", "Always prefer tabs.", "The house is made of wood."] {
        assert!(sent.contains(part) && !before.contains(part), "{part}");
    }
    for path in ["/config/agents/pirate", "/config/skills/lookup", "/config/rules/tabs"] {
        assert_eq!(world.server.delete(path).await.status, 204, "{path}");
    }
    let after = sent_for(&world, json!({ "prompt": HI })).await;
    assert!(!after.contains("Always prefer tabs.") && !after.contains("Looks up house numbers."));
    assert_eq!(world.ask(json!({"prompt": HI, "agent": "pirate"})).await.code(), "AGENT_NOT_FOUND");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_runs_a_skills_script_and_reads_its_files() {
    let world = World::new().await;
    let skill = "---\nname: lookup\ndescription: Looks up.\n---\nStart run.sh.\n";
    let script = "#!/bin/sh\nprintf 'row %s\\n' \"$(cat \"$(dirname \"$0\")/data/number\")\"\n";
    let files =
        json!([{"path": "run.sh", "content": script, "executable": true}, {"path": "data/number", "content": "4711"}]);
    put(&world, "/v1/config/skills/lookup", json!({"content": skill, "files": files})).await;
    let run = json!({"command": "~/.claude/skills/lookup/run.sh", "description": "d"});
    let prompt = turns([tool("Skill", &json!({"skill": "lookup"})), tool("Bash", &run), text("end")]);
    let answer = world.ask(json!({"prompt": prompt, "allowedTools": ["Bash"]})).await;
    assert_eq!((answer.result(), answer.header("x-askd-permission-denials")), ("end", None), "{answer:?}");
    assert!(world.sent().contains("row 4711"), "{:?}", world.last_message().tool_results());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_and_an_output_style_are_used() {
    let world = World::new().await;
    let command = "---\ndescription: Sums up.\n---\nSum up the house. [[text:summed]]\n";
    let style = "---\nname: terse\ndescription: Few words.\n---\nAnswer in three words.\n";
    put(&world, "/v1/config/commands/house/sum-up", json!({ "content": command })).await;
    put(&world, "/v1/config/output-styles/terse", json!({ "content": style })).await;
    put(&world, "/v1/config/settings", json!({"content": {"outputStyle": "terse"}})).await;
    // Folders of commands are no part of their names, or are: the CLI lists what it knows.
    let told = world.told(json!({ "prompt": HI })).await;
    let init = told.init();
    let commands: Vec<_> = init["slash_commands"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let name = commands.iter().find(|name| name.contains("sum-up")).unwrap_or_else(|| panic!("{commands:?}"));
    assert!(
        world.last_message().system_text().contains("Answer in three words."),
        "{}",
        world.last_message().system_text()
    );
    let sent = sent_for(&world, json!({"prompt": format!("/{name}")})).await;
    assert!(sent.contains("Sum up the house."), "{sent}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_put_by_its_name_is_one_that_the_cli_knows() {
    let world = World::new().await;
    let entry = json!({"command": "false", "args": []});
    put(&world, "/v1/config/mcp-servers/search", json!({ "content": entry })).await;
    let told = world.told(json!({ "prompt": HI })).await;
    let servers = told.init()["mcp_servers"].clone();
    assert!(servers.as_array().unwrap().iter().any(|server| server["name"] == "search"), "{servers}");
    assert_eq!(world.server.delete("/v1/config/mcp-servers/search").await.status, 204);
    let told = world.told(json!({ "prompt": HI })).await;
    let servers = told.init()["mcp_servers"].clone();
    assert!(!servers.as_array().unwrap().iter().any(|server| server["name"] == "search"), "{servers}");
    world.stop().await;
}

/// Whether the agent's `touch` is let through.
async fn touches(world: &World, file: &str, cwd: &str) -> bool {
    let command = json!({"command": format!("touch {file}"), "description": "d"});
    let prompt = turns([tool("Bash", &command), text("end")]);
    let answer = world.ask(json!({"prompt": prompt, "cwd": cwd, "allowedTools": ["Bash"]})).await;
    assert_eq!(answer.result(), "end");
    world.server.folders.workspace().join(cwd).join(file).exists()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deny_rule_binds_the_next_run() {
    let world =
        World::with(|server| server.file("workspace/shop/README", "x").file("workspace/other/README", "x")).await;
    assert!(touches(&world, "before", "shop").await);
    let deny = json!({"content": {"permissions": {"deny": ["Bash(touch:*)"]}}});
    // In one workspace, then for all.
    put(&world, "/v1/config/settings?workspace=shop", deny.clone()).await;
    assert!(!touches(&world, "one", "shop").await);
    assert!(touches(&world, "one", "other").await);
    put(&world, "/v1/config/settings", deny).await;
    assert!(!touches(&world, "two", "other").await);
    for path in ["/v1/config/settings", "/v1/config/settings?workspace=shop"] {
        assert_eq!(world.server.delete(path).await.status, 204);
    }
    assert!(touches(&world, "after", "shop").await);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspaces_texts_are_for_its_own_runs() {
    let world =
        World::with(|server| server.file("workspace/shop/README", "x").file("workspace/other/README", "x")).await;
    let agent = "---\nname: local\ndescription: A local agent.\n---\nx\n";
    for (path, content) in [
        ("claude-md", "The shop sells wood.\n"),
        ("rules/team/tabs", "In the shop prefer tabs.\n"),
        ("agents/local", agent),
        ("skills/stock", "---\nname: stock\ndescription: Knows the stock of the shop.\n---\nx\n"),
    ] {
        put(&world, &format!("/v1/config/{path}?workspace=shop"), json!({ "content": content })).await;
    }
    let texts = ["The shop sells wood.", "In the shop prefer tabs.", "Knows the stock of the shop."];
    let there = sent_for(&world, json!({"prompt": HI, "cwd": "shop"})).await;
    let elsewhere = sent_for(&world, json!({"prompt": HI, "cwd": "other"})).await;
    for part in texts {
        assert!(there.contains(part) && !elsewhere.contains(part), "{part}");
    }
    let told = world.told(json!({"prompt": HI, "cwd": "shop"})).await;
    assert!(told.init()["agents"].as_array().unwrap().contains(&json!("local")));
    world.stop().await;
}
