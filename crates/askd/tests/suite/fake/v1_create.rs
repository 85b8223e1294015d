//! `POST /v1/runs`: the answer at once, at the end of the run, or event by event.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Answer, RawClient, Stream, TestServer, TestServerBuilder, beside, eventually};

async fn server() -> TestServer {
    TestServerBuilder::fake().start().await
}

async fn one_slot() -> TestServer {
    TestServerBuilder::fake().set(|settings| settings.limits.max_concurrent = 1).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_taken_in_and_shown_as_it_is() {
    let server = server().await;
    let body = json!({
        "prompt": "!await go", "cwd": "", "max_turns": 3, "metadata": {"team": "a"}, "timeout_seconds": 60,
        "system_prompt": "s",
    });
    let answer = server.post("/v1/runs", &body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let run = &answer.body;
    let id = run["id"].as_str().unwrap();
    assert_eq!(answer.header("location"), Some(format!("/v1/runs/{id}").as_str()));
    assert_eq!(
        (answer.header("x-askd-run-id"), answer.header("x-askd-session-id")),
        (Some(id), run["session_id"].as_str())
    );
    assert_eq!(answer.header("request-id"), answer.header("x-request-id"));
    assert!(answer.header("preference-applied").is_none());
    assert_eq!(
        (&run["type"], &run["metadata"], &run["workspace"]),
        (&json!("run"), &json!({"team": "a"}), &Value::Null)
    );
    assert_eq!((&run["options"]["prompt"], &run["options"]["max_turns"]), (&json!("!await go"), &json!(3)));
    assert_eq!((&run["options"]["expand"], &run["on_disconnect"]), (&json!(false), &json!("continue")));
    server.release("go");
    let ended = server.ended(id).await;
    assert_eq!((&ended["state"], &ended["result"]), (&json!("completed"), &json!("echo: !await go")));
    assert_eq!((&ended["error"], &ended["permission_denials"]["count"]), (&Value::Null, &json!(0)));
    for time in ["created_at", "started_at", "finished_at"] {
        assert!(ended[time].as_str().unwrap().ends_with('Z'), "{ended}");
    }
    assert!(ended["queued_ms"].as_u64() <= ended["first_event_ms"].as_u64(), "{ended}");
    assert!(ended["first_event_ms"].as_u64() <= ended["duration_ms"].as_u64(), "{ended}");
    assert!(ended["usage"].is_object() && ended["cli_version"].is_string(), "{ended}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_brings_the_finished_run() {
    let server = server().await;
    let run = server
        .run(json!({"prompt": "!result {\"result\":\"r\",\"permission_denials\":[{\"tool_name\":\"Bash\"}]}"}))
        .await;
    assert_eq!((&run["state"], &run["result"]), (&json!("completed"), &json!("r")));
    assert_eq!(run["permission_denials"], json!({"count": 1, "calls": [{"tool_name": "Bash"}]}));
    let request = server.posting("/v1/runs").header("prefer", "wait=20").json(&json!({"prompt": "x"}));
    let answer = Answer::by(request).await;
    assert_eq!((answer.status, answer.header("preference-applied")), (200, Some("wait=20")), "{answer:?}");
    assert_eq!(answer.result(), "echo: x");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fails_is_an_answer_and_no_error() {
    let server = server().await;
    let run =
        server.run(json!({"prompt": "!result {\"is_error\":true,\"result\":\"no\",\"api_error_status\":529}"})).await;
    assert_eq!(
        (&run["state"], &run["error"]["type"], &run["error"]["upstream_status"]),
        (&json!("failed"), &json!("overloaded"), &json!(529))
    );
    let run = server.run(json!({"prompt": "!result {\"subtype\":\"error_max_turns\",\"is_error\":true}"})).await;
    assert_eq!((&run["state"], &run["error"]["type"]), (&json!("incomplete"), &json!("turn_limit")));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_after_the_run_was_taken_in_names_it() {
    for path in ["/v1/runs?wait=60", "/ask"] {
        let server = TestServerBuilder::fake().start().await;
        let body = json!({"prompt": "!touch there\n!await go"});
        let failing = async {
            server.reached("there").await;
            server.app.runs().shared().store.close().await;
            server.release("go");
        };
        let (answer, ()) = tokio::join!(server.post(path, &body), failing);
        let id = answer.header("x-askd-run-id").unwrap().to_owned();
        if path == "/ask" || answer.status == 503 {
            assert_eq!(answer.status, 503, "{path} {answer:?}");
            assert!(answer.message().contains(&format!("run {id} was taken in; ")), "{path} {answer:?}");
        } else {
            // The run's row could still be read: it is shown as it is.
            assert_eq!((answer.status, answer.run_id()), (202, &*id), "{path} {answer:?}");
        }
        assert_eq!(answer.header("location").is_some(), path != "/ask", "{path} {answer:?}");
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_too_short_shows_the_run_as_it_is_and_lets_it_go_on() {
    let builder = TestServerBuilder::fake().set(|settings| settings.server.max_wait = Duration::from_secs(1));
    let server = builder.start().await;
    // Cut to the longest wait that the server allows; the client that has got its answer did not leave.
    let body = json!({"prompt": "!await go", "on_disconnect": "cancel"});
    let answer = server.post("/v1/runs?wait=100000", &body).await;
    assert_eq!((answer.status, answer.header("preference-applied")), (202, Some("wait=1")), "{answer:?}");
    server.release("go");
    assert_eq!(server.ended(answer.run_id()).await["state"], "completed");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_brings_every_event_from_the_first() {
    let server = server().await;
    let request = server.posting("/v1/runs").header("accept", "text/event-stream").json(&json!({"prompt": "!say a"}));
    let response = request.send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (200, &"text/event-stream".parse().unwrap())
    );
    assert_eq!(response.headers()["cache-control"], "no-cache, no-transform");
    let run = response.headers()["x-askd-run-id"].to_str().unwrap().to_owned();
    let blocks = Stream::of(response).rest().await;
    assert_eq!(blocks[0].retry.as_deref(), Some("2000"));
    let events: Vec<_> = blocks[1..]
        .iter()
        .map(|block| {
            let event = block.json();
            assert_eq!(
                (block.id.clone(), block.event.as_deref()),
                (Some(event["seq"].to_string()), event["type"].as_str())
            );
            event
        })
        .collect();
    assert_eq!((&events[0]["type"], &events.last().unwrap()["type"]), (&json!("run.queued"), &json!("run.completed")));
    assert!(events.iter().zip(1..).all(|(event, seq)| event["seq"] == seq && event["run_id"] == *run), "{events:?}");
    let lines = server.posting("/v1/runs").header("accept", "application/x-ndjson").json(&json!({"prompt": "!say a"}));
    let lines: Vec<Value> =
        Answer::by(lines).await.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let types = |events: &[Value]| events.iter().map(|event| event["type"].to_string()).collect::<Vec<_>>();
    assert_eq!(types(&lines), types(&events));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_cannot_start_is_told_in_its_stream() {
    let server = TestServerBuilder::fake_that("die 3").start().await;
    let request = server.posting("/v1/runs").header("accept", "text/event-stream").json(&json!({"prompt": "x"}));
    let events = Stream::of(request.send().await.unwrap()).envelopes().await;
    assert_eq!(events.last().unwrap()["data"]["state"], "failed");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_outlives_its_client_unless_that_was_asked_for() {
    for (on_disconnect, path, accept) in [
        ("continue", "/v1/runs?wait=60", "application/json"),
        ("continue", "/v1/runs", "text/event-stream"),
        ("cancel", "/v1/runs?wait=60", "application/json"),
        ("cancel", "/v1/runs", "text/event-stream"),
        ("cancel", "/v1/runs", "application/x-ndjson"),
    ] {
        let server = one_slot().await;
        let body = json!({"prompt": "!touch there\n!await go", "on_disconnect": on_disconnect});
        let request = server.posting(path).header("accept", accept).json(&body);
        let client = beside(async move { request.send().await.unwrap().text().await });
        server.reached("there").await;
        client.abort();
        assert!(client.await.unwrap_err().is_cancelled());
        let run = server.get("/v1/runs").await.body["data"][0]["id"].as_str().unwrap().to_owned();
        let expected = if on_disconnect == "cancel" {
            server.at_rest().await;
            "cancelled"
        } else {
            assert_eq!(server.occupancy().await, (1, 0));
            server.release("go");
            "completed"
        };
        assert_eq!(server.ended(&run).await["state"], expected, "{on_disconnect} {accept}");
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_the_queue_takes_its_run_with_it() {
    let server = one_slot().await;
    let first = server.submit(json!({"prompt": "!touch there\n!await go"})).await;
    server.reached("there").await;
    let mut client = RawClient::connect(server.address).await;
    let body = json!({"prompt": "!touch never", "on_disconnect": "cancel"}).to_string();
    let head = format!(
        "POST /v1/runs HTTP/1.1\r\nhost: localhost\r\nx-api-key: {}\r\ncontent-type: application/json\r\n\
         accept: text/event-stream\r\ncontent-length: {}\r\n\r\n{body}",
        askd::settings::Settings::TEST_API_KEY,
        body.len()
    );
    client.send(&head).await;
    client.until("run.queued").await;
    drop(client);
    server.busy_with(1, 0).await;
    server.release("go");
    server.ended(&first).await;
    let cancelled = server.get("/v1/runs?state=cancelled").await;
    assert_eq!(cancelled.body["data"].as_array().unwrap().len(), 1, "{cancelled:?}");
    assert!(!server.folders.workspace().join("never").exists());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_continued() {
    let server = server().await;
    let first = server.run(json!({"prompt": "one"})).await;
    let body = json!({"prompt": "!recall", "session_id": first["session_id"]});
    let second = server.run(body).await;
    assert_eq!((&second["session_id"], &second["result"]), (&first["session_id"], &json!("one")));
    assert_eq!(second["options"]["session_id"], first["session_id"]);
    let of_session = server.get(&format!("/v1/runs?session_id={}", first["session_id"].as_str().unwrap())).await;
    assert_eq!(of_session.body["data"].as_array().unwrap().len(), 2);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_takes_the_time_that_it_asks_for_and_no_more() {
    let server = server().await;
    let run = server.run(json!({"prompt": "!hang", "timeout_seconds": 1})).await;
    assert_eq!((&run["state"], &run["error"]["type"]), (&json!("failed"), &json!("timeout")));
    let long = server.post("/v1/runs", &json!({"prompt": "x", "timeout_seconds": 10_000_000})).await;
    assert_eq!((long.status, long.param()), (400, "timeout_seconds"), "{long:?}");
    assert!(long.message().contains("ASKD_MAX_RUN_TIME"), "{long:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_result_stays_in_the_log() {
    let server = server().await;
    let run = server.run(json!({"prompt": "!long 2m"})).await;
    assert_eq!((&run["state"], &run["result"]), (&json!("completed"), &Value::Null));
    let seq = run["result_seq"].as_u64().unwrap();
    let page = server.get(&format!("/v1/runs/{}/events?after={}&limit=1", run["id"].as_str().unwrap(), seq - 1)).await;
    assert_eq!(page.body["data"][0]["data"]["result"].as_str().unwrap().len(), 2 << 20);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ask_and_v1_see_the_same_runs() {
    let server = server().await;
    let asked = server.ask(json!({"prompt": "x"})).await;
    let run = server.get(&format!("/v1/runs/{}", asked.run_id())).await.body;
    assert_eq!((&run["result"], &run["on_disconnect"]), (&asked.body["result"], &json!("cancel")));
    assert_eq!(run["options"]["expand"], true);
    eventually("rest", || (server.app.runs().occupancy().active == 0).then_some(())).await;
    server.stop().await;
}
