//! The system prompt, and what of it a session keeps.

use serde_json::json;

use super::super::World;

const OWN: &str = "You are an agent working with the user";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_appended_follows_whatever_system_prompt_there_is() {
    let world = World::new().await;
    let appended = "--And speak of herons.\n\"Grüße\" {{x}}";
    world.completed(json!({"prompt": "[[text:x]]", "append_system_prompt": appended})).await;
    let heard = world.last_message().system_text();
    assert!(heard.contains(OWN) && heard.find(OWN) < heard.find(appended), "{heard}");

    let both =
        json!({"prompt": "[[text:x]]", "system_prompt": "You are a lighthouse.", "append_system_prompt": appended});
    world.completed(both).await;
    let heard = world.last_message().system_text();
    assert!(heard.contains(&format!("You are a lighthouse.\n\n{appended}")) && !heard.contains(OWN), "{heard}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_goes_on_keeps_nothing_that_its_request_does_not_say() {
    let world = World::new().await;
    let agents = json!({"pirate": {"description": "d", "prompt": "Speak like a pirate."}});
    let first = world
        .completed(
            json!({"prompt": "The word is heron. [[text:noted]]", "append_system_prompt": "First.", "effort": "low",
            "tools": ["Read"], "agents": agents, "agent": "pirate", "model": "haiku"}),
        )
        .await;
    let session = &first["session_id"];
    let heard = world.last_message();
    assert!(heard.system_text().contains("Speak like a pirate.\n\nFirst."), "{}", heard.system_text());

    world.completed(json!({"prompt": "[[text:x]]", "session_id": session, "append_system_prompt": "Second."})).await;
    let heard = world.last_message();
    let system = heard.system_text();
    assert!(system.contains("Second.") && !system.contains("First.") && !system.contains("pirate"), "{system}");
    assert!(heard.tool_names().contains(&"Bash"), "{:?}", heard.tool_names());
    assert_ne!(heard.body()["output_config"]["effort"], "low");

    world.completed(json!({"prompt": "[[text:x]]", "session_id": session})).await;
    let heard = world.last_message();
    let system = heard.system_text();
    assert!(system.contains(OWN) && !system.contains("Second.") && !system.contains("First."), "{system}");
    assert!(heard.user_texts()[0].contains("heron"), "but the conversation goes on");
    world.stop().await;
}
