//! The stream of `/ask`, and the headers that every answer has.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Answer, Block, TestServer, TestServerBuilder};

async fn blocks(server: &TestServer, prompt: &str) -> Vec<Block> {
    server.stream(json!({"prompt": prompt})).await.rest().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_is_the_clis_own_lines_and_an_end() {
    let server = TestServerBuilder::fake().start().await;
    let blocks = blocks(&server, "!say one\n!line {\"type\":\"new\",  \"a\":1e400}\n!result two").await;
    let data: Vec<_> = blocks.iter().map(|block| block.data.as_deref().unwrap()).collect();
    assert_eq!(blocks.len(), 5, "{blocks:?}");
    assert!(data[0].contains(r#""subtype":"init""#));
    assert!(data[1].contains(r#""text":"one""#));
    assert_eq!(data[2], r#"{"type":"new",  "a":1e400}"#, "byte for byte, known or not");
    assert!(data[3].contains(r#""result":"two""#));
    assert_eq!((blocks[4].event.as_deref(), data[4]), (Some("done"), r#"{"code":0}"#));
    assert!(blocks[..4].iter().all(|block| block.event.is_none()));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_protocol_between_the_cli_and_the_server_is_not_shown() {
    let server = TestServerBuilder::fake().start().await;
    let hidden = [
        r#"{"type":"control_request","request_id":"1","request":{"subtype":"unheard_of"}}"#,
        r#"{"type":"control_response","response":{"subtype":"success","request_id":"unknown"}}"#,
        r#"{"type":"control_cancel_request","request_id":"1"}"#,
        r#"{"type":"keep_alive"}"#,
        r#"{"type":"transcript_mirror","filePath":"x","entries":[]}"#,
        r#"{"type":"stream_event","event":{"type":"content_block_delta"}}"#,
        r#"{"type":"system","subtype":"session_state_changed","state":"requires_action"}"#,
        r#"{"type":"command_lifecycle","command_uuid":"x","state":"queued"}"#,
    ];
    let script = hidden.map(|line| format!("!line {line}\n")).concat();
    let blocks = blocks(&server, &format!("{script}!result done")).await;
    let kinds: Vec<_> = blocks.iter().map(|block| block.json()["type"].as_str().unwrap_or("-").to_owned()).collect();
    assert_eq!(kinds, ["system", "result", "-"], "init, result, done: {blocks:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_come_through_whatever_their_form() {
    let server = TestServerBuilder::fake().start().await;
    let said = |blocks: &[Block]| {
        let texts = blocks.iter().map(|block| block.json()["message"]["content"][0]["text"].clone());
        texts.filter_map(|text| text.as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let blocks_of = async |prompt: &str| said(&blocks(&server, prompt).await);
    assert_eq!(blocks_of("!split ä€🦀").await, ["ä€🦀"], "cut inside of characters");
    assert_eq!(blocks_of("!crlf\n!say dos\n!say again").await, ["dos", "again"]);
    assert_eq!(blocks_of("!say a\u{2028}b").await, ["a\u{2028}b"], "a line separator is no line end");
    let large = blocks_of("!big 10m").await;
    assert!((10 << 20) - large[0].len() < 1000);
    let whole = blocks(&server, "!crlf\n!say dos").await;
    assert!(whole.iter().all(|block| !format!("{block:?}").contains("\\r")), "{whole:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_are_no_messages_are_left_out_with_a_warning() {
    let server = TestServerBuilder::fake_that("junk").start().await;
    let blocks = blocks(&server, "!line no json\n!hex 7b22fffe0a\n!line {\"no\":\"type\"}\n!result fine").await;
    let warnings: Vec<_> = blocks.iter().filter_map(|block| block.comment.clone()).collect();
    assert_eq!(warnings.len(), 4, "{blocks:?}");
    assert!(warnings[2].contains("not UTF-8"));
    assert_eq!(blocks.last().unwrap().data.as_deref(), Some(r#"{"code":0}"#));
    let answer = server.ask(json!({"prompt": "!line no json\n!result fine"})).await;
    assert_eq!((answer.result(), answer.header("x-askd-warning").is_some()), ("fine", true));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_stream_gets_heartbeats() {
    let builder = TestServerBuilder::fake().set(|settings| settings.server.heartbeat = Duration::from_millis(20));
    let server = builder.start().await;
    let mut stream = server.stream(json!({"prompt": "!hang"})).await;
    for _ in 0..3 {
        while stream.next().await.unwrap().comment.as_deref() != Some("heartbeat") {}
    }
    drop(stream);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_is_sent_when_it_is_written_and_not_at_the_end() {
    let server = TestServerBuilder::fake().start().await;
    let mut stream = server.stream(json!({"prompt": "!say early\n!await go\n!say late"})).await;
    assert_eq!(stream.until("assistant").await["message"]["content"][0]["text"], "early");
    server.release("go");
    assert_eq!(stream.until("assistant").await["message"]["content"][0]["text"], "late");
    stream.rest().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_carries_an_id_and_tells_browsers_to_keep_out() {
    let server = TestServerBuilder::fake().start().await;
    let request = |stream: bool| server.request(&json!({"prompt": "x", "stream": stream}));
    let stream = server.stream(json!({"prompt": "x"})).await;
    assert_eq!(stream.headers["content-type"], "text/event-stream");
    assert_eq!(stream.headers["x-accel-buffering"], "no");
    stream.rest().await;
    let stream = request(true).header("x-request-id", "mine-1");
    for answer in [Answer::by(stream).await, Answer::by(request(false).header("x-request-id", "mine-1")).await] {
        assert_eq!(answer.header("x-request-id"), Some("mine-1"));
        assert!(answer.header("x-askd-run-id").unwrap().starts_with("run_"), "{answer:?}");
    }
    for answer in [server.get("/health").await, server.get("/nothing").await, server.ask(json!({})).await] {
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{answer:?}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"));
        assert!(answer.header("content-security-policy").unwrap().contains("default-src 'none'"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("x-request-id").unwrap().len(), 36, "made when none is given");
    }
    let long = "x".repeat(129);
    for id in ["two words", &long] {
        let answer = Answer::by(request(false).header("x-request-id", id)).await;
        assert_eq!(answer.header("x-request-id").unwrap().len(), 36, "an id that cannot stand in a log is replaced");
    }
    server.stop().await;
}
