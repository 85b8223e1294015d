//! `permission_modes`: no request and no subagent works in another one.

use scripted_model::prompt::{text, tool, turns};
use serde_json::json;

use super::super::World;
use super::agent;

#[tokio::test(flavor = "multi_thread")]
async fn no_subagent_works_in_a_mode_that_the_policy_does_not_have() {
    let world =
        World::with(|server| server.file("config/agents/acc.md", &agent("acc", "permissionMode: acceptEdits"))).await;
    let (free, held) = world.free_and_held(json!({"permission_modes": ["dontAsk", "default"]})).await;
    let file = world.server.folders.workspace().join("made");
    let write = turns([tool("Write", &json!({"file_path": file, "content": "x"})), text("sub")]);
    let call = tool("Agent", &json!({"description": "d", "subagent_type": "acc", "prompt": write}));
    for mode in ["dontAsk", "default"] {
        let body = json!({"prompt": turns([call.clone(), text("end")]), "permission_mode": mode});
        world.done(&free, &body).await.completed();
        assert!(file.exists(), "{mode}");
        std::fs::remove_file(&file).unwrap();
        let done = world.done(&held, &body).await;
        assert!(!file.exists(), "{mode}: {done:?}");
        let refused = "does not have the permission mode `acceptEdits`";
        assert!(done.completed().tool_results.iter().any(|result| result.contains(refused)), "{done:?}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_another_mode_is_refused_and_one_that_names_none_has_the_first() {
    // The CLI passes over this one, since it is told a mode.
    let settings = json!({"permissions": {"defaultMode": "acceptEdits"}}).to_string();
    let world = World::with(|server| server.file("config/settings.json", &settings)).await;
    let (free, held) = world.free_and_held(json!({"permission_modes": ["dontAsk"]})).await;
    let file = world.server.folders.workspace().join("made");
    let write = turns([tool("Write", &json!({"file_path": file, "content": "x"})), text("end")]);
    let edits = json!({"prompt": write, "permission_mode": "acceptEdits"});
    world.done(&free, &edits).await.completed();
    assert!(file.exists());
    std::fs::remove_file(&file).unwrap();
    world.refused(&held, &edits, "permission_mode").await;
    let done = world.done(&held, &json!({"prompt": write})).await;
    assert!(!file.exists() && done.completed().tool_results[0].contains("don't ask mode"), "{done:?}");
    world.stop().await;
}
