//! What a request can get wrong: status, code, and a text that says what to do.

use askd::settings::Settings;
use serde_json::{Value, json};

use crate::harness::{Answer, TestServer, TestServerBuilder};

async fn send(request: reqwest::RequestBuilder) -> Answer {
    Answer::by(request).await
}

fn assert_error(answer: &Answer, status: u16, code: &str, part: &str) {
    assert_eq!((answer.status, answer.code()), (status, code), "{answer:?}");
    assert!(answer.message().contains(part), "{answer:?}");
    assert_eq!(answer.body["error"]["requestId"].as_str(), answer.header("x-request-id"), "{answer:?}");
    assert_eq!(answer.body["error"].as_object().unwrap().len(), 3, "code, message, requestId: {answer:?}");
}

async fn server() -> TestServer {
    TestServerBuilder::fake().start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_but_health_needs_the_key() {
    let server = server().await;
    let health = server.client.get(server.url("/health"));
    assert_eq!(send(health).await.status, 200);
    for request in [server.client.get(server.url("/nothing")), server.client.get(server.url("/ask"))] {
        let answer = send(request).await;
        assert_error(&answer, 401, "UNAUTHORIZED", "missing");
        assert_eq!(answer.header("allow"), None, "it would say that the route exists");
    }
    let ask = || server.client.post(server.url("/ask")).json(&json!({"prompt": "x"}));
    assert_error(&send(ask()).await, 401, "UNAUTHORIZED", "missing");
    for key in ["", "wrong", &Settings::TEST_API_KEY[1..], &format!("{} x", Settings::TEST_API_KEY)] {
        assert_error(&send(ask().header("x-api-key", key)).await, 401, "UNAUTHORIZED", "not valid");
    }
    assert_error(&send(ask().bearer_auth("wrong")).await, 401, "UNAUTHORIZED", "not valid");
    assert_eq!(send(ask().bearer_auth(Settings::TEST_API_KEY)).await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_field_is_named() {
    let server = server().await;
    let long = "é".repeat(50_001);
    for (body, field) in [
        (json!({}), "prompt is missing"),
        (json!({"prompt": ""}), "prompt must not be empty"),
        (json!({"prompt": " \n"}), "prompt must not be empty"),
        (json!({"prompt": 5}), "prompt must be a string"),
        (json!({"prompt": long}), "prompt has 50001 characters"),
        (json!({"prompt": "x", "systemPrompt": long}), "systemPrompt has 50001 characters"),
        (json!({"prompt": "x", "cwd": 1}), "cwd must be a string"),
        (json!({"prompt": "x", "stream": "yes"}), "stream must be true or false"),
        (json!({"prompt": "x", "maxTurns": 0}), "maxTurns must be from 1 to 50"),
        (json!({"prompt": "x", "maxTurns": 51}), "maxTurns must be from 1 to 50"),
        (json!({"prompt": "x", "maxTurns": 1.5}), "maxTurns must be a whole number"),
        (json!({"prompt": "x", "agent": ["a"]}), "agent must be a string"),
        (json!({"prompt": "x", "agent": "../x"}), "agent must be"),
        (json!({"prompt": "x", "model": "gpt"}), "model `gpt` is not allowed"),
        (json!({"prompt": "x", "model": "--help"}), "model `--help` is not allowed"),
        (json!({"prompt": "x", "allowedTools": [1]}), "allowedTools must be a list"),
        (json!({"prompt": "x", "allowedTools": ["a\nb"]}), "allowedTools[0] must have 1 to 1000 characters"),
        (json!({"prompt": "x", "permissionMode": "yolo"}), "permissionMode must be one of"),
        (json!({"prompt": "x", "permissionMode": "bypassPermissions"}), "ASKD_ALLOW_BYPASS"),
        (json!({"prompt": "x", "resume": "last"}), "resume must be"),
        (json!({"prompt": "x", "jsonSchema": "{}"}), "jsonSchema must be an object"),
        (json!({"prompt": "x", "jsonSchema": {"type": "nonsense"}}), "jsonSchema is not a valid"),
        (json!({"prompt": "x", "promt": "y"}), "no field `promt`"),
    ] {
        assert_error(&server.ask(body).await, 400, "REQUEST_ERROR", field);
    }
    assert_eq!(server.folders.list("data/sessions"), [""; 0], "nothing was started");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_prompt_and_system_prompt_pass() {
    let server = server().await;
    let long = "é".repeat(50_000);
    let answer = server.ask(json!({"prompt": long, "systemPrompt": long})).await;
    assert_eq!(answer.result(), format!("echo: {long}"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lenient_server_drops_and_coerces_as_the_node_server_did() {
    let server = TestServerBuilder::fake().set(|settings| settings.server.legacy_lenient = true).start().await;
    let answer = server.ask(json!({"prompt": 5, "unknown": 1, "maxTurns": "3", "stream": "false"})).await;
    assert_eq!(answer.result(), "echo: 5");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_exist_has_its_own_code() {
    let server = server().await;
    for cwd in ["missing", "/", "../x"] {
        assert_error(&server.ask(json!({"prompt": "x", "cwd": cwd})).await, 400, "INVALID_CWD", "cwd");
    }
    assert_error(&server.ask(json!({"prompt": "x", "agent": "nobody"})).await, 400, "AGENT_NOT_FOUND", "nobody");
    server.folders.write("workspace/shop/.claude/agents/local.md", "---\nname: local\ndescription: d\n---\nx");
    let local = server.ask(json!({"prompt": "x", "agent": "local", "cwd": "shop"})).await;
    assert_error(&local, 400, "AGENT_NOT_FOUND", "the workspace has one, but only those of CONFIG_DIR can be named");
    let unknown = "00000000-0000-4000-8000-000000000000";
    assert_error(&server.ask(json!({"prompt": "x", "resume": unknown})).await, 404, "NOT_FOUND", unknown);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_routes_methods_and_media_types() {
    let server = server().await;
    assert_error(&server.get("/nothing").await, 404, "NOT_FOUND", "/nothing");
    assert_error(&server.get("/ask").await, 405, "REQUEST_ERROR", "GET");
    assert_error(&send(server.client.post(server.url("/health"))).await, 405, "REQUEST_ERROR", "POST");
    let ask = || server.request(&Value::Null);
    let untyped = || server.client.post(server.url("/ask")).header("x-api-key", Settings::TEST_API_KEY).body("{}");
    for request in [untyped(), untyped().header("content-type", "text/plain")] {
        assert_error(&send(request).await, 415, "REQUEST_ERROR", "application/json");
    }
    for body in ["", "{", "[]", "null", "\"x\"", "{\"prompt\":\"\\ud800\"}"] {
        assert_error(&send(ask().body(body)).await, 400, "REQUEST_ERROR", "body");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_bounded_in_size_whether_announced_or_not() {
    let server = TestServerBuilder::fake().set(|settings| settings.server.max_body = 4096).start().await;
    let large = json!({"prompt": "x".repeat(5000)}).to_string();
    let announced = server.request(&Value::Null).body(large.clone());
    assert_error(&send(announced).await, 413, "REQUEST_ERROR", "ASKD_MAX_BODY");
    let pieces = futures_util::stream::iter(
        large.into_bytes().chunks(100).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect::<Vec<_>>(),
    );
    let chunked = server.request(&Value::Null).body(reqwest::Body::wrap_stream(pieces));
    assert_error(&send(chunked).await, 413, "REQUEST_ERROR", "ASKD_MAX_BODY");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_is_not_understood_is_400() {
    let server = server().await;
    let request = server.request(&json!({"prompt": "x"})).header("x-askd-on-disconnect", "maybe");
    assert_error(&send(request).await, 400, "REQUEST_ERROR", "x-askd-on-disconnect");
    server.stop().await;
}
