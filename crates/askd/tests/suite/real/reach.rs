//! Write root and further folders with the real CLI: its own rules agree with what the run's view lets it do.

use scripted_model::prompt::{text, tool, turns};
use serde_json::{Value, json};

use super::World;

/// A world with the workspaces `shop` and `lib`; `None`, and a line that says so, where nothing keeps runs to theirs.
async fn world() -> Option<World> {
    let world = World::with(|server| {
        server
            .file("workspace/shop/web/page.txt", "a page")
            .file("workspace/lib/text.txt", "a text of the library")
            .file("workspace/lib/CLAUDE.md", "Remember the stork.")
            .file("workspace/lib/.claude/skills/s/SKILL.md", "---\nname: s\ndescription: Paints the stork.\n---\nx")
    });
    let world = world.await;
    if world.server.app.runs().shared().isolation.layer().as_str() != "none" {
        return Some(world);
    }
    // Past the harness, which shows nothing of a test that passes.
    drop(std::io::Write::write_all(&mut std::io::stderr(), b"NOT RUN: no layer works here\n"));
    world.stop().await;
    None
}

/// Lets the model write these files, one after the other; which of them are there then.
async fn writes(world: &World, mut body: Value, files: &[&str]) -> Vec<bool> {
    let path = |file: &&str| world.server.folders.workspace().join(file);
    let calls = files.iter().map(|file| tool("Write", &json!({"file_path": path(file), "content": "by the agent"})));
    body["prompt"] = turns(calls.chain([text("end")])).into();
    let run = world.server.run(body).await;
    assert_eq!((&run["state"], &run["result"]), (&json!("completed"), &json!("end")), "{run}");
    files.iter().map(|file| path(file).exists()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_are_accepted_where_the_run_may_write_and_nowhere_else() {
    let Some(world) = world().await else { return };
    let body = json!({"cwd": "shop", "write_root": "shop/web", "permission_mode": "acceptEdits"});
    assert_eq!(writes(&world, body, &["shop/web/one.txt", "shop/one.txt", "lib/one.txt"]).await, [true, false, false]);
    for (writable, file) in [(true, "lib/two.txt"), (false, "lib/three.txt")] {
        let folders = json!([{"path": "lib", "writable": writable}]);
        let body = json!({"cwd": "shop/web", "additional_folders": folders, "permission_mode": "acceptEdits"});
        assert_eq!(writes(&world, body, &[file]).await, [writable]);
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_further_folder_is_read_without_a_rule_and_its_own_configuration_is_not_loaded() {
    let Some(world) = world().await else { return };
    let file = world.server.folders.workspace().join("lib/text.txt");
    let script = turns([tool("Read", &json!({"file_path": file})), text("end")]);
    let body = json!({"prompt": script, "cwd": "shop", "additional_folders": [{"path": "lib"}]});
    assert_eq!(world.server.run(body).await["result"], "end");
    assert!(world.sent().contains("a text of the library"), "{:?}", world.last_message().tool_results());
    assert!(!world.sent().contains("stork"), "neither its CLAUDE.md nor its skills");
    world.stop().await;
}
