//! Requests that two servers in a row could take for different ones: refused, or read in the one way that is safe.

use crate::harness::{RawClient, TestServer, TestServerBuilder};

/// What is answered to these bytes, up to the end of the connection.
async fn answer(server: &TestServer, bytes: &str) -> String {
    let mut client = RawClient::connect(server.address).await;
    client.send(bytes).await;
    client.rest().await
}

/// How many answers.
fn count(answers: &str) -> usize {
    answers.matches("HTTP/1.1 ").count()
}

/// A further request, hidden in a body.
const HIDDEN: &str = "GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_says_two_things_about_its_length_is_refused() {
    let server = TestServerBuilder::fake().start().await;
    for head in [
        "content-length: 5\r\ncontent-length: 6",
        "content-length: 5, 6",
        "content-length: +5",
        "content-length: 0x5",
        "content-length: -1",
        "content-length: 99999999999999999999",
        "transfer-encoding: identity",
        "transfer-encoding: chunked, identity",
        "transfer-encoding: chunked\r\ntransfer-encoding: gzip",
        "transfer-encoding : chunked",
        "content-length : 5",
        "content-length: 5\u{0}",
        "x: a\r\n folded: b",
    ] {
        let answers =
            answer(&server, &format!("POST /ask HTTP/1.1\r\nhost: localhost\r\n{head}\r\n\r\n{HIDDEN}")).await;
        assert!(answers.starts_with("HTTP/1.1 400") && count(&answers) == 1, "{head:?}: {answers}");
    }
    let old = answer(&server, &format!("POST /ask HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n{HIDDEN}")).await;
    assert!(old.contains(" 400 ") && count(&old) <= 1, "{old}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_beside_chunks_counts_for_nothing_and_nothing_after_them_is_read() {
    let server = TestServerBuilder::fake().start().await;
    for head in ["content-length: 4\r\ntransfer-encoding: chunked", "transfer-encoding: chunked\r\ncontent-length: 4"] {
        let chunks = "5\r\nhello\r\n0\r\n\r\n";
        let answers =
            answer(&server, &format!("GET /health HTTP/1.1\r\nhost: localhost\r\n{head}\r\n\r\n{chunks}{HIDDEN}"))
                .await;
        assert!(answers.starts_with("HTTP/1.1 200") && count(&answers) == 1, "{head:?}: {answers}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_that_are_none_end_the_connection() {
    let server = TestServerBuilder::fake().start().await;
    let key = askd::settings::Settings::TEST_API_KEY;
    for chunks in
        ["5 \u{b}\r\nhello\r\n0\r\n\r\n", "ffffffffffffffffff\r\n", "-1\r\n\r\n", "5\r\nhelloX\r\n0\r\n\r\n", "x\r\n"]
    {
        let head =
            format!("POST /ask HTTP/1.1\r\nhost: localhost\r\nx-api-key: {key}\r\ncontent-type: application/json");
        let answers = answer(&server, &format!("{head}\r\ntransfer-encoding: chunked\r\n\r\n{chunks}{HIDDEN}")).await;
        assert!(count(&answers) <= 1 && !answers.contains(" 200 "), "{chunks:?}: {answers}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_headers_are_431() {
    let head = |count: usize| {
        format!("GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{}\r\n", "a: b\r\n".repeat(count - 2))
    };
    let server = TestServerBuilder::fake().start().await;
    assert!(answer(&server, &head(100)).await.starts_with("HTTP/1.1 200"));
    assert!(answer(&server, &head(101)).await.starts_with("HTTP/1.1 431"));
    server.stop().await;
    let server = TestServerBuilder::fake().set(|settings| settings.server.max_header_count = 10).start().await;
    assert!(answer(&server, &head(10)).await.starts_with("HTTP/1.1 200"));
    assert!(answer(&server, &head(11)).await.starts_with("HTTP/1.1 431"));
    server.stop().await;
}
