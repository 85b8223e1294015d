//! What can be asked of a run that waits or works: cancel, interrupt, input.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Answer, Engine, TestServer, TestServerBuilder, eventually_async};

async fn server() -> TestServer {
    TestServerBuilder::fake().set(|settings| settings.limits.max_concurrent = 1).start().await
}

async fn post(server: &TestServer, run: &str, what: &str) -> Answer {
    Answer::by(server.posting(&format!("/v1/runs/{run}/{what}"))).await
}

/// A run that the CLI works on.
async fn at_work(server: &TestServer, prompt: &str) -> String {
    let run = server.submit(json!({"prompt": format!("!touch there\n{prompt}")})).await;
    server.reached("there").await;
    run
}

fn assert_conflict(answer: &Answer, part: &str) {
    assert_eq!((answer.status, answer.kind()), (409, "conflict_error"), "{answer:?}");
    assert!(answer.message().contains(part), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_works_or_waits_is_cancelled() {
    let server = server().await;
    let running = at_work(&server, "!spawn setsid\n!hang").await;
    let queued = server.submit(json!({"prompt": "!touch never"})).await;
    server.busy_with(1, 1).await;
    for run in [&queued, &running] {
        let answer = post(&server, run, "cancel").await;
        assert_eq!(
            (answer.status, &answer.body["type"], answer.run_id()),
            (202, &json!("run"), run.as_str()),
            "{answer:?}"
        );
        let ended = server.ended(run).await;
        assert_eq!((&ended["state"], &ended["error"]["type"]), (&json!("cancelled"), &json!("cancelled")), "{ended}");
        let again = post(&server, run, "cancel").await;
        assert_eq!((again.status, &again.body["state"]), (200, &json!("cancelled")), "{again:?}");
    }
    assert!(server.get(&format!("/v1/runs/{queued}")).await.body["started_at"].is_null());
    server.at_rest().await;
    assert!(!server.folders.workspace().join("never").exists());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_ends_the_turn_and_with_it_the_run() {
    let server = server().await;
    let run = at_work(&server, "!hang").await;
    let answer = post(&server, &run, "interrupt").await;
    assert_eq!((answer.status, &answer.body), (202, &json!({"type": "interrupt", "run_id": run})), "{answer:?}");
    let ended = server.ended(&run).await;
    assert_eq!(
        (&ended["state"], &ended["error"]["terminal_reason"]),
        (&json!("cancelled"), &json!("aborted_streaming")),
        "{ended}"
    );
    assert_conflict(&post(&server, &run, "interrupt").await, "ended");
    let session = ended["session_id"].as_str().unwrap();
    let next = server.run(json!({"prompt": "!recall", "session_id": session})).await;
    assert_eq!(next["state"], "completed", "its session can be continued: {next}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_the_store_kept_waiting_for_too_long_is_not_claimed_to_be_done() {
    let patience = Duration::from_secs(4);
    let server = TestServerBuilder::fake().set(|settings| settings.store.timeout = patience).start().await;
    let run = at_work(&server, "!hang").await;
    let interrupt = async || {
        let request = server.posting(&format!("/v1/runs/{run}/interrupt")).header("idempotency-key", "k");
        Answer::by(request).await
    };
    let stall = Engine::Sqlite.stall(&server.folders.data()).await;
    assert_eq!(interrupt().await.status, 503);
    // What came too late for its client is done now.
    stall.end().await;
    eventually_async("an interrupt that is no repetition", async || {
        let answer = interrupt().await;
        (answer.status == 202 && answer.header("idempotency-replayed").is_none()).then_some(())
    })
    .await;
    assert_eq!(server.ended(&run).await["state"], "cancelled");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_further_message_is_worked_on_in_the_same_run() {
    let server = server().await;
    let run = at_work(&server, "!await go\n!result first").await;
    let path = format!("/v1/runs/{run}/input");
    let answer = server.post(&path, &json!({"message": "!result second", "priority": "later"})).await;
    assert_eq!(
        (answer.status, &answer.body["type"], &answer.body["priority"]),
        (202, &json!("input"), &json!("later")),
        "{answer:?}"
    );
    let input = answer.body["id"].as_str().unwrap().to_owned();
    assert_eq!(answer.body["run_id"], *run);
    server.release("go");
    let events = server.follow(&run, "").await.envelopes().await;
    let about = |event: &&Value| event["data"]["command_uuid"] == *input;
    let states: Vec<_> = events.iter().filter(about).map(|event| event["data"]["state"].clone()).collect();
    assert_eq!(states.last(), Some(&json!("completed")), "{events:?}");
    assert_eq!(events.iter().filter(|event| event["type"] == "agent.result").count(), 2);
    assert_eq!(server.ended(&run).await["result"], "second", "the last result counts");
    assert_conflict(&server.post(&path, &json!({"message": "late"})).await, "ended");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_has_not_started_takes_no_commands() {
    let server = server().await;
    let running = at_work(&server, "!await go").await;
    let queued = server.submit(json!({"prompt": "x"})).await;
    server.busy_with(1, 1).await;
    assert_conflict(&post(&server, &queued, "interrupt").await, "not started");
    let input = server.post(&format!("/v1/runs/{queued}/input"), &json!({"message": "x"})).await;
    assert_conflict(&input, "not started");
    server.release("go");
    server.ended(&running).await;
    server.ended(&queued).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_with_a_key_is_done_once() {
    let server = server().await;
    let run = at_work(&server, "!await go").await;
    let path = format!("/v1/runs/{run}/input");
    let send = async |message: &str| {
        let request = server.posting(&path).header("idempotency-key", "k").json(&json!({"message": message}));
        Answer::by(request).await
    };
    let first = send("one").await;
    let again = send("one").await;
    assert_eq!((first.status, again.status), (202, 202), "{first:?} {again:?}");
    assert_eq!((&again.body, again.header("idempotency-replayed")), (&first.body, Some("true")));
    assert_eq!(first.header("idempotency-replayed"), None);
    let other = send("two").await;
    assert_eq!(
        (other.status, other.kind(), other.param()),
        (422, "invalid_request_error", "Idempotency-Key"),
        "{other:?}"
    );
    server.release("go");
    server.ended(&run).await;
    assert_eq!(send("one").await.body, first.body, "also after the end");
    let results = server.get(&format!("/v1/runs/{run}/events?types=agent.result")).await;
    assert_eq!(results.body["data"].as_array().unwrap().len(), 2, "the message was worked on once");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_command_does_not_use_its_key_up() {
    let server = server().await;
    let running = at_work(&server, "!await go").await;
    let queued = server.submit(json!({"prompt": "!touch begun\n!await on"})).await;
    let send = async || {
        let request = server.posting(&format!("/v1/runs/{queued}/interrupt")).header("idempotency-key", "k");
        Answer::by(request).await
    };
    assert_conflict(&send().await, "not started");
    server.release("go");
    server.ended(&running).await;
    server.reached("begun").await;
    assert_eq!(send().await.status, 202);
    server.ended(&queued).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_with_a_key_can_be_repeated() {
    let server = server().await;
    let run = at_work(&server, "!hang").await;
    let send = async || {
        let request = server.posting(&format!("/v1/runs/{run}/cancel")).header("idempotency-key", "k");
        Answer::by(request).await
    };
    assert_eq!(send().await.status, 202);
    server.ended(&run).await;
    let again = send().await;
    assert_eq!((again.status, &again.body["state"]), (200, &json!("cancelled")));
    server.stop().await;
}
