//! An answer that has to fit a schema: it is checked at the end, and asked for again once.

use serde_json::{Map, Value, json};
use tokio::sync::Mutex;

use crate::harness::{TestServer, TestServerBuilder, types};

/// Checks that take as long as they may hold up other checks of the whole process: one test at a time has some.
pub(super) static SLOW_CHECKS: Mutex<()> = Mutex::const_new(());

fn schema() -> Value {
    json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})
}

/// Any value without `fast` takes for ever to check.
pub(super) fn slow_schema() -> Value {
    let innermost = json!({"anyOf": [{"type": "object"}], "unevaluatedProperties": true});
    let slow = (0..25).fold(innermost, |inner, _| json!({"anyOf": [inner], "unevaluatedProperties": false}));
    with_a_fast_way(&slow)
}

/// Any value without `fast` fits, and takes twice as long to check with each level.
fn schema_of_levels(levels: u32) -> Value {
    let mut definitions = Map::new();
    for level in 0..levels {
        let next = json!({"$ref": format!("#/$defs/d{}", level + 1)});
        definitions.insert(format!("d{level}"), json!({"allOf": [next, next]}));
    }
    definitions.insert(format!("d{levels}"), json!({"type": "object"}));
    let mut schema = with_a_fast_way(&json!({"$ref": "#/$defs/d0"}));
    schema["$defs"] = definitions.into();
    schema
}

fn with_a_fast_way(slow: &Value) -> Value {
    let fast = json!({"properties": {"fast": {"const": true}}, "required": ["fast"]});
    json!({"anyOf": [fast, slow]})
}

/// A result with this structured output.
fn giving(output: &Value) -> String {
    format!("!result {}", json!({"structured_output": output}))
}

/// The results of the turns, one after the other.
fn turns(parts: &[&str]) -> String {
    parts.join("\n!then\n")
}

async fn run(server: &TestServer, prompt: &str) -> Value {
    server.run(json!({"prompt": prompt, "output_schema": schema()})).await
}

async fn events(server: &TestServer, run: &Value) -> Vec<Value> {
    let answer = server.get(&format!("/v1/runs/{}/events?limit=1000", run["id"].as_str().unwrap())).await;
    answer.body["data"].as_array().unwrap().clone()
}

async fn warnings(server: &TestServer, run: &Value) -> Vec<Value> {
    let events = events(server, run).await;
    let repaired = events.into_iter().filter(|event| event["data"]["code"] == "schema_repaired");
    repaired.map(|event| event["data"]["message"].clone()).collect()
}

