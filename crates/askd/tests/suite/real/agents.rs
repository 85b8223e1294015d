//! The field `agent`.

use serde_json::json;

use super::World;
use crate::harness::{Answer, TestServerBuilder};

fn agent(name: &str, text: &str) -> String {
    format!("---\nname: {name}\ndescription: An agent of a test.\n---\n{text}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_answers_with_its_own_prompt() {
    let world =
        World::with(|server| server.file("config/agents/file-name.md", &agent("known-as", "Speak like a pirate.")))
            .await;
    let (answer, told) = world.ask_both_ways(json!({"prompt": "[[text:arr]]", "agent": "file-name"})).await;
    assert_eq!((answer.result(), told.text().as_str()), ("arr", "arr"));
    for request in world.model.messages() {
        assert!(request.system_text().contains("Speak like a pirate."), "{}", request.system_text());
    }
    assert!(told.init()["agents"].as_array().unwrap().contains(&json!("known-as")));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agents_frontmatter_chooses_its_model_and_tools() {
    let text = "---\nname: reader\ndescription: d\nmodel: haiku\ntools: Read, Grep\n---\nRead.\n";
    let world = World::with(|server| server.file("config/agents/reader.md", text)).await;
    let told = world.told(json!({"prompt": "[[text:x]]", "agent": "reader"})).await;
    assert_eq!(told.text(), "x");
    let asked = world.last_message();
    assert!(asked.model().unwrap().contains("haiku"), "{:?}", asked.model());
    assert!(asked.tool_names().contains(&"Read") && !asked.tool_names().contains(&"Bash"), "{:?}", asked.tool_names());

    // A model in the request wins.
    world.ask(json!({"prompt": "[[text:x]]", "agent": "reader", "model": "sonnet"})).await.result();
    assert!(world.last_message().model().unwrap().contains("sonnet"));
    world.stop().await;
}

/// Asks for `name` in both forms; no message may reach the model.
async fn refused(name: &str, change: impl FnOnce(TestServerBuilder) -> TestServerBuilder) -> Answer {
    let world = World::with(change).await;
    let body = json!({"prompt": "[[text:must not be sent]]", "agent": name});
    let mut streamed = body.clone();
    streamed["stream"] = true.into();
    let (answer, streamed) = tokio::join!(world.ask(body), world.ask(streamed));
    assert_eq!((answer.status, answer.code()), (400, "AGENT_NOT_FOUND"), "{answer:?}");
    assert_eq!((streamed.status, streamed.code()), (400, "AGENT_NOT_FOUND"), "{streamed:?}");
    assert!(world.model.messages().is_empty(), "the prompt was sent");
    world.stop().await;
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_without_a_file_is_refused() {
    let answer = refused("nobody", |server| server.file("config/agents/somebody.md", &agent("nobody", "x"))).await;
    assert!(answer.message().contains("nobody"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_the_cli_would_skip_is_refused() {
    let answer = refused("broken", |server| server.file("config/agents/broken.md", "---\nname: broken\n---\nx")).await;
    assert!(answer.message().contains("description"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whose_hooks_cannot_be_read_is_refused_before_the_prompt_is_sent() {
    // The CLI says nothing of such a file, and without an agent it would answer as if none had been asked for.
    let file = "---\nname: hooked\ndescription: d\nhooks: 3\n---\nx";
    let answer = refused("hooked", |server| server.file("config/agents/hooked.md", file)).await;
    assert!(answer.message().contains("line 4: `hooks`"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_the_repository_is_not_one_of_the_operators() {
    refused("local", |server| server.file("workspace/.claude/agents/local.md", &agent("local", "x"))).await;
}
