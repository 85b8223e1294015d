//! Connections: how many, how long, how large.

use std::time::Duration;

use serde_json::json;

use crate::harness::{RawClient, TestServerBuilder};

const HEALTH: &str = "GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn while_all_are_at_work_further_connections_wait_until_there_is_a_place() {
    let server = TestServerBuilder::fake().set(|settings| settings.server.max_connections = 1).start().await;
    let mut first = RawClient::connect(server.address).await;
    first.ask(&json!({"prompt": "!say begun\n!hang", "stream": true})).await;
    first.until("begun").await;
    let mut second = RawClient::connect(server.address).await;
    second.send(HEALTH).await;
    assert!(second.is_silent_for(Duration::from_millis(200)).await);
    drop(first);
    second.until("\"ok\"").await;
    drop(second);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_stalls_is_cut_off() {
    let short = Duration::from_millis(100);
    let server = TestServerBuilder::fake().set(|settings| settings.server.header_timeout = short).start().await;
    let mut client = RawClient::connect(server.address).await;
    client.send("GET /health HTTP/1.1\r\nhost:").await;
    let answer = client.rest().await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stalls_is_408() {
    let short = Duration::from_millis(100);
    let server = TestServerBuilder::fake().set(|settings| settings.server.body_timeout = short).start().await;
    let mut client = RawClient::connect(server.address).await;
    client.head(100).await;
    client.send("{\"prompt\"").await;
    let answer = client.until("requestId").await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("ASKD_BODY_TIMEOUT"), "{answer}");
    drop(client);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_large_is_431() {
    let server = TestServerBuilder::fake().set(|settings| settings.server.max_headers = 16 * 1024).start().await;
    let mut client = RawClient::connect(server.address).await;
    client.send(&format!("GET /health HTTP/1.1\r\nhost: localhost\r\nlong: {}\r\n\r\n", "x".repeat(64 * 1024))).await;
    assert!(client.rest().await.starts_with("HTTP/1.1 431"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_far_too_much_still_learns_why() {
    let server = TestServerBuilder::fake().start().await;
    let mut client = RawClient::connect(server.address).await;
    client.head(20 << 20).await;
    // Like many clients, it does not look at the answer before it has sent everything.
    for _ in 0..50 {
        client.send(&"x".repeat(1 << 20)).await;
    }
    let answer = client.until("requestId").await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("ASKD_MAX_BODY"), "{answer}");
    drop(client);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_refused_and_the_next_client_is_served() {
    let server = TestServerBuilder::fake().start().await;
    for nonsense in ["\u{16}\u{3}\u{1}\u{2}\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n"] {
        let mut client = RawClient::connect(server.address).await;
        client.send(nonsense).await;
        let answer = client.rest().await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 5"), "{answer}");
    }
    assert_eq!(server.get("/health").await.status, 200);
    server.stop().await;
}
