//! Each recorded end of the real CLI, played again: what the run, `/ask` and `fail_http` make of it.
//!
//! The recordings are those of `crates/claude/tests/outcomes.rs`, which holds them against the table.

use std::collections::BTreeSet;

use askd::api::error::outcome::{code, status};
use askd::runs::RunErrorKind;
use claude::outcome::table::{ROWS, Verdict};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use crate::harness::{Answer, TestServer, TestServerBuilder};

/// A recorded end.
struct End {
    name: String,
    row: String,
    /// The script that plays it.
    prompt: String,
    schema: Value,
    last_words: Value,
}

impl End {
    fn verdict(&self) -> (&'static str, Option<RunErrorKind>) {
        match ROWS.iter().find(|row| row.name == self.row).unwrap().then {
            Verdict::Completed => ("completed", None),
            Verdict::Incomplete(kind) => ("incomplete", Some(kind.into())),
            Verdict::Cancelled => ("cancelled", Some(RunErrorKind::Cancelled)),
            Verdict::Failed(kind) => ("failed", Some(kind.into())),
        }
    }
}

fn ends() -> Vec<End> {
    let lines = include_str!("../../../../claude/tests/frames/ends.jsonl").lines();
    let ends = lines.map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        let frames = line["frames"].as_array().unwrap();
        let said = |frame: &&Value| {
            let block = &frame["message"]["content"][0];
            frame["type"] == "assistant"
                && frame["is_api_error_message"].is_null()
                && block["text"] != ""
                && block["type"] == "text"
        };
        let last_words = frames.iter().rfind(said).map(|frame| frame["message"]["content"][0]["text"].clone());
        let prompt = frames.iter().map(|frame| format!("!line {frame}")).collect::<Vec<_>>().join("\n");
        End {
            name: format!("{} {}", line["case"], line["cli"]),
            row: line["row"].as_str().unwrap().to_owned(),
            prompt,
            schema: if line["schema"] == true { json!({"type": "object"}) } else { Value::Null },
            last_words: last_words.unwrap_or_default(),
        }
    });
    ends.collect()
}

/// The first end of each row.
fn one_of_each() -> Vec<End> {
    let mut seen = BTreeSet::new();
    ends().into_iter().filter(|end| seen.insert(end.row.clone())).collect()
}

async fn server() -> TestServer {
    // A further turn would be none of the recorded ones.
    TestServerBuilder::fake().set(|settings| settings.limits.schema_repairs = 0).start().await
}

