//! What a request to `/v1` can get wrong; and the routes that say how the server is.

use askd::settings::Settings;
use serde_json::{Value, json};

use crate::harness::{Answer, TestServer, TestServerBuilder};

async fn server() -> TestServer {
    TestServerBuilder::fake().start().await
}

async fn send(request: reqwest::RequestBuilder) -> Answer {
    Answer::by(request.header("x-request-id", "req-1")).await
}

fn shown(answer: &Answer) -> String {
    assert_eq!((answer.header("request-id"), answer.header("x-request-id")), (Some("req-1"), Some("req-1")));
    format!("{} {}", answer.status, answer.body)
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_the_envelope_of_the_messages_api() {
    let server = server().await;
    let unknown = "run_00000000-0000-7000-8000-000000000000";
    let get = |path: &str| send(server.getting(path));
    let post = |path: &str, body: Value| send(server.posting(path).json(&body));
    insta::assert_snapshot!(shown(&get("/v1/runs?limit=0").await), @r#"400 {"error":{"message":"limit must be from 1 to 200","param":"limit","type":"invalid_request_error"},"request_id":"req-1","type":"error"}"#);
    insta::assert_snapshot!(shown(&get("/v1/nothing").await), @r#"404 {"error":{"message":"there is no route GET /v1/nothing","type":"not_found_error"},"request_id":"req-1","type":"error"}"#);
    insta::assert_snapshot!(shown(&get(&format!("/v1/runs/{unknown}")).await), @r#"404 {"error":{"message":"there is no run run_00000000-0000-7000-8000-000000000000","type":"not_found_error"},"request_id":"req-1","type":"error"}"#);
    insta::assert_snapshot!(shown(&send(server.client.get(server.url("/v1/runs"))).await), @r#"401 {"error":{"message":"the key is missing: send it in the header x-api-key, or as authorization: Bearer KEY","type":"authentication_error"},"request_id":"req-1","type":"error"}"#);
    insta::assert_snapshot!(shown(&send(server.client.delete(server.url("/v1/runs")).header("x-api-key", Settings::TEST_API_KEY)).await), @r#"405 {"error":{"message":"/v1/runs does not take DELETE","type":"invalid_request_error"},"request_id":"req-1","type":"error"}"#);
    insta::assert_snapshot!(shown(&post("/v1/runs", json!({"prompt": "x", "model": "gpt"})).await), @r#"400 {"error":{"message":"model `gpt` is not allowed; use sonnet, opus, haiku or an id of ASKD_MODELS","param":"model","type":"invalid_request_error"},"request_id":"req-1","type":"error"}"#);
    insta::assert_snapshot!(shown(&post("/v1/runs", json!({"prompt": "x", "session_id": "00000000-0000-4000-8000-000000000000"})).await), @r#"404 {"error":{"message":"session_id: there is no session 00000000-0000-4000-8000-000000000000","param":"session_id","type":"not_found_error"},"request_id":"req-1","type":"error"}"#);
    insta::assert_snapshot!(shown(&send(server.posting("/v1/runs").body("{}")).await), @r#"415 {"error":{"message":"the request must have the header content-type: application/json","type":"invalid_request_error"},"request_id":"req-1","type":"error"}"#);
    insta::assert_snapshot!(shown(&send(server.posting("/v1/runs").header("accept", "text/html").json(&json!({"prompt": "x"}))).await), @r#"406 {"error":{"message":"Accept must allow application/json, text/event-stream or application/x-ndjson","param":"Accept","type":"invalid_request_error"},"request_id":"req-1","type":"error"}"#);
    assert_eq!(server.get("/v1/runs").await.body, json!({"data": [], "next_page": null}), "nothing was started");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_field_is_named_as_v1_calls_it() {
    let server = TestServerBuilder::fake().set(|settings| settings.server.max_body = 4096).start().await;
    for (body, param) in [
        (json!({"prompt": "x", "permission_mode": "bypassPermissions"}), "permission_mode"),
        (json!({"prompt": "x", "output_schema": {"type": "nonsense"}}), "output_schema"),
        (json!({"prompt": "x", "cwd": "../x"}), "cwd"),
        (json!({"prompt": "x", "agent": "nobody"}), "agent"),
        (json!({"prompt": "x", "on_disconnect": "cancel"}), "on_disconnect"),
        (json!({"prompt": "x", "maxTurns": 1}), "maxTurns"),
    ] {
        let answer = server.post("/v1/runs", &body).await;
        assert_eq!((answer.status, answer.kind(), answer.param()), (400, "invalid_request_error", param), "{answer:?}");
    }
    let large = server.post("/v1/runs", &json!({"prompt": "x".repeat(5000)})).await;
    assert_eq!((large.status, large.kind()), (413, "request_too_large"), "{large:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_query_parameter_is_refused_everywhere() {
    let server = server().await;
    let id = server.run(json!({"prompt": "x"})).await["id"].as_str().unwrap().to_owned();
    for path in ["/v1/runs".to_owned(), format!("/v1/runs/{id}"), format!("/v1/runs/{id}/events")] {
        let answer = server.get(&format!("{path}?colour=red")).await;
        assert_eq!((answer.status, answer.param()), (400, "colour"), "{path} {answer:?}");
    }
    for path in ["/v1/runs".to_owned()]
        .into_iter()
        .chain(["cancel", "interrupt", "input", "stream-token"].map(|what| format!("/v1/runs/{id}/{what}")))
    {
        let answer = server.post(&format!("{path}?colour=red"), &json!({"prompt": "x"})).await;
        assert_eq!((answer.status, answer.param()), (400, "colour"), "{path} {answer:?}");
    }
    let odd = server.get("/v1/runs?workspace=%00").await;
    assert_eq!(odd.status, 400, "{odd:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_not_there_is_404_for_every_route() {
    let server = server().await;
    for id in ["run_00000000-0000-7000-8000-000000000000", "run_x", "x", "run_00000000000070008000000000000000"] {
        for what in ["", "/events"] {
            let answer = server.get(&format!("/v1/runs/{id}{what}")).await;
            assert_eq!((answer.status, answer.kind()), (404, "not_found_error"), "{id}{what} {answer:?}");
        }
        for what in ["cancel", "interrupt", "input", "stream-token"] {
            let answer = server.post(&format!("/v1/runs/{id}/{what}"), &json!({"message": "x"})).await;
            assert_eq!((answer.status, answer.kind()), (404, "not_found_error"), "{id} {what} {answer:?}");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bearer_token_is_a_key() {
    let server = server().await;
    let get = |key: &str| server.client.get(server.url("/v1/runs")).bearer_auth(key);
    assert_eq!(send(get(Settings::TEST_API_KEY)).await.status, 200);
    let wrong = send(get("wrong")).await;
    assert_eq!((wrong.status, wrong.kind()), (401, "authentication_error"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_says_without_a_key_whether_it_lives_and_is_ready() {
    let server = server().await;
    let get = async |path: &str| Answer::by(server.client.get(server.url(path))).await;
    assert_eq!(get("/livez").await.body, json!({"status": "ok"}));
    assert_eq!(get("/readyz").await.body, json!({"status": "ready"}));
    assert_eq!(get("/readyz?verbose").await.body["checks"]["draining"], json!({"ok": true}));
    for path in ["/readyz?loud", "/livez?loud"] {
        assert_eq!(get(path).await.status, 200, "load balancers add parameters: {path}");
    }
    let held = server.submit(json!({"prompt": "!touch there\n!await go"})).await;
    server.reached("there").await;
    server.app.lifecycle().drain();
    let draining = get("/readyz").await;
    assert_eq!((draining.status, &draining.body["status"]), (503, &json!("not_ready")));
    assert_eq!(draining.body["checks"]["draining"]["ok"], false, "{draining:?}");
    assert_eq!(get("/livez").await.status, 200);
    let refused = server.post("/v1/runs", &json!({"prompt": "x"})).await;
    assert_eq!((refused.status, refused.kind()), (503, "overloaded_error"), "{refused:?}");
    assert!(refused.header("retry-after").is_some());
    server.release("go");
    assert_eq!(server.follow(&held, "").await.envelopes().await.last().unwrap()["type"], "run.completed");
    server.stop().await;
}
