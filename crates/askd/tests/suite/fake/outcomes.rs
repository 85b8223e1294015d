//! What became of a run, and how a client is told: by status and code, the same for an answer and a stream.

use serde_json::{Value, json};

use crate::harness::{Answer, Block, Stream, TestServer, TestServerBuilder};

/// Asks once for an answer and once for a stream; both must tell the same outcome.
async fn outcome(server: &TestServer, mut body: Value) -> (u16, String) {
    let answer = server.ask(body.clone()).await;
    let error = answer.body["error"]["message"].as_str().map(str::to_owned);
    body["stream"] = true.into();
    let response = server.request(&body).send().await.unwrap();
    let expected = i32::from(answer.status != 200);
    let blocks = Stream::of(response).rest().await;
    let (done, before) = blocks.split_last().expect("a stream has an end");
    assert_eq!((done.event.as_deref(), done.json()), (Some("done"), json!({"code": expected})), "{body}");
    let told = before.iter().rfind(|block| block.event.as_deref() == Some("error")).map(Block::json);
    assert_eq!(told, error.map(|message| json!({"error": message})), "{body}");
    assert!(answer.body["error"].is_null() || answer.body.get("result").is_some(), "a failed run shows its result");
    (answer.status, answer.code().to_owned())
}

async fn expect(cases: &[(&str, u16, &str)]) {
    let server = TestServerBuilder::fake().start().await;
    for (prompt, status, code) in cases {
        assert_eq!(outcome(&server, json!({"prompt": prompt})).await, (*status, (*code).to_owned()), "{prompt}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_answered_with_the_clis_own_result() {
    let server = TestServerBuilder::fake().start().await;
    let answer = server.ask(json!({"prompt": "hello"})).await;
    assert_eq!(answer.result(), "echo: hello");
    assert_eq!(answer.body["type"], "result");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_request_to_the_provider_is_502_whatever_the_subtype_says() {
    expect(&[
        (r#"!result {"is_error":true,"api_error_status":429,"result":"rate limited"}"#, 502, "UPSTREAM_ERROR"),
        (r#"!result {"is_error":true,"api_error_status":529,"result":"overloaded"}"#, 502, "UPSTREAM_ERROR"),
        (r#"!result {"is_error":true,"api_error_status":401,"result":"invalid key"}"#, 502, "UPSTREAM_ERROR"),
        (r#"!result {"is_error":true,"terminal_reason":"api_error","result":"no route"}"#, 502, "UPSTREAM_ERROR"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_error_of_the_cli_has_its_code() {
    expect(&[
        (r#"!result {"is_error":true,"subtype":"error_max_turns","errors":["5 turns"]}"#, 500, "TURN_LIMIT"),
        (r#"!result {"is_error":true,"subtype":"error_max_structured_output_retries"}"#, 500, "SCHEMA_FAILED"),
        (r#"!result {"is_error":true,"subtype":"error_max_budget_usd"}"#, 402, "BUDGET_EXCEEDED"),
        (r#"!result {"is_error":true,"subtype":"error_during_execution","errors":["oops"]}"#, 500, "RUN_FAILED"),
        (r#"!result {"is_error":false,"subtype":"error_from_the_future"}"#, 500, "RUN_FAILED"),
        (r#"!result {"is_error":true}"#, 500, "RUN_FAILED"),
        (r#"!result {"is_error":"of another form"}"#, 500, "RUN_FAILED"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cli_that_dies_without_a_result_has_failed_whatever_its_exit_code() {
    expect(&[
        ("!exit 0", 500, "RUN_FAILED"),
        ("!say half\n!exit 1", 500, "RUN_FAILED"),
        ("!exit 143", 500, "RUN_FAILED"),
        ("!die", 500, "RUN_FAILED"),
        ("!close-stdout\n!hang", 500, "RUN_FAILED"),
        ("!lifecycle completed\n!state idle\n!hang", 500, "RUN_FAILED"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cli_that_exits_after_its_result_without_a_word_has_answered() {
    expect(&[("!result fine\n!exit 0", 200, ""), ("!result fine\n!exit 1", 200, ""), ("!result fine\n!die", 200, "")])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cli_that_cannot_start_says_why() {
    for (options, part) in [
        ("startup-failure config_file_invalid", "config_file_invalid"),
        ("refuse no hooks today", "no hooks today"),
        ("die 7", "exit code 7"),
        ("die 0", "exit code 0"),
    ] {
        let server = TestServerBuilder::fake_that(options).start().await;
        for stream in [false, true] {
            let request = server.request(&json!({"prompt": "x", "stream": stream}));
            let answer = Answer::by(request).await;
            assert_eq!((answer.status, answer.code()), (500, "RUN_FAILED"), "{options}: {answer:?}");
            assert!(answer.message().contains(part), "{options}: {answer:?}");
        }
        server.at_rest().await;
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_the_cli_does_not_know_is_an_error_before_the_prompt() {
    let agent = "---\nname: known-as\ndescription: d\n---\nBe brief.";
    let server = TestServerBuilder::fake().file("config/agents/reviewer.md", agent).start().await;
    let answer = server.ask(json!({"prompt": "!report", "agent": "reviewer"})).await;
    assert!(answer.result().contains("--agent=known-as"), "{answer:?}");
    server.stop().await;
    let server = TestServerBuilder::fake_that("no-agents").file("config/agents/reviewer.md", agent).start().await;
    for stream in [false, true] {
        let request = server.request(&json!({"prompt": "!touch never", "agent": "reviewer", "stream": stream}));
        let answer = Answer::by(request).await;
        assert_eq!((answer.status, answer.code()), (400, "AGENT_NOT_FOUND"), "{answer:?}");
        assert!(answer.body.get("result").is_none(), "{answer:?}");
    }
    server.at_rest().await;
    assert_eq!(server.folders.list("workspace"), [""; 0], "the prompt was not sent");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_fits_its_schema_or_fails() {
    let server = TestServerBuilder::fake().start().await;
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
    for (result, status, code) in [
        (r#"{"structured_output":{"n":1}}"#, 200, ""),
        (r#"{"structured_output":{"n":"one"}}"#, 500, "SCHEMA_FAILED"),
        (r#"{"structured_output":{}}"#, 500, "SCHEMA_FAILED"),
        (r#"{"structured_output":null}"#, 500, "SCHEMA_FAILED"),
        (r#"{"result":"only text"}"#, 500, "SCHEMA_FAILED"),
        (r#"{"is_error":true,"api_error_status":500}"#, 502, "UPSTREAM_ERROR"),
    ] {
        let body = json!({"prompt": format!("!result {result}"), "jsonSchema": schema});
        assert_eq!(outcome(&server, body).await, (status, code.to_owned()), "{result}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn denied_tools_are_counted_in_a_header_of_a_success() {
    let server = TestServerBuilder::fake().start().await;
    let prompt = r#"!result {"permission_denials":[{"tool_name":"Bash"},{"tool_name":"Write"}]}"#;
    let answer = server.ask(json!({"prompt": prompt})).await;
    assert_eq!((answer.status, answer.header("x-askd-permission-denials")), (200, Some("2")), "{answer:?}");
    assert_eq!(answer.body["permission_denials"].as_array().unwrap().len(), 2);
    assert_eq!(server.ask(json!({"prompt": "x"})).await.header("x-askd-permission-denials"), None);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_the_cli_is_refused_so_that_it_goes_on() {
    let server = TestServerBuilder::fake().start().await;
    let mut stream = server.stream(json!({"prompt": "!permission\n!result went on"})).await;
    let said = stream.until("assistant").await["message"]["content"][0]["text"].as_str().unwrap().to_owned();
    assert!(said.contains(r#""subtype":"error""#) && said.contains(r#""request_id":"fake-1""#), "{said}");
    assert_eq!(stream.until("result").await["result"], "went on");
    stream.rest().await;
    server.stop().await;
}
