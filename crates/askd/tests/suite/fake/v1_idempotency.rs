//! `Idempotency-Key`: a request that is sent twice makes one run, on `/ask` and on `/v1/runs`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Answer, Stream, TestServer, TestServerBuilder, beside};

async fn server() -> TestServer {
    TestServerBuilder::fake().start().await
}

async fn send(server: &TestServer, path: &str, key: &str, body: &Value) -> Answer {
    let request = server.posting(path).header("idempotency-key", key).json(body);
    Answer::by(request).await
}

async fn runs(server: &TestServer) -> usize {
    server.get("/v1/runs").await.body["data"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_gets_the_same_run() {
    let server = server().await;
    let first = send(&server, "/v1/runs", "a", &json!({"prompt": "x", "max_turns": 2})).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (202, None), "{first:?}");
    let again = send(&server, "/v1/runs?wait=60", "a", &json!({"max_turns": 2, "prompt": "x"})).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (200, Some("true")), "{again:?}");
    assert_eq!((again.run_id(), &again.body["result"]), (first.run_id(), &json!("echo: x")));
    let request = server.posting("/v1/runs").header("idempotency-key", "a").header("accept", "text/event-stream");
    let stream = request.json(&json!({"prompt": "x", "max_turns": 2})).send().await.unwrap();
    assert_eq!(stream.headers()["idempotency-replayed"], "true");
    let events = Stream::of(stream).envelopes().await;
    assert_eq!((&events[0]["type"], &events.last().unwrap()["type"]), (&json!("run.queued"), &json!("run.completed")));
    let request = server.posting("/v1/runs").header("idempotency-key", "a").header("accept", "text/event-stream");
    let request = request.header("last-event-id", "2").json(&json!({"prompt": "x", "max_turns": 2}));
    let rest = Stream::of(request.send().await.unwrap()).envelopes().await;
    assert_eq!(rest, events[2..], "it goes on where its client was");
    let request = server.posting("/v1/runs").header("idempotency-key", "a").header("accept", "text/event-stream");
    let request = request.header("last-event-id", "99").json(&json!({"prompt": "x", "max_turns": 2}));
    let beyond = Answer::by(request).await;
    assert_eq!((beyond.status, beyond.param(), beyond.run_id()), (400, "Last-Event-ID", first.run_id()), "{beyond:?}");
    let (taken_in, place) = (format!("run {} was taken in; ", first.run_id()), format!("/v1/runs/{}", first.run_id()));
    assert!(beyond.message().starts_with(&taken_in), "the error is of a run that is there: {beyond:?}");
    assert_eq!(beyond.header("location"), Some(&*place));
    assert!(beyond.header("x-askd-session-id").is_some(), "{beyond:?}");
    assert_eq!(runs(&server).await, 1);
    let other = send(&server, "/v1/runs", "b", &json!({"prompt": "x", "max_turns": 2})).await;
    assert_ne!(other.run_id(), first.run_id());
    server.ended(other.run_id()).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_belongs_to_one_body_and_one_route() {
    let server = server().await;
    let run = send(&server, "/v1/runs?wait=60", "k", &json!({"prompt": "x"})).await;
    let other = send(&server, "/v1/runs", "k", &json!({"prompt": "y"})).await;
    assert_eq!(
        (other.status, other.kind(), other.param()),
        (422, "invalid_request_error", "Idempotency-Key"),
        "{other:?}"
    );
    let asked = send(&server, "/ask", "k", &json!({"prompt": "x"})).await;
    assert_ne!(asked.run_id(), run.run_id(), "another route");
    let other = send(&server, "/ask", "k", &json!({"prompt": "y"})).await;
    assert_eq!((other.status, other.code()), (422, "REQUEST_ERROR"), "{other:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ask_gives_the_same_answer_again() {
    let server = server().await;
    let body = json!({"prompt": "!say a\n!result done"});
    let first = send(&server, "/ask", "k", &body).await;
    let again = send(&server, "/ask", "k", &body).await;
    assert_eq!((&again.body, again.run_id()), (&first.body, first.run_id()));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let failing = json!({"prompt": "!result {\"is_error\":true,\"result\":\"no\"}"});
    let first = send(&server, "/ask", "f", &failing).await;
    let again = send(&server, "/ask", "f", &failing).await;
    assert_eq!(
        (again.status, again.code(), &again.body["result"]),
        (first.status, first.code(), &first.body["result"])
    );
    assert_eq!(first.status, 500);
    let mut body = body;
    body["stream"] = true.into();
    let request = || server.request(&body).header("idempotency-key", "s");
    let first = Stream::of(request().send().await.unwrap()).rest().await;
    assert_eq!(Stream::of(request().send().await.unwrap()).rest().await, first);
    assert_eq!(runs(&server).await, 3);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_come_together_make_one_run() {
    let server = server().await;
    let requests = (0..10).map(|_| {
        let request = server.posting("/v1/runs?wait=60").header("idempotency-key", "k").json(&json!({"prompt": "x"}));
        beside(async move { Answer::by(request).await })
    });
    let answers = futures_util::future::join_all(requests.collect::<Vec<_>>()).await;
    let first = answers[0].as_ref().unwrap().run_id().to_owned();
    for answer in answers {
        let answer = answer.unwrap();
        assert_eq!((answer.status, answer.run_id()), (200, first.as_str()), "{answer:?}");
    }
    assert_eq!(runs(&server).await, 1);
    server.at_rest().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_two_clients_hold_ends_when_both_have_left() {
    let server = server().await;
    let body = json!({"prompt": "!touch there\n!await go", "on_disconnect": "cancel"});
    let join = || {
        let request = server.posting("/v1/runs").header("idempotency-key", "k").header("accept", "text/event-stream");
        request.json(&body).send()
    };
    let mut first = Stream::of(join().await.unwrap());
    server.reached("there").await;
    let mut second = Stream::of(join().await.unwrap());
    first.until_event("run.started").await;
    second.until_event("run.started").await;
    drop(first);
    assert_eq!(server.occupancy().await, (1, 0), "one client is still there");
    drop(second);
    let run = server.get("/v1/runs").await.body["data"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(server.ended(&run).await["state"], "cancelled");
    server.at_rest().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_does_not_use_the_key_up() {
    let builder = TestServerBuilder::fake().set(|settings| {
        (settings.limits.max_concurrent, settings.limits.queue_length) = (1, 0);
    });
    let server = builder.start().await;
    let wrong = send(&server, "/v1/runs", "k", &json!({"prompt": "x", "cwd": "missing"})).await;
    assert_eq!((wrong.status, wrong.param()), (400, "cwd"), "{wrong:?}");
    let running = server.submit(json!({"prompt": "!touch there\n!await go"})).await;
    server.reached("there").await;
    let full = send(&server, "/v1/runs", "k", &json!({"prompt": "x"})).await;
    assert_eq!((full.status, full.kind()), (529, "overloaded_error"), "{full:?}");
    assert!(full.header("retry-after").is_some());
    let full = send(&server, "/ask", "k", &json!({"prompt": "x"})).await;
    assert_eq!((full.status, full.code()), (429, "SERVER_BUSY"), "{full:?}");
    server.release("go");
    server.ended(&running).await;
    server.at_rest().await;
    assert_eq!(send(&server, "/v1/runs?wait=60", "k", &json!({"prompt": "x"})).await.status, 200);
    server.at_rest().await;
    assert_eq!(send(&server, "/ask", "k", &json!({"prompt": "x"})).await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_got_no_turn_does_not_use_the_key_up() {
    let builder = TestServerBuilder::fake().set(|settings| {
        settings.limits.max_concurrent = 1;
        settings.limits.queue_timeout = Duration::from_millis(200);
    });
    let server = builder.start().await;
    let running = server.submit(json!({"prompt": "!touch there\n!await go"})).await;
    server.reached("there").await;
    let body = json!({"prompt": "x"});
    let waited = send(&server, "/ask", "k", &body).await;
    assert_eq!((waited.status, waited.code()), (429, "SERVER_BUSY"), "{waited:?}");
    let waited_again = send(&server, "/ask", "k", &body).await;
    assert_eq!((waited_again.status, waited_again.header("idempotency-replayed")), (429, None), "{waited_again:?}");
    server.release("go");
    server.ended(&running).await;
    server.at_rest().await;
    let ran = send(&server, "/ask", "k", &body).await;
    assert_eq!((ran.status, ran.header("idempotency-replayed")), (200, None), "{ran:?}");
    let same = send(&server, "/ask", "k", &body).await;
    assert_eq!((same.run_id(), same.header("idempotency-replayed")), (ran.run_id(), Some("true")));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_agent_the_cli_does_not_know_does_not_use_the_key_up() {
    let agent = "---\nname: reviewer\ndescription: d\n---\nBe brief.";
    let server = TestServerBuilder::fake_that("no-agents").file("config/agents/reviewer.md", agent).start().await;
    let body = json!({"prompt": "x", "agent": "reviewer"});
    let first = send(&server, "/ask", "k", &body).await;
    let second = send(&server, "/ask", "k", &body).await;
    for answer in [&first, &second] {
        assert_eq!((answer.status, answer.code()), (400, "AGENT_NOT_FOUND"), "{answer:?}");
        assert_eq!(answer.header("idempotency-replayed"), None, "{answer:?}");
    }
    assert_ne!(first.run_id(), second.run_id(), "it was tried again");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_a_form() {
    let server = server().await;
    for key in ["", "two words", &"x".repeat(256)] {
        let answer = send(&server, "/v1/runs", key, &json!({"prompt": "x"})).await;
        assert_eq!((answer.status, answer.param()), (400, "Idempotency-Key"), "{answer:?}");
        assert_eq!(send(&server, "/ask", key, &json!({"prompt": "x"})).await.code(), "REQUEST_ERROR");
    }
    assert_eq!(runs(&server).await, 0);
    server.stop().await;
}
