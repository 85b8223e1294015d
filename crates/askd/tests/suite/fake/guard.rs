//! The guard's hook: what is answered to questions that the real CLI never asks.

use serde_json::{Value, json};

use crate::harness::{TestServer, TestServerBuilder};

/// How often the guard passed a call, denied one or refused to answer, and what it told the reader.
async fn asked(server: &TestServer, hook: &str) -> (Value, Vec<String>) {
    let run = server.submit(json!({"prompt": format!("!hook {hook}")})).await;
    assert_eq!(server.ended(&run).await["state"], "completed", "{hook}");
    let events = server.follow(&run, "after=0").await.envelopes().await;
    let said = events.iter().find(|event| event["type"] == "agent.assistant").map(Value::to_string).unwrap_or_default();
    let start = said.find("{\\\"").unwrap_or_else(|| panic!("no answers: {said}"));
    let counts = said[start..].split_once('}').unwrap().0.replace("\\\"", "\"") + "}";
    let warnings = events.iter().filter(|event| event["type"] == "run.warning");
    let warnings = warnings.filter_map(|event| event["data"]["message"].as_str().map(str::to_owned)).collect();
    (serde_json::from_str(&counts).unwrap(), warnings)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_answered_by_the_policy() {
    let server = TestServerBuilder::fake().start().await;
    assert_eq!(asked(&server, "1 right ls -l").await, (json!({"pass": 1}), vec![]));
    let (counts, warnings) = asked(&server, "1 right git push -f").await;
    assert_eq!((counts, warnings.len()), (json!({"deny": 1}), 1));
    assert!(warnings[0].contains("(rule git-force-push)"), "{warnings:?}");
    // Only the tools that run commands are looked at.
    assert_eq!(asked(&server, "1 unknown-tool git push -f").await, (json!({"pass": 1}), vec![]));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_question_of_the_guard_is_refused_and_the_run_goes_on() {
    let server = TestServerBuilder::fake().start().await;
    for kind in ["unknown-id", "malformed"] {
        assert_eq!(asked(&server, &format!("1 {kind} ls")).await, (json!({"error": 1}), vec![]), "{kind}");
    }
    let (counts, warnings) = asked(&server, "1 no-text ls").await;
    assert_eq!((counts, warnings.len()), (json!({"deny": 1}), 1));
    assert!(warnings[0].contains("(rule unreadable)"), "{warnings:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_questions_at_once_are_all_answered_and_told_in_a_bounded_number() {
    let server = TestServerBuilder::fake().start().await;
    assert_eq!(asked(&server, "1000 right ls -l").await, (json!({"pass": 1000}), vec![]));
    let (counts, warnings) = asked(&server, "1000 right git push -f").await;
    assert_eq!((counts, warnings.len()), (json!({"deny": 1000}), 50));
    let (counts, warnings) = asked(&server, "3 twice git push -f").await;
    assert_eq!((counts, warnings.len()), (json!({"deny": 3}), 1), "a call is told once");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_rule_the_cli_is_not_told_to_ask() {
    let server = TestServerBuilder::fake().file("config/askd-policy.json", r#"{"version": 1}"#).start().await;
    let (counts, warnings) = asked(&server, "1 right git push -f").await;
    // A question that nobody ordered is a request like any other.
    assert_eq!((counts, warnings), (json!({"error": 1}), vec![]));
    server.stop().await;
}
