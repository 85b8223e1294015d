//! Which tools the model is offered, and which of their calls are made.

use scripted_model::prompt::{text, tool, turns};
use serde_json::json;

use super::super::World;
use super::{bash, tools_of};

#[tokio::test(flavor = "multi_thread")]
async fn a_run_has_the_tools_of_its_list_and_no_other() {
    let world = World::new().await;
    world.completed(json!({"prompt": "[[text:x]]", "tools": ["Read", "Glob"]})).await;
    assert_eq!(tools_of(&world.last_message()), ["Glob", "Read"]);
    world.completed(json!({"prompt": "[[text:x]]", "tools": []})).await;
    assert_eq!(tools_of(&world.last_message()), [""; 0]);
    world.completed(json!({"prompt": "[[text:x]]"})).await;
    assert!(tools_of(&world.last_message()).contains(&"Bash"));
    // Nor by a call that the model makes without having been offered the tool.
    world.completed(json!({"prompt": bash("touch made"), "tools": ["Read"]})).await;
    assert_eq!(world.server.folders.list("workspace"), [""; 0]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_tool_is_not_there_and_a_denied_call_is_not_made() {
    let world = World::new().await;
    let denied = json!(["WebSearch", "Bash(touch denied:*)"]);
    let script = turns([
        tool("Bash", &json!({"command": "touch denied", "description": "d"})),
        tool("Bash", &json!({"command": "touch made", "description": "d"})),
        text("end"),
    ]);
    world.completed(json!({"prompt": script, "disallowed_tools": denied, "allowed_tools": ["Bash"]})).await;
    assert_eq!(world.server.folders.list("workspace"), ["made"], "though a rule allows both");
    let offered = world.last_message();
    assert!(tools_of(&offered).contains(&"Bash") && !tools_of(&offered).contains(&"WebSearch"));
    world.completed(json!({"prompt": "[[text:x]]", "disallowed_tools": "Bash"})).await;
    assert!(!tools_of(&world.last_message()).contains(&"Bash"));
    world.stop().await;
}
