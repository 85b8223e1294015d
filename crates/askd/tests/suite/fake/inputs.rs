//! How many messages and commands a run takes.

use serde_json::json;

use crate::harness::{Answer, TestServer, TestServerBuilder};

async fn at_work(server: &TestServer, prompt: &str) -> String {
    let run = server.submit(json!({"prompt": format!("!touch there\n{prompt}")})).await;
    server.reached("there").await;
    run
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_takes_further_messages_again_when_it_has_worked_on_those_that_it_has() {
    let server = TestServerBuilder::fake().start().await;
    let run = at_work(&server, "!await go").await;
    let path = format!("/v1/runs/{run}/input");
    let message = json!({"message": "!await on"});
    // With its prompt that makes 32.
    for number in 2..=32 {
        let answer = server.post(&path, &message).await;
        assert_eq!(answer.status, 202, "message {number}: {answer:?}");
    }
    let refused = server.post(&path, &message).await;
    assert_eq!((refused.status, refused.kind()), (529, "overloaded_error"), "{refused:?}");
    assert!(refused.message().contains("too many messages") && refused.header("retry-after").is_some(), "{refused:?}");
    server.release("go");
    let mut follower = server.follow(&run, "types=agent.result").await;
    follower.until_event("agent.result").await;
    // The result comes before the word that the prompt is worked on.
    let taken = crate::harness::eventually_async("a place for a message", async || {
        let answer = server.post(&path, &message).await;
        (answer.status != 529).then_some(answer)
    })
    .await;
    assert_eq!(taken.status, 202, "{taken:?}");
    server.release("on");
    let ended = server.ended(&run).await;
    assert_eq!(ended["state"], "completed", "{ended}");
    let results = server.get(&format!("/v1/runs/{run}/events?types=agent.result")).await.body;
    assert_eq!(
        results["data"].as_array().unwrap().len(),
        33,
        "what was taken is worked on, and what was refused is not"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn further_messages_that_wait_are_bounded_in_bytes() {
    let server = TestServerBuilder::fake().start().await;
    let run = at_work(&server, "!await go").await;
    let path = format!("/v1/runs/{run}/input");
    let picture = format!("R0lGODlhAQABAIAA{}", "A".repeat(1_800_000));
    let source = json!({"type": "base64", "media_type": "image/gif", "data": picture});
    let large = json!({"content": [{"type": "text", "text": "!await on"}, {"type": "image", "source": source}]});
    // Eight mebibytes in all.
    for number in 1..=4 {
        let answer = server.post(&path, &large).await;
        assert_eq!(answer.status, 202, "message {number}: {answer:?}");
    }
    let refused = server.post(&path, &large).await;
    assert_eq!((refused.status, refused.kind()), (529, "overloaded_error"), "{refused:?}");
    let small = server.post(&path, &json!({"message": "x"})).await;
    assert_eq!(small.status, 202, "there is room for a small one: {small:?}");
    server.release("go");
    server.release("on");
    let ended = server.ended(&run).await;
    assert_eq!(ended["state"], "completed", "{ended}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_takes_a_thousand_commands() {
    let server = TestServerBuilder::fake().start().await;
    let run = at_work(&server, "!stubborn\n!touch stubborn\n!hang").await;
    server.reached("stubborn").await;
    let interrupt = async || Answer::by(server.posting(&format!("/v1/runs/{run}/interrupt"))).await;
    for number in 1..=1_000 {
        let answer = interrupt().await;
        assert_eq!(answer.status, 202, "command {number}: {answer:?}");
    }
    let refused = [interrupt().await, server.post(&format!("/v1/runs/{run}/input"), &json!({"message": "x"})).await];
    for refused in refused {
        assert_eq!((refused.status, refused.kind()), (409, "conflict_error"), "{refused:?}");
        assert!(refused.message().contains("session_id"), "it says how to go on: {refused:?}");
    }
    let cancelled = Answer::by(server.posting(&format!("/v1/runs/{run}/cancel"))).await;
    assert_eq!(cancelled.status, 202, "it can be ended: {cancelled:?}");
    server.ended(&run).await;
    server.at_rest().await;
    server.stop().await;
}
