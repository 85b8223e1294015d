//! Agents that come with a request.

use scripted_model::prompt::{text, tool, turns};
use serde_json::{Value, json};

use super::super::World;
use super::{bash, tools_of};

fn agents() -> Value {
    json!({"reader": {"description": "Reads.", "prompt": "Speak like a pirate.", "tools": ["Read"], "model": "haiku"}})
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_the_request_answers_with_its_own_prompt_tools_and_model() {
    let world = World::new().await;
    let run = world.completed(json!({"prompt": "[[text:arr]]", "agents": agents(), "agent": "reader"})).await;
    assert_eq!(run["result"], "arr");
    let asked = world.last_message();
    assert!(asked.system_text().contains("Speak like a pirate."), "{}", asked.system_text());
    assert!(asked.model().unwrap().contains("haiku"), "{:?}", asked.model());
    assert!(tools_of(&asked).contains(&"Read") && !tools_of(&asked).contains(&"Bash"), "{:?}", tools_of(&asked));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_may_call_it_as_a_subagent() {
    let world = World::new().await;
    let task = json!({"description": "d", "subagent_type": "reader", "prompt": "[[text:from the reader]]"});
    world.completed(json!({"prompt": turns([tool("Task", &task), text("end")]), "agents": agents()})).await;
    let messages = world.model.messages();
    let of_agent = messages.iter().find(|message| message.system_text().contains("pirate")).expect("a subagent");
    assert!(of_agent.model().unwrap().contains("haiku") && !of_agent.tool_names().contains(&"Bash"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_wins_over_one_of_the_server_of_the_same_name_which_the_next_run_has_again() {
    let file = "---\nname: reader\ndescription: d\n---\nSpeak like a lighthouse.\n";
    let world = World::with(|server| server.file("config/agents/reader.md", file)).await;
    world.completed(json!({"prompt": "[[text:x]]", "agents": agents(), "agent": "reader"})).await;
    assert!(world.last_message().system_text().contains("pirate"));
    world.completed(json!({"prompt": "[[text:x]]", "agent": "reader"})).await;
    assert!(world.last_message().system_text().contains("lighthouse"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guard_is_asked_before_its_calls_too() {
    let world = World::new().await;
    let agents = json!({"doer": {"description": "d", "prompt": "Do.", "permission_mode": "acceptEdits"}});
    let task = json!({"description": "d", "subagent_type": "doer", "prompt": bash("touch trace; git push -f")});
    let body =
        json!({"prompt": turns([tool("Task", &task), text("end")]), "agents": agents, "allowed_tools": ["Bash"]});
    let run = world.completed(body).await;
    assert!(run["warnings"].to_string().contains("git-force-push"), "{run}");
    assert_eq!(world.server.folders.list("workspace"), [""; 0]);
    world.stop().await;
}