async fn results(server: &TestServer, run: &Value) -> usize {
    types(&events(server, run).await).iter().filter(|kind| **kind == "agent.result").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_fits_is_not_asked_for_again() {
    let server = TestServerBuilder::fake().start().await;
    let run = run(&server, &turns(&[&giving(&json!({"n": 1})), &giving(&json!({"n": 2}))])).await;
    assert_eq!((&run["state"], &run["structured_output"]), (&json!("completed"), &json!({"n": 1})), "{run}");
    assert_eq!((warnings(&server, &run).await.len(), results(&server, &run).await), (0, 1));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_missing_or_wrong_is_asked_for_again_and_the_second_one_counts() {
    let server = TestServerBuilder::fake().start().await;
    let given_up = r#"!result {"is_error":true,"subtype":"error_max_structured_output_retries"}"#;
    for first in ["!result only text", &giving(&json!({"n": "one"})), &giving(&json!(null)), given_up] {
        let run = run(&server, &turns(&[first, &giving(&json!({"n": 2}))])).await;
        assert_eq!(
            (&run["state"], &run["structured_output"]),
            (&json!("completed"), &json!({"n": 2})),
            "{first}: {run}"
        );
        let warnings = warnings(&server, &run).await;
        assert_eq!((warnings.len(), results(&server, &run).await), (1, 2), "{first}: {warnings:?}");
        assert!(warnings[0].as_str().unwrap().ends_with("; the model is asked for it again"), "{warnings:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_is_told_what_does_not_fit() {
    let server = TestServerBuilder::fake().start().await;
    let run = run(&server, &turns(&[&giving(&json!({"n": "one"})), "!report"])).await;
    let report: Value = serde_json::from_str(run["result"].as_str().unwrap()).unwrap();
    let message = &report["message"];
    let said = message["message"]["content"].as_str().unwrap();
    assert!(
        said.contains("- at `/n`: \"one\" is not of type \"integer\"\n") && said.contains("StructuredOutput"),
        "{said}"
    );
    assert_eq!(message["client_composed"], true, "nothing in it is expanded: {message}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_answer_is_wrong_twice_is_incomplete_and_says_where() {
    let server = TestServerBuilder::fake().start().await;
    let wrong = giving(&json!({"n": "one"}));
    let run = run(&server, &turns(&[&wrong, &giving(&json!({"m": 1})), &giving(&json!({"n": 3}))])).await;
    assert_eq!((&run["state"], &run["error"]["type"]), (&json!("incomplete"), &json!("schema")), "{run}");
    let details = json!([{"path": "", "message": "\"n\" is a required property"}]);
    assert_eq!(run["error"]["details"], details, "{run}");
    assert!(run["error"]["message"].as_str().unwrap().contains("\"n\" is a required property"), "{run}");
    assert_eq!(run["structured_output"], Value::Null, "what does not fit is not given as if it did");
    assert_eq!(results(&server, &run).await, 2, "and stands in the events");
    let missing = server.run(json!({"prompt": "x", "output_schema": schema()})).await;
    assert_eq!(missing["error"]["message"], "the model gave no structured output", "{missing}");
    assert_eq!(missing["error"]["details"], json!([{"path": "", "message": "there is no structured output"}]));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_says_how_often_it_is_asked_for_again() {
    for repairs in [0, 2] {
        let server = TestServerBuilder::fake().set(|settings| settings.limits.schema_repairs = repairs).start().await;
        let run = run(&server, &turns(&["!result a", "!result b", "!result c", &giving(&json!({"n": 3}))])).await;
        assert_eq!(run["state"], "incomplete", "{run}");
        assert_eq!(results(&server, &run).await, 1 + repairs as usize);
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ask_repairs_as_well_and_says_so_in_a_header() {
    let server = TestServerBuilder::fake().start().await;
    let prompt = turns(&["!result text", &giving(&json!({"n": 1}))]);
    let answer = server.ask(json!({"prompt": prompt, "jsonSchema": schema()})).await;
    assert_eq!((answer.status, &answer.body["structured_output"]), (200, &json!({"n": 1})), "{answer:?}");
    assert!(answer.header("x-askd-warning").unwrap().contains("asked for it again"), "{answer:?}");
    let answer = server.ask(json!({"prompt": giving(&json!({"n": "x"})), "jsonSchema": schema()})).await;
    assert_eq!((answer.status, answer.code()), (500, "SCHEMA_FAILED"), "{answer:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cli_that_does_without_the_schema_is_told_from_a_model_that_does() {
    let server = TestServerBuilder::fake().start().await;
    let run = run(&server, &turns(&["!no-tool\n!result text", &giving(&json!({"n": 1}))])).await;
    assert_eq!(run["state"], "incomplete", "{run}");
    assert!(run["error"]["message"].as_str().unwrap().starts_with("the CLI did not take the schema"), "{run}");
    assert_eq!(results(&server, &run).await, 1, "asking again would be in vain");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_end_is_not_repaired() {
    let server = TestServerBuilder::fake().start().await;
    let then = giving(&json!({"n": 1}));
    for (first, state, kind) in [
        (r#"{"is_error":true,"subtype":"error_max_turns"}"#, "incomplete", "turn_limit"),
        (r#"{"is_error":true,"subtype":"error_max_budget_usd"}"#, "incomplete", "budget"),
        (
            r#"{"is_error":true,"subtype":"error_during_execution","terminal_reason":"aborted_streaming"}"#,
            "cancelled",
            "cancelled",
        ),
    ] {
        let run = run(&server, &turns(&[&format!("!result {first}"), &then])).await;
        assert_eq!((&run["state"], &run["error"]["type"]), (&json!(state), &json!(kind)), "{run}");
        assert_eq!(results(&server, &run).await, 1, "{first}");
    }
    // The turn that repairs may fail as any other.
    let failing = turns(&["!result text", r#"!result {"is_error":true,"subtype":"error_max_turns"}"#]);
    assert_eq!(run(&server, &failing).await["error"]["type"], "turn_limit");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cli_that_ends_after_its_answer_is_not_asked_again() {
    let server = TestServerBuilder::fake().start().await;
    for (prompt, state) in [
        (format!("{}\n!exit 0", giving(&json!({"n": "x"}))), "incomplete"),
        (format!("{}\n!exit 0", giving(&json!({"n": 1}))), "completed"),
        ("!result text\n!die".to_owned(), "incomplete"),
    ] {
        let run = run(&server, &prompt).await;
        assert_eq!((&run["state"], results(&server, &run).await), (&json!(state), 1), "{run}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cli_that_gives_its_answer_and_hangs_is_not_asked_again() {
    let grace = std::time::Duration::from_millis(300);
    let server = TestServerBuilder::fake().set(|settings| settings.deadlines.result_grace = grace).start().await;
    let run = run(&server, &format!("{}\n!hang", giving(&json!({"n": "x"})))).await;
    assert_eq!((&run["state"], &run["error"]["type"]), (&json!("incomplete"), &json!("schema")), "{run}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_ends_with_the_runs_deadline_or_when_somebody_wants_it() {
    let server = TestServerBuilder::fake().start().await;
    let prompt = turns(&["!result text", "!touch repairs\n!hang"]);
    let began = async |_: &Value| std::fs::remove_file(server.folders.workspace().join("repairs")).is_ok();
    server.late(json!({"prompt": prompt, "output_schema": schema()}), began).await;
    for (command, state) in [("cancel", "cancelled"), ("interrupt", "cancelled")] {
        let id = server.submit(json!({"prompt": prompt, "output_schema": schema()})).await;
        server.reached("repairs").await;
        let answer = server.post(&format!("/v1/runs/{id}/{command}"), &json!({})).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        let run = server.ended(&id).await;
        assert_eq!(run["state"], state, "{command}: {run}");
        std::fs::remove_file(server.folders.workspace().join("repairs")).unwrap();
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_during_the_repair_is_worked_on_and_its_answer_counts() {
    let server = TestServerBuilder::fake().start().await;
    let prompt = turns(&["!result text", "!touch repairs\n!await go\n!result still text"]);
    let id = server.submit(json!({"prompt": prompt, "output_schema": schema()})).await;
    server.reached("repairs").await;
    let taken = server.post(&format!("/v1/runs/{id}/input"), &json!({"message": giving(&json!({"n": 5}))})).await;
    assert_eq!(taken.status, 202, "{taken:?}");
    server.release("go");
    let run = server.ended(&id).await;
    assert_eq!((&run["state"], &run["structured_output"]), (&json!("completed"), &json!({"n": 5})), "{run}");
    server.stop().await;
}

fn slowly_checked() -> Value {
    json!({"prompt": giving(&json!({"a": 1})), "output_schema": slow_schema()})
}

/// A run whose answer is being checked, which takes longer than any test.
async fn being_checked(server: &TestServer) -> String {
    let id = server.submit(slowly_checked()).await;
    // The end of the turn; the check begins with it.
    server.follow(&id, "types=agent.*").await.until_event("agent.result").await;
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_holds_up_neither_a_cancel_nor_a_deadline() {
    let _alone = SLOW_CHECKS.lock().await;
    let server = TestServerBuilder::fake().start().await;
    let id = being_checked(&server).await;
    let answer = server.post(&format!("/v1/runs/{id}/cancel"), &json!({})).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(server.ended(&id).await["state"], "cancelled");
    server.late(slowly_checked(), async |run| results(&server, run).await == 1).await;
    server.at_rest().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_during_the_check_is_worked_on_and_the_end_is_decided_anew() {
    let _alone = SLOW_CHECKS.lock().await;
    let server = TestServerBuilder::fake().start().await;
    let id = being_checked(&server).await;
    let taken = server.post(&format!("/v1/runs/{id}/input"), &json!({"message": giving(&json!({"fast": true}))})).await;
    assert_eq!(taken.status, 202, "{taken:?}");
    let run = server.ended(&id).await;
    assert_eq!((&run["state"], &run["structured_output"]), (&json!("completed"), &json!({"fast": true})), "{run}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_is_not_on_the_answer_of_a_turn_that_came_during_the_check() {
    let _alone = SLOW_CHECKS.lock().await;
    let grace = std::time::Duration::from_millis(300);
    let server = TestServerBuilder::fake();
    let server = server.set(|settings| (settings.deadlines.result_grace, settings.limits.schema_repairs) = (grace, 0));
    let server = server.start().await;
    let first = format!("{}\n!lifecycle completed\n!state idle\n!state running", giving(&json!({"a": 1})));
    let second = json!({"type": "result", "subtype": "success", "is_error": false, "result": "and one more thing"});
    let schema = schema_of_levels(15);
    let run = server.run(json!({"prompt": format!("{first}\n!line {second}\n!hang"), "output_schema": schema})).await;
    assert_eq!((&run["state"], &run["error"]["type"]), (&json!("incomplete"), &json!("schema")), "{run}");
    assert_eq!(run["error"]["message"], "the model gave no structured output", "{run}");
    let run = server.run(json!({"prompt": format!("{first}\n!hang"), "output_schema": schema})).await;
    assert_eq!((&run["state"], &run["structured_output"]), (&json!("completed"), &json!({"a": 1})), "{run}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_takes_too_long_is_no_fault_of_the_model() {
    let _alone = SLOW_CHECKS.lock().await;
    let server = TestServerBuilder::fake().start().await;
    let id = being_checked(&server).await;
    let run = server.ended(&id).await;
    assert_eq!((&run["state"], &run["error"]["type"]), (&json!("incomplete"), &json!("schema")), "{run}");
    assert!(run["error"]["message"].as_str().unwrap().contains("too complex"), "{run}");
    assert_eq!((warnings(&server, &run).await.len(), results(&server, &run).await), (0, 1), "it is not asked again");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_no_object_fits_is_refused_with_the_way_out() {
    let server = TestServerBuilder::fake().start().await;
    for schema in [json!({"type": "array"}), json!({"enum": ["a", "b"]}), json!({"anyOf": [{"type": "string"}]})] {
        let answer = server.post("/v1/runs", &json!({"prompt": "!touch never", "output_schema": schema})).await;
        assert_eq!((answer.status, answer.kind()), (400, "invalid_request_error"), "{answer:?}");
        assert!(answer.message().starts_with("output_schema must describe an object"), "{answer:?}");
        assert!(answer.message().contains("wrap it"), "{answer:?}");
    }
    assert_eq!(server.folders.list("workspace"), [""; 0]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_is_small_and_has_no_end_when_it_is_written_out_is_refused_before_the_cli_has_it() {
    let server = TestServerBuilder::fake().start().await;
    let answer =
        server.post("/v1/runs", &json!({"prompt": "!touch never", "output_schema": schema_of_levels(40)})).await;
    assert_eq!((answer.status, answer.param()), (400, "output_schema"), "{answer:?}");
    assert!(answer.message().contains("is too complex: with each reference replaced"), "{answer:?}");
    assert_eq!(server.folders.list("workspace"), [""; 0]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cli_gets_a_copy_that_it_can_use_and_the_answer_is_judged_by_the_original() {
    let server = TestServerBuilder::fake().start().await;
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "x-mine": 1,
        "properties": {"t": {"type": "array", "prefixItems": [{"type": "integer"}], "items": false}, "d": {"format": "date"}},
        "dependentRequired": {"t": ["d"]},
    });
    let run = server.run(json!({"prompt": "!report", "output_schema": schema})).await;
    let results = events(&server, &run).await.into_iter().find(|event| event["type"] == "agent.result").unwrap();
    let report: Value = serde_json::from_str(results["data"]["result"].as_str().unwrap()).unwrap();
    assert_eq!(
        report["initialize"]["jsonSchema"],
        json!({
            "type": "object",
            "properties": {"t": {"type": "array", "items": [{"type": "integer"}], "additionalItems": false}, "d": {"format": "date"}},
            "if": {}, "then": {"allOf": [{"dependencies": {"t": ["d"]}}]},
        })
    );
    for (output, state) in [
        (json!({"t": [1], "d": "2026-11-23"}), "completed"),
        (json!({"t": [1, 2], "d": "2026-11-23"}), "incomplete"),
        (json!({"t": [1]}), "incomplete"),
        (json!({"d": "today"}), "incomplete"),
    ] {
        let run = server.run(json!({"prompt": giving(&output), "output_schema": schema})).await;
        assert_eq!(run["state"], state, "{output}: {run}");
    }
    server.stop().await;
}