/// Sends all of them, a few at once.
async fn each<'a>(server: &'a TestServer, ends: &'a [End], path: &'a str, field: &'a str) -> Vec<(&'a End, Answer)> {
    let answers = stream::iter(ends).map(async |end| {
        let mut body = json!({"prompt": end.prompt});
        if !end.schema.is_null() {
            body[field] = end.schema.clone();
        }
        (end, server.post(path, &body).await)
    });
    answers.buffer_unordered(3).collect().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_ends_as_the_table_says_and_keeps_what_was_said() {
    let (server, ends) = (server().await, ends());
    for (end, Answer { status, body, .. }) in each(&server, &ends, "/v1/runs?wait=60", "output_schema").await {
        let (state, kind) = end.verdict();
        assert_eq!((status, &body["state"]), (200, &json!(state)), "{}: {body}", end.name);
        assert_eq!(body["error"]["type"], json!(kind.map(RunErrorKind::as_str)), "{}: {body}", end.name);
        let kept = if state == "completed" { Value::Null } else { end.last_words.clone() };
        assert_eq!(body["partial_result"], kept, "{}: {body}", end.name);
        assert!(kind.is_none() || body["error"]["message"].as_str().is_some_and(|text| !text.is_empty()), "{body}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ask_has_a_code_for_each_and_200_for_nothing_that_failed() {
    let (server, ends) = (server().await, one_of_each());
    for (end, answer) in each(&server, &ends, "/ask", "jsonSchema").await {
        let (_, kind) = end.verdict();
        let (code, expected) = kind.map_or(("", 200), |kind| {
            let (code, status) = code(kind).describe();
            (code, status.as_u16())
        });
        assert_eq!((answer.status, answer.code()), (expected, code), "{}: {answer:?}", end.name);
        if kind.is_some() {
            assert!(
                answer.body["result"].is_object() && answer.body["error"].as_object().unwrap().len() == 3,
                "{answer:?}"
            );
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_may_have_the_status_tell() {
    let (server, ends) = (server().await, one_of_each());
    for (end, answer) in each(&server, &ends, "/v1/runs?wait=60&fail_http=true", "output_schema").await {
        let (state, kind) = end.verdict();
        assert_eq!(answer.status, kind.map_or(200, status), "{}: {answer:?}", end.name);
        let run = if kind.is_some() { &answer.body["run"] } else { &answer.body };
        assert_eq!((&run["type"], &run["state"]), (&json!("run"), &json!(state)), "{}: {answer:?}", end.name);
        assert_eq!(answer.header("x-askd-run-id"), run["id"].as_str());
        assert_eq!(answer.header("preference-applied"), Some("wait=60"));
        if kind.is_some() {
            assert_eq!(answer.body["type"], "error");
            assert_eq!(answer.body["error"]["message"], run["error"]["message"]);
            assert_eq!(answer.body["request_id"].as_str(), answer.header("request-id"));
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_goes_on_is_shown_whatever_its_client_wants_of_the_status() {
    let server = server().await;
    let answer = server.post("/v1/runs?wait=0&fail_http=true", &json!({"prompt": "!await go"})).await;
    assert_eq!((answer.status, &answer.body["type"]), (202, &json!("run")), "{answer:?}");
    server.release("go");
    for (path, accept) in
        [("/v1/runs?fail_http=true", "application/json"), ("/v1/runs?wait=1&fail_http=true", "text/event-stream")]
    {
        let request = server.posting(path).header("accept", accept).json(&json!({"prompt": "x"}));
        let answer = Answer::by(request).await;
        assert_eq!((answer.status, &answer.body["error"]["param"]), (400, &json!("fail_http")), "{answer:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_says_when_it_is_over_becomes_a_time_to_come_back() {
    let server = server().await;
    let ends = ends();
    let find = |name: &str| ends.iter().find(|end| end.name == name).unwrap();
    let told = find("\"oauth_rate_limit_429\" \"2.1.330\"");
    let body = json!({"prompt": told.prompt});
    let run = server.run(body.clone()).await;
    assert_eq!(run["error"]["retry_at"], "2026-11-23T10:03:19Z", "{run}");
    for path in ["/ask", "/v1/runs?wait=60&fail_http=true"] {
        let answer = server.post(path, &body).await;
        assert!(
            answer.header("retry-after").is_some_and(|seconds| seconds.parse::<u64>().is_ok()),
            "{path} {answer:?}"
        );
    }
    let silent = json!({"prompt": find("\"api_429far\" \"2.1.330\"").prompt});
    assert_eq!(server.run(silent.clone()).await["error"]["retry_at"], Value::Null);
    assert_eq!(server.post("/ask", &silent).await.header("retry-after"), None, "none is invented");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_success_that_did_nothing_warns() {
    let server = server().await;
    for case in ["\"slash_clear_first\" \"2.1.330\"", "\"tools and no word\" \"made\""] {
        let end = ends().into_iter().find(|end| end.name == case).unwrap();
        let answer = server.post("/ask", &json!({"prompt": end.prompt})).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.header("x-askd-warning").is_some(), "{case}: {answer:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_before_a_cancel_or_a_death_is_kept() {
    let server = server().await;
    for (end, kind) in [
        ("!exit 1", "cli_died"),
        ("!exit 137", "cli_died"),
        ("!die", "cli_died"),
        ("!lifecycle completed\n!state idle\n!hang", "run"),
        ("!result {\"is_error\":true,\"result\":\"no\"}", "run"),
    ] {
        let run = server.run(json!({"prompt": format!("!say first\n!say so far\n{end}")})).await;
        assert_eq!((&run["state"], &run["error"]["type"]), (&json!("failed"), &json!(kind)), "{run}");
        assert_eq!(run["partial_result"], "so far", "{run}");
    }
    let id = server.submit(json!({"prompt": "!say so far\n!hang"})).await;
    server.follow(&id, "").await.until_event("agent.assistant").await;
    server.post(&format!("/v1/runs/{id}/cancel"), &json!({})).await;
    let run = server.ended(&id).await;
    assert_eq!((&run["state"], &run["partial_result"]), (&json!("cancelled"), &json!("so far")), "{run}");
    server.stop().await;
}
