//! `fork_session`: a conversation goes on in two ways.

use std::fs;

use serde_json::{Value, json};

use super::World;

fn transcript(world: &World, session: &Value) -> Vec<u8> {
    let session = session.as_str().unwrap();
    fs::read(world.server.folders.data().join("sessions").join(session).join(format!("{session}.jsonl"))).unwrap()
}

fn fork(session: &Value, prompt: &str) -> Value {
    json!({"prompt": prompt, "session_id": session, "fork_session": true})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_has_the_conversation_so_far_and_the_first_one_goes_on_without_it() {
    let world = World::new().await;
    let first = world.server.run(json!({"prompt": "one [[text:noted]]"})).await;
    world.server.at_rest().await;
    let before = transcript(&world, &first["session_id"]);

    let forked = world.server.run(fork(&first["session_id"], "two [[text:forked]]")).await;
    assert_eq!((&forked["state"], &forked["result"]), (&json!("completed"), &json!("forked")), "{forked}");
    assert_ne!(forked["session_id"], first["session_id"]);
    assert_eq!(world.last_message().user_texts(), ["one [[text:noted]]", "two [[text:forked]]"]);
    world.server.at_rest().await;
    assert_eq!(transcript(&world, &first["session_id"]), before, "the first one is as it was, byte for byte");

    let go_on = |session: &Value| json!({"prompt": "three [[text:x]]", "session_id": session});
    world.server.run(go_on(&forked["session_id"])).await;
    assert_eq!(world.last_message().user_texts().len(), 3);
    world.server.run(go_on(&first["session_id"])).await;
    assert_eq!(world.last_message().user_texts(), ["one [[text:noted]]", "three [[text:x]]"]);
    // A fork of the fork.
    world.server.run(fork(&forked["session_id"], "four [[text:x]]")).await;
    assert_eq!(world.last_message().user_texts().len(), 4);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_at_work_is_forked_as_it_was_before_and_nobody_waits() {
    let world = World::new().await;
    let first = world.server.run(json!({"prompt": "one [[text:noted]]"})).await;
    world.model.clear();
    let at_work = world.server.submit(json!({"prompt": "two [[hang]]", "session_id": first["session_id"]})).await;
    world.model_is_asked().await;
    let forked = world.server.run(fork(&first["session_id"], "three [[text:forked]]")).await;
    assert_eq!((&forked["state"], &forked["result"]), (&json!("completed"), &json!("forked")), "{forked}");
    assert_eq!(world.last_message().user_texts(), ["one [[text:noted]]", "three [[text:forked]]"]);
    // A session of which nothing is there yet.
    let new = world.server.submit(json!({"prompt": "one [[hang]]"})).await;
    let session = world.server.get(&format!("/v1/runs/{new}")).await.body["session_id"].clone();
    let too_early = world.server.run(fork(&session, "x")).await;
    assert_eq!(too_early["error"]["type"], "session_not_found", "{too_early}");
    for run in [&new, &at_work] {
        let cancel = world.server.post(&format!("/v1/runs/{run}/cancel"), &json!({})).await;
        assert!(cancel.status < 300, "{cancel:?}");
        world.server.ended(run).await;
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_right_after_the_end_has_the_last_turn() {
    let world = World::new().await;
    let first = world.server.run(json!({"prompt": "one [[text:noted]]"})).await;
    let forked = world.server.run(fork(&first["session_id"], "two [[text:forked]]")).await;
    assert_eq!(forked["state"], "completed", "{forked}");
    world.server.run(json!({"prompt": "three [[text:x]]", "session_id": forked["session_id"]})).await;
    world.server.run(fork(&forked["session_id"], "four [[text:x]]")).await;
    assert_eq!(world.last_message().user_texts().len(), 4);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_belongs_to_the_key_that_made_it_and_no_key_forks_what_it_does_not_see() {
    let world = World::new().await;
    let (owner, other) = (world.server.user(json!({})).await, world.server.user(json!({})).await);
    let first = owner.run(json!({"prompt": "one [[text:noted]]"})).await;
    let forked = owner.run(fork(&first["session_id"], "two [[text:forked]]")).await;
    assert_eq!(forked["state"], "completed", "{forked}");
    let nowhere = json!("00000000-0000-4000-8000-000000000000");
    let unknown = other.post("/v1/runs", &fork(&nowhere, "x")).await;
    assert!((400..500).contains(&unknown.status), "{unknown:?}");
    for session in [&first["session_id"], &forked["session_id"]] {
        for body in [fork(session, "x"), json!({"prompt": "x", "session_id": session})] {
            let refused = other.post("/v1/runs", &body).await;
            assert_eq!((refused.status, refused.kind()), (unknown.status, unknown.kind()), "{body} {refused:?}");
        }
    }
    let next = owner.run(json!({"prompt": "[[text:mine]]", "session_id": forked["session_id"]})).await;
    assert_eq!(next["result"], "mine", "{next}");
    world.stop().await;
}
