//! `/livez`, `/readyz`, `/startupz` and `/health`: who may ask, in which form, and what a full queue means.

use askd::app::readiness::NAMES;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, TestServer, TestServerBuilder};

const PROBES: [&str; 3] = ["/livez", "/readyz", "/startupz"];

/// Without a key.
async fn probe(server: &TestServer, method: Method, path: &str, accept: &str) -> Answer {
    let request = server.client.request(method, server.url(path)).header("accept", accept);
    Answer::by(request).await
}

async fn ready(server: &TestServer) -> Answer {
    probe(server, Method::GET, "/readyz?verbose", "*/*").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_is_answered_without_a_key_in_json_or_as_text_and_to_head() {
    let server = TestServerBuilder::fake().start().await;
    for (path, status) in PROBES.into_iter().zip(["ok", "ready", "started"]) {
        for accept in ["*/*", "application/json", "text/html, application/json"] {
            let answer = probe(&server, Method::GET, path, accept).await;
            assert_eq!((answer.status, &answer.body), (200, &json!({"status": status})), "{path} {accept}");
            assert_eq!(answer.header("content-type"), Some("application/json"));
        }
        let text = probe(&server, Method::GET, path, "text/plain").await;
        assert_eq!((text.status, &text.body), (200, &json!("ok\n")), "{path}");
        assert!(text.header("content-type").unwrap().starts_with("text/plain"), "{text:?}");
        let head = probe(&server, Method::HEAD, path, "*/*").await;
        assert_eq!((head.status, &head.body), (200, &json!("")), "{path}");
        let posted = probe(&server, Method::POST, path, "*/*").await;
        assert_eq!((posted.status, posted.header("allow")), (405, Some("GET,HEAD")), "{path}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_check_is_shown_with_verbose_and_the_text_is_that_of_kubernetes() {
    let server = TestServerBuilder::fake().start().await;
    let verbose = ready(&server).await;
    let checks = verbose.body["checks"].as_object().unwrap();
    let mut names: Vec<_> = NAMES.to_vec();
    names.sort_unstable();
    assert_eq!(checks.keys().map(String::as_str).collect::<Vec<_>>(), names);
    assert!(checks.values().all(|check| check["ok"] == true), "{verbose:?}");
    let text = probe(&server, Method::GET, "/readyz?verbose", "text/plain").await;
    let lines = NAMES.map(|name| format!("[+]{name} ok\n")).concat();
    assert_eq!(text.body, json!(format!("{lines}readyz check passed\n")));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_told_and_keeps_a_server_from_being_ready_only_where_that_is_set() {
    for ready_when_full in [true, false] {
        let server = TestServerBuilder::fake()
            .set(|settings| {
                (settings.limits.max_concurrent, settings.limits.queue_length) = (1, 1);
                settings.health.ready_when_full = ready_when_full;
            })
            .start()
            .await;
        let held = json!({"prompt": "!touch there\n!await go"});
        server.submit(held.clone()).await;
        server.reached("there").await;
        let one_waits_in_none = ready(&server).await;
        assert_eq!((one_waits_in_none.status, &one_waits_in_none.body["checks"]["queue"]["ok"]), (200, &json!(true)));
        server.submit(held).await;
        let full = ready(&server).await;
        let queue = &full.body["checks"]["queue"];
        assert!(queue["message"].as_str().unwrap().contains("ASKD_QUEUE_LENGTH"), "{full:?}");
        let (status, required) = if ready_when_full { (200, json!(false)) } else { (503, Value::Null) };
        assert_eq!((full.status, &queue["ok"], &queue["required"]), (status, &json!(false), &required), "{full:?}");
        let refused = server.post("/v1/runs", &json!({"prompt": "x"})).await;
        assert!(refused.status >= 429, "what the check says is so: {refused:?}");
        server.release("go");
        server.busy_with(0, 0).await;
        assert_eq!(ready(&server).await.status, 200);
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_drains_lives_has_started_and_is_not_ready() {
    let server = TestServerBuilder::fake().start().await;
    server.submit(json!({"prompt": "!touch there\n!await go"})).await;
    server.reached("there").await;
    server.app.lifecycle().drain();
    for (path, status) in PROBES.into_iter().chain(["/health"]).zip([200, 503, 200, 200]) {
        assert_eq!(probe(&server, Method::GET, path, "*/*").await.status, status, "{path}");
    }
    let head = probe(&server, Method::HEAD, "/readyz", "*/*").await;
    assert_eq!(head.status, 503);
    let text = probe(&server, Method::GET, "/readyz", "text/plain").await;
    let text = text.body.as_str().unwrap();
    assert!(text.contains("[-]draining failed: ") && text.ends_with("readyz check failed\n"), "{text}");
    let health = probe(&server, Method::GET, "/health", "*/*").await.body;
    assert_eq!((&health["status"], &health["concurrency"]["active"]), (&json!("ok"), &json!(1)), "as the Node server");
    server.release("go");
    server.stop().await;
}
