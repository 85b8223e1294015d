//! Keys that open more than their share of streams: the others are served, and the operator gets in.

use reqwest::Method;
use serde_json::json;

use crate::harness::{Answer, Holder, RawClient, Stream, TestServer, TestServerBuilder, eventually_async};

/// With connections for 12 requests of all keys, and for four of each.
async fn server() -> TestServer {
    let server = TestServerBuilder::fake().set(|settings| {
        settings.server.max_connections = 16;
        settings.server.max_requests_per_key = 4;
    });
    server.start().await
}

async fn user(server: &TestServer) -> Holder {
    server.user(json!({})).await
}

/// A run at work, and as many streams of it as its key gets.
async fn flood(holder: &Holder) -> (Vec<Stream>, String) {
    let run = holder.submit(json!({"prompt": "!hang"})).await;
    let mut streams = Vec::new();
    for _ in 0..4 {
        // A request that has been answered may count for a moment longer.
        let request = || holder.sending(Method::GET, &format!("/v1/runs/{run}/events"));
        let stream = eventually_async("room for a stream", async || {
            let response = request().header("accept", "text/event-stream").send().await.unwrap();
            (response.status() == 200).then_some(response)
        });
        streams.push(Stream::of(stream.await));
    }
    (streams, run)
}

async fn get(server: &TestServer, path: &str) -> Answer {
    Answer::by(server.client.get(server.url(path))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_no_more_requests_at_work_than_its_share_and_a_stream_that_ends_makes_room() {
    let server = server().await;
    let (holder, other) = (user(&server).await, user(&server).await);
    let (mut streams, run) = flood(&holder).await;
    let refused = holder.get("/v1/runs").await;
    assert_eq!((refused.status, refused.kind()), (429, "rate_limit_error"), "{refused:?}");
    assert!(refused.message().contains("4 requests at work") && refused.header("retry-after") == Some("1"));
    assert!(refused.body.to_string().contains("ASKD_MAX_REQUESTS_PER_KEY"), "{refused:?}");
    // Readers with a token count for whoever has made it.
    let made = server.post(&format!("/v1/runs/{run}/stream-token"), &json!({})).await;
    assert_eq!(made.status, 201, "the operator's own");
    assert_eq!(other.get("/v1/runs").await.status, 200);
    streams.pop();
    let token = eventually_async("room for one", async || {
        let made = holder.post(&format!("/v1/runs/{run}/stream-token"), &json!({})).await;
        (made.status == 201).then_some(made.body)
    })
    .await;
    let url = server.url(token["url"].as_str().unwrap());
    let reading = eventually_async("room for a reader", async || {
        let response = server.client.get(&url).header("accept", "text/event-stream").send().await.unwrap();
        (response.status() == 200).then_some(response)
    })
    .await;
    assert_eq!(holder.get("/v1/runs").await.status, 429);
    drop((reading, streams));
    eventually_async("room", async || (holder.get("/v1/runs").await.status == 200).then_some(())).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_many_keys_take_all_they_can_the_operator_still_revokes_them() {
    let server = server().await;
    let mut flooding = Vec::new();
    for _ in 0..3 {
        let holder = user(&server).await;
        flooding.push((flood(&holder).await, holder));
    }
    let late = user(&server).await.get("/v1/runs").await;
    assert_eq!((late.status, late.kind()), (529, "overloaded_error"), "{late:?}");
    assert_eq!(get(&server, "/livez").await.status, 200);
    // Connections that only wait for a head take nothing from that.
    let mut idle = Vec::new();
    for _ in 0..8 {
        idle.push(RawClient::connect(server.address).await);
    }
    for (_, holder) in &flooding {
        let revoked = server.post(&format!("/v1/keys/{}/revoke", holder.id), &json!({})).await;
        assert_eq!(revoked.status, 200, "{revoked:?}");
    }
    let other = user(&server).await;
    eventually_async("room", async || (other.get("/v1/runs").await.status == 200).then_some(())).await;
    server.stop().await;
}
