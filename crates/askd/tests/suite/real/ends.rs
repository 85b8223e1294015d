//! Runs that do not end by themselves: deadlines, and clients that leave.

use std::time::Duration;

use scripted_model::prompt::{text, tool, turns};
use serde_json::json;

use super::World;

/// Long enough that the CLI has asked the model by then; on a busy machine the next is tried.
const LONG: [Duration; 3] = [Duration::from_secs(10), Duration::from_secs(30), Duration::from_secs(90)];

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_takes_too_long_is_ended_and_its_conversation_can_go_on() {
    for long in LONG {
        let world = World::with(|server| server.set(|settings| settings.deadlines.process_timeout = long)).await;
        let came_far_enough = is_ended_and_can_go_on(&world).await;
        world.stop().await;
        if came_far_enough {
            return;
        }
    }
    panic!("no CLI was fast enough");
}

/// Whether the CLI was fast enough to tell.
async fn is_ended_and_can_go_on(world: &World) -> bool {
    let (answer, told) = world.ask_both_ways(json!({"prompt": "Remember heron. [[hang]]"})).await;
    assert_eq!((answer.status, answer.code()), (504, "TIMEOUT"), "{answer:?}");
    assert!(answer.message().contains("PROCESS_TIMEOUT"), "{answer:?}");
    if world.model.messages().len() < 2 {
        return false;
    }
    assert!(answer.body.get("result").is_some(), "{answer:?}");
    assert_eq!((told.code(), told.error().as_deref()), (1, Some(answer.message())));
    world.model_is_left().await;
    world.server.at_rest().await;

    let body = json!({"prompt": "[[text:still here]]", "resume": told.init()["session_id"]});
    let answer = world.ask(body).await;
    if answer.code() == "TIMEOUT" {
        return false;
    }
    assert_eq!(answer.result(), "still here");
    assert!(world.last_message().body()["messages"].to_string().contains("Remember heron."));
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_says_nothing_for_too_long_is_ended() {
    for long in LONG {
        let world = World::with(|server| server.set(|settings| settings.deadlines.idle = long / 2)).await;
        let answer = world.ask(json!({"prompt": "[[text:one moment]] [[hang]]"})).await;
        assert_eq!((answer.status, answer.code()), (504, "TIMEOUT"), "{answer:?}");
        assert!(answer.message().contains("ASKD_IDLE_TIMEOUT"), "{answer:?}");
        if !world.model.messages().is_empty() {
            world.model_is_left().await;
            return world.stop().await;
        }
        world.stop().await;
    }
    panic!("no CLI has asked the model in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_ends_its_run() {
    for stream in [false, true] {
        let world = World::new().await;
        let client = world.server.ask_beside(&json!({"prompt": "[[hang]]", "stream": stream}));
        world.model_is_asked().await;
        client.abort();
        world.model_is_left().await;
        world.server.at_rest().await;
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_while_it_waits_is_never_run() {
    let world = World::with(|server| server.set(|settings| settings.limits.max_concurrent = 1)).await;
    let first = world.server.ask_beside(&json!({"prompt": "[[hang]]"}));
    world.model_is_asked().await;
    let second = world.server.ask_beside(&json!({"prompt": "[[text:never]]"}));
    world.server.busy_with(1, 1).await;
    second.abort();
    world.server.busy_with(1, 0).await;
    first.abort();
    world.server.at_rest().await;
    assert_eq!(world.model.messages().len(), 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_before_the_cli_is_ready_leaves_nothing() {
    let world = World::new().await;
    let client = world.server.ask_beside(&json!({"prompt": "[[text:never]]"}));
    world.server.busy_with(1, 0).await;
    client.abort();
    world.server.at_rest().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_may_go_on_alone_goes_on() {
    let world = World::new().await;
    let waiting = json!({"command": "until test -e go; do sleep 0.05; done; echo gone-on", "description": "d"});
    let body = json!({"prompt": turns([tool("Bash", &waiting), text("end")]), "allowedTools": ["Bash"]});
    let request = world.server.request(&body).header("x-askd-on-disconnect", "continue");
    tokio::select! {
        answer = request.send() => panic!("it must wait: {answer:?}"),
        // The request is dropped, and its connection with it.
        _ = world.model_is_asked() => {}
    }
    world.server.release("go");
    let went_on =
        |request: &scripted_model::RecordedRequest| request.tool_results().iter().any(|it| it.contains("gone-on"));
    world.model.wait_for(went_on, super::PATIENCE).await.expect("the next turn");
    world.server.at_rest().await;
    world.stop().await;
}
