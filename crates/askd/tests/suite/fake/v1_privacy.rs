//! Who may read a run's events, and for how long.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use askd::store::chunk::ChunkBuilder;
use askd::store::prune::Retention;
use askd::store::submit::{NewRun, Submit};
use askd::store::uploads::Needed;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::harness::{Answer, Folders, Program, TestServer, TestServerBuilder, V1};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_ends_after_five_minutes() {
    let ahead = Arc::new(AtomicI64::new(0));
    let clock = Arc::clone(&ahead);
    let now = move || Timestamp::from_second(1_795_000_000 + clock.load(Ordering::Relaxed)).unwrap();
    let server = TestServerBuilder::fake().clock(now).start().await;
    let run = server.run(json!({"prompt": "x"})).await["id"].as_str().unwrap().to_owned();
    let made = server.post(&format!("/v1/runs/{run}/stream-token"), &json!({})).await.body;
    assert_eq!(made["expires_at"], "2026-11-18T11:11:40.000Z");
    let url = server.url(made["url"].as_str().unwrap());
    for (seconds, status) in [(299, 200), (300, 401)] {
        ahead.store(seconds, Ordering::Relaxed);
        let answer = Answer::by(server.client.get(&url)).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_in_no_line_of_the_log_and_not_in_the_store() {
    let folders = Folders::new();
    let mut program = Program::start(&folders, &[("ASKD_LOG", "trace")]);
    let address = program.address().await;
    let client = V1::at(address);
    let run = client.submit(&json!({"prompt": "x"})).await;
    client.ended(&run).await;
    let made = Answer::by(client.post(&format!("/runs/{run}/stream-token"), &json!({}))).await;
    let (token, url) = (made.body["token"].as_str().unwrap(), made.body["url"].as_str().unwrap());
    let browser = reqwest::Client::new();
    for url in [url.to_owned(), format!("{url}&types=,"), url.replace(&run, "run_x")] {
        drop(browser.get(format!("http://{address}{url}")).send().await.unwrap());
    }
    program.signal(rustix::process::Signal::TERM);
    program.ended().await;
    assert!(program.log().contains("/v1/runs/{id}/events"), "{}", program.log());
    assert!(!program.log().contains(token));
    for file in folders.list("data").iter().filter(|file| file.starts_with("askd.db")) {
        let bytes = std::fs::read(folders.data().join(file)).unwrap();
        assert!(!bytes.windows(token.len()).any(|part| part == token.as_bytes()), "{file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_no_longer_kept_are_gone_and_the_run_stays() {
    let server = TestServerBuilder::fake().start().await;
    let run = server.run(json!({"prompt": "x"})).await;
    let (id, last) = (run["id"].as_str().unwrap(), &run["last_seq"]);
    let old = Retention { events_before: i64::MAX, ..Retention::default() };
    server.app.runs().shared().store.prune(&old).await.unwrap();
    for accept in ["application/json", "text/event-stream", "application/x-ndjson"] {
        let request = server.getting(&format!("/v1/runs/{id}/events")).header("accept", accept);
        let answer = Answer::by(request).await;
        assert_eq!((answer.status, answer.kind()), (410, "not_found_error"), "{answer:?}");
        assert!(answer.message().contains("ASKD_EVENT_RETENTION"), "{answer:?}");
    }
    let end = server.following(id, &format!("after={last}")).await;
    assert_eq!(end.status(), 204, "a reader that has everything need not know");
    let run = server.get(&format!("/v1/runs/{id}")).await;
    assert_eq!((&run.body["state"], &run.body["result"]), (&json!("completed"), &json!(null)), "{run:?}");
    server.stop().await;
}

/// A run that another server works on; its id.
async fn of_another_server(server: &TestServer) -> &'static str {
    let id = "run_01a20500-0000-7000-8000-000000000001";
    let mut first = ChunkBuilder::new(1);
    first.push(1_795_000_000_000, "run.queued", "{}");
    let run = NewRun {
        id: id.into(),
        key_id: "admin".into(),
        session_id: "00000000-0000-4000-8000-000000000001".into(),
        state: "running",
        owner: "another server".into(),
        on_disconnect: "continue",
        request: r#"{"prompt":"x"}"#.into(),
        created_at: 1_795_000_000_000,
        ..NewRun::default()
    };
    let submit = Submit {
        run,
        metadata: Vec::new(),
        first_chunk: first.finish().compress(),
        idempotency: None,
        reserve: None,
        uploads: Needed::default(),
        secrets: None,
    };
    server.app.runs().shared().store.write(submit).await.unwrap();
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_in_other_hands_can_be_followed_and_takes_no_commands() {
    let server = TestServerBuilder::fake().start().await;
    let id = of_another_server(&server).await;
    for what in ["cancel", "interrupt", "input"] {
        let answer = server.post(&format!("/v1/runs/{id}/{what}"), &json!({"message": "x"})).await;
        assert_eq!((answer.status, answer.kind()), (409, "conflict_error"), "{what} {answer:?}");
        assert!(answer.message().contains("another server"), "{answer:?}");
    }
    let mut stream = server.follow(id, "").await;
    stream.until_event("run.queued").await;
    server.app.lifecycle().stop();
    let rest = stream.rest().await;
    assert!(
        rest.last().unwrap().comment.as_deref().unwrap().contains("the run is kept, follow it at"),
        "no end, and no error: {rest:?}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_in_the_middle_of_a_stream_is_told_and_the_stream_ends() {
    let server = TestServerBuilder::fake().start().await;
    let id = of_another_server(&server).await;
    let mut sse = server.follow(id, "").await;
    sse.until_event("run.queued").await;
    let request = server.getting(&format!("/v1/runs/{id}/events")).header("accept", "application/x-ndjson");
    let ndjson = request.send().await.unwrap();
    server.app.runs().shared().store.close().await;
    let rest = sse.rest().await;
    let last = rest.last().unwrap();
    assert_eq!((last.event.as_deref(), &last.id), (Some("error"), &None), "{rest:?}");
    let error: Value = serde_json::from_str(last.data.as_deref().unwrap()).unwrap();
    let lines = Answer::to("GET", ndjson).await;
    let line: Value = serde_json::from_str(lines.text.lines().last().unwrap()).unwrap();
    for error in [&error, &line] {
        assert_eq!((&error["type"], &error["error"]["type"]), (&json!("error"), &json!("overloaded_error")), "{error}");
        assert!(error["request_id"].is_string(), "{error}");
    }
    server.stop().await;
}
