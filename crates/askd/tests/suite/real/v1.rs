//! `/v1/runs` with the real CLI: what only it can say of interrupts, further messages and partial messages.

use scripted_model::prompt::tool;
use serde_json::{Value, json};

use super::World;
use crate::harness::{Answer, Stream};

/// Long enough for a request to arrive meanwhile, also on a busy machine.
const A_WHILE: &str = "[[pause_ms:6000]]";

async fn post(world: &World, run: &str, what: &str) -> Answer {
    Answer::by(world.server.posting(&format!("/v1/runs/{run}/{what}"))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_is_cancelled_and_its_session_goes_on() {
    let world = World::new().await;
    let run = world.server.submit(json!({"prompt": "Remember heron. [[text:one moment]] [[hang]]"})).await;
    world.model_is_asked().await;
    assert_eq!(post(&world, &run, "interrupt").await.status, 202);
    let ended = world.server.ended(&run).await;
    assert_eq!((&ended["state"], &ended["error"]["type"]), (&json!("cancelled"), &json!("cancelled")), "{ended}");
    assert!(ended["error"]["terminal_reason"].as_str().unwrap().starts_with("aborted_"), "{ended}");
    world.model_is_left().await;
    world.server.at_rest().await;
    let next = world.server.run(json!({"prompt": "[[text:still here]]", "session_id": ended["session_id"]})).await;
    assert_eq!((&next["state"], &next["result"]), (&json!("completed"), &json!("still here")), "{next}");
    assert!(world.last_message().body()["messages"].to_string().contains("Remember heron."));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_further_message_is_answered_in_the_same_run_whatever_its_priority() {
    for priority in ["now", "next", "later"] {
        let world = World::new().await;
        let run = world.server.submit(json!({"prompt": format!("{A_WHILE}[[text:first]]")})).await;
        world.model_is_asked().await;
        let path = format!("/v1/runs/{run}/input");
        let input = world.server.post(&path, &json!({"message": "[[text:second]]", "priority": priority})).await;
        assert_eq!(input.status, 202, "{input:?}");
        let events = world.server.follow(&run, "").await.envelopes().await;
        let ours = |event: &&Value| event["data"]["command_uuid"] == input.body["id"];
        let states: Vec<_> = events.iter().filter(ours).map(|event| event["data"]["state"].clone()).collect();
        assert_eq!(states.last(), Some(&json!("completed")), "{priority}: {states:?}");
        let ended = world.server.ended(&run).await;
        assert_eq!((&ended["state"], &ended["result"]), (&json!("completed"), &json!("second")), "{priority}: {ended}");
        let late = world.server.post(&path, &json!({"message": "x"})).await;
        assert_eq!((late.status, late.kind()), (409, "conflict_error"), "{late:?}");
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_messages_come_as_the_model_writes_and_the_whole_one_is_kept() {
    let world = World::new().await;
    let body = json!({"prompt": "[[deltas:count=20,bytes=16,pace_ms=5]]"});
    let request = world.server.posting("/v1/runs?deltas=true").header("accept", "text/event-stream").json(&body);
    let response = request.send().await.unwrap();
    let run = response.headers()["x-askd-run-id"].to_str().unwrap().to_owned();
    let blocks = Stream::of(response).rest().await;
    let is_part = |kind: Option<&str>| kind == Some("agent.stream_event");
    let parts: Vec<_> = blocks.iter().filter(|block| is_part(block.event.as_deref())).collect();
    let whole = blocks.iter().position(|block| block.event.as_deref() == Some("agent.assistant")).unwrap();
    let first = blocks.iter().position(|block| is_part(block.event.as_deref())).unwrap();
    assert!(parts.len() >= 20 && first < whole, "{} parts, first {first}, whole {whole}", parts.len());
    assert!(parts.iter().all(|part| part.id.is_none() && part.json()["run_id"] == *run));
    let kept = world.server.follow(&run, "").await.envelopes().await;
    assert!(kept.iter().all(|event| event["type"] != "agent.stream_event"));
    let without = world.server.run(body).await;
    assert_eq!(without["options"]["deltas"], false);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_brings_structured_output() {
    let world = World::new().await;
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
    let prompt = tool("StructuredOutput", &json!({"n": 7}));
    let run = world.server.run(json!({"prompt": prompt, "output_schema": schema})).await;
    assert_eq!(run["state"], "completed", "{run}");
    assert_eq!(run["structured_output"], json!({"n": 7}));
    assert!(run["usage"]["output_tokens"].is_u64(), "{run}");
    world.stop().await;
}
