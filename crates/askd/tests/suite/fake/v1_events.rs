//! `GET /v1/runs/{id}/events`: from any place, in any form, to the end.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Answer, Stream, TestServer, TestServerBuilder};

async fn server() -> TestServer {
    TestServerBuilder::fake().start().await
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

async fn all(server: &TestServer, run: &str) -> Vec<Value> {
    server.follow(run, "").await.envelopes().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_reconnects_goes_on_where_it_was() {
    let server = server().await;
    let run = server.submit(json!({"prompt": "!say one\n!touch there\n!await go\n!say two"})).await;
    let mut stream = server.follow(&run, "").await;
    let seen = stream.until_event("agent.assistant").await["seq"].as_u64().unwrap();
    drop(stream);
    let again = server.getting(&format!("/v1/runs/{run}/events?after=1")).header("accept", "text/event-stream");
    let again = again.header("last-event-id", seen.to_string()).send().await.unwrap();
    server.release("go");
    let rest = Stream::of(again).envelopes().await;
    assert_eq!(rest[0]["seq"], seen + 1, "the header counts, not the address");
    assert_eq!(types(&rest).last(), Some(&"run.completed"));
    let whole = all(&server, &run).await;
    assert_eq!(whole[usize::try_from(seen).unwrap()..], rest);
    assert!(whole.iter().zip(1..).all(|(event, seq)| event["seq"] == seq));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_end_there_is_nothing_more() {
    let server = server().await;
    let run = server.run(json!({"prompt": "x"})).await;
    let (id, last) = (run["id"].as_str().unwrap(), run["last_seq"].as_u64().unwrap());
    let answer = server.following(id, &format!("after={last}")).await;
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (204, ""));
    let page = server.get(&format!("/v1/runs/{id}/events?after={last}")).await;
    assert_eq!(page.body, json!({"data": [], "next_page": null, "last_seq": last}));
    let lines = server.getting(&format!("/v1/runs/{id}/events?after={last}")).header("accept", "application/x-ndjson");
    let lines = Answer::by(lines).await;
    assert_eq!((lines.status, lines.text.as_str()), (200, ""));
    for accept in ["text/event-stream", "application/json"] {
        let beyond = server.getting(&format!("/v1/runs/{id}/events?after={}", last + 1)).header("accept", accept);
        let beyond = Answer::by(beyond).await;
        assert_eq!((beyond.status, beyond.param()), (400, "after"), "{beyond:?}");
        let beyond = server.getting(&format!("/v1/runs/{id}/events")).header("accept", accept);
        let beyond = beyond.header("last-event-id", (last + 1).to_string());
        let beyond = Answer::by(beyond).await;
        assert_eq!((beyond.status, beyond.param()), (400, "Last-Event-ID"), "{beyond:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_ended_is_read_from_the_store_as_it_was_live() {
    let server = server().await;
    let run = server.submit(json!({"prompt": "!line {\"type\":\"new\",  \"a\":1e400}\n!await go\n!say x"})).await;
    let live = server.follow(&run, "").await;
    server.release("go");
    let live = live.rest().await;
    server.at_rest().await;
    assert_eq!(server.follow(&run, "").await.rest().await, live);
    let odd = live.iter().find(|block| block.event.as_deref() == Some("agent.new")).unwrap();
    assert!(odd.data.as_ref().unwrap().ends_with(r#""data":{"type":"new",  "a":1e400}}"#), "byte for byte: {odd:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_wanted_types_are_sent_and_the_end_ends_the_stream_all_the_same() {
    let server = server().await;
    let id = server.run(json!({"prompt": "!say a"})).await["id"].as_str().unwrap().to_owned();
    for (list, expected) in [
        ("run.*", &["run.queued", "run.state", "run.started", "run.completed"][..]),
        ("agent.assistant", &["agent.assistant"]),
        ("agent.result,run.queued", &["run.queued", "agent.result"]),
        ("agent.unheard_of", &[]),
    ] {
        let events = server.follow(&id, &format!("types={list}")).await.envelopes().await;
        assert_eq!(types(&events), expected);
        let page = server.get(&format!("/v1/runs/{id}/events?types={list}")).await;
        assert_eq!(types(page.body["data"].as_array().unwrap()), expected);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_follow_each_other_without_a_gap() {
    let server = server().await;
    let id = server.run(json!({"prompt": "!say a\n!say b\n!say c"})).await["id"].as_str().unwrap().to_owned();
    let whole = all(&server, &id).await;
    let (mut paged, mut query) = (Vec::new(), "limit=4".to_owned());
    loop {
        let page = server.get(&format!("/v1/runs/{id}/events?{query}")).await.body;
        assert_eq!(page["last_seq"], whole.len());
        paged.extend(page["data"].as_array().unwrap().clone());
        let Some(next) = page["next_page"].as_str() else { break };
        assert_eq!(page["data"].as_array().unwrap().len(), 4);
        query = format!("limit=4&page={next}");
    }
    assert_eq!(paged, whole);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_a_run_at_work_does_not_wait() {
    let server = server().await;
    let run = server.submit(json!({"prompt": "!say a\n!touch there\n!await go"})).await;
    server.follow(&run, "").await.until_event("agent.assistant").await;
    let page = server.get(&format!("/v1/runs/{run}/events")).await.body;
    assert!(types(page["data"].as_array().unwrap()).contains(&"agent.assistant"), "{page}");
    assert_eq!(
        (&page["next_page"], &page["last_seq"]),
        (&Value::Null, &page["data"].as_array().unwrap().last().unwrap()["seq"])
    );
    server.release("go");
    server.ended(&run).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_bounded_in_bytes_and_holds_one_event_at_least() {
    let server = server().await;
    let id = server.run(json!({"prompt": "!big 600k\n!big 600k\n!big 3m"})).await["id"].as_str().unwrap().to_owned();
    let mut after = 0;
    let mut sizes = Vec::new();
    loop {
        let page = server.get(&format!("/v1/runs/{id}/events?after={after}&types=agent.assistant")).await.body;
        sizes.push(page["data"].as_array().unwrap().len());
        let Some(next) = page["next_page"].as_str() else { break };
        after = next.parse().unwrap();
    }
    assert_eq!(sizes, [1, 1, 1]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_messages_come_live_without_a_number() {
    let server = server().await;
    let delta = r#"{"type":"stream_event","event":{"type":"content_block_delta"}}"#;
    // Held after the part: one that is followed by its whole at once may be left out.
    let prompt = format!("!await go\n!line {delta}\n!await on\n!say whole");
    let run = server.submit(json!({"prompt": prompt, "deltas": true})).await;
    let (mut with, without) = (server.follow(&run, "deltas=true").await, server.follow(&run, "").await);
    with.until_event("run.started").await;
    server.release("go");
    let part = loop {
        let block = with.next().await.unwrap();
        if block.event.as_deref() == Some("agent.stream_event") {
            break block;
        }
    };
    let data: Value = serde_json::from_str(delta).unwrap();
    assert_eq!(part.json(), json!({"run_id": run, "type": "agent.stream_event", "data": data}));
    assert_eq!(part.id, None);
    server.release("on");
    assert!(types(&with.envelopes().await).contains(&"agent.assistant"), "the whole message follows");
    let blocks = without.rest().await;
    assert!(blocks.iter().all(|block| block.event.as_deref() != Some("agent.stream_event")), "{blocks:?}");
    assert!(!types(&all(&server, &run).await).contains(&"agent.stream_event"), "they are not kept");
    let without = server.submit(json!({"prompt": "x"})).await;
    let blocks = server.follow(&without, "deltas=true").await.rest().await;
    assert!(
        blocks.iter().any(|block| block.comment.as_deref() == Some("this run was started without deltas")),
        "{blocks:?}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_created_with_deltas_streams_them_at_once() {
    let server = server().await;
    let body = json!({"prompt": "!line {\"type\":\"stream_event\"}\n!await go\n!say whole"});
    for (path, deltas) in [("/v1/runs?deltas=true", Value::Null), ("/v1/runs", json!(true))] {
        let mut body = body.clone();
        if !deltas.is_null() {
            body["deltas"] = deltas;
        }
        let request = server.posting(path).header("accept", "text/event-stream").json(&body);
        let mut stream = Stream::of(request.send().await.unwrap());
        stream.until_event("agent.stream_event").await;
        server.release("go");
        assert_eq!(types(&stream.envelopes().await).last(), Some(&"run.completed"));
        std::fs::remove_file(server.folders.workspace().join("go")).unwrap();
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_filled_with_heartbeats() {
    let builder = TestServerBuilder::fake().set(|settings| settings.server.heartbeat = Duration::from_millis(20));
    let server = builder.start().await;
    let run = server.submit(json!({"prompt": "!await go"})).await;
    let mut stream = server.follow(&run, "types=agent.result").await;
    for _ in 0..3 {
        while stream.next().await.unwrap().comment.as_deref() != Some("heartbeat") {}
    }
    server.release("go");
    assert_eq!(stream.envelopes().await.len(), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_readers_see_the_same() {
    let server = server().await;
    let run = server.submit(json!({"prompt": "!await go\n!drip 50 1\n!flood 200k"})).await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(server.follow(&run, "").await);
    }
    server.release("go");
    let seen = futures_util::future::join_all(streams.into_iter().map(Stream::envelopes)).await;
    assert!(seen[0].len() > 200);
    assert!(seen.iter().all(|events| *events == seen[0]));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_reads_one_runs_events_with_a_token_and_no_key() {
    let server = server().await;
    let run = server.run(json!({"prompt": "x"})).await["id"].as_str().unwrap().to_owned();
    let other = server.run(json!({"prompt": "y"})).await["id"].as_str().unwrap().to_owned();
    let made = server.post(&format!("/v1/runs/{run}/stream-token"), &json!({})).await;
    assert_eq!((made.status, &made.body["type"]), (201, &json!("stream_token")), "{made:?}");
    assert!(made.body["expires_at"].as_str().unwrap().ends_with('Z'));
    let token = made.body["token"].as_str().unwrap();
    let url = made.body["url"].as_str().unwrap();
    assert_eq!(url, format!("/v1/runs/{run}/events?token={token}"));
    let bare = async |method: reqwest::Method, path: String| {
        let request = server.client.request(method, server.url(&path)).header("accept", "text/event-stream");
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(bare(reqwest::Method::GET, url.to_owned()).await, 200);
    assert_eq!(bare(reqwest::Method::GET, format!("{url}&types=run.*&after=1")).await, 200);
    for (method, path) in [
        (reqwest::Method::GET, format!("/v1/runs/{other}/events?token={token}")),
        (reqwest::Method::GET, format!("/v1/runs/{run}?token={token}")),
        (reqwest::Method::GET, format!("/v1/runs?token={token}")),
        (reqwest::Method::POST, format!("/v1/runs/{run}/cancel?token={token}")),
        (reqwest::Method::POST, format!("/v1/runs/{run}/events?token={token}")),
        (reqwest::Method::GET, format!("/v1/runs/{run}/events?token={}", "0".repeat(64))),
        (reqwest::Method::GET, format!("/v1/runs/{run}/events?token=")),
        (reqwest::Method::GET, format!("/v1/runs/{run}/events")),
    ] {
        assert_eq!(bare(method.clone(), path.clone()).await, 401, "{method} {path}");
    }
    // Whoever sends a token means it.
    let both = server.getting(&format!("/v1/runs/{run}/events?token=x")).send().await.unwrap();
    assert_eq!(both.status(), 401);
    server.stop().await;
}
