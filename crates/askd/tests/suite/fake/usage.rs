//! `usage` of a run, and `GET /v1/usage`: by model, by session, and for whom.

use serde_json::{Value, json};

use crate::harness::TestServerBuilder;

/// A run whose CLI tells these figures.
fn uses(models: &Value) -> Value {
    let result = json!({"result": "ok", "model_usage_since_last_result": models});
    json!({"prompt": format!("!result {result}"), "cwd": "shop"})
}

fn rows(usage: &Value, field: &str) -> Vec<(Value, u64, u64, f64)> {
    let number = |row: &Value, name: &str| row[name].as_u64().unwrap();
    let rows = usage["data"].as_array().unwrap().iter();
    let of = |row: &Value| {
        let cost = row["cost_usd"].as_f64().unwrap();
        (row[field].clone(), number(row, "runs"), number(row, "input_tokens"), cost)
    };
    rows.map(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_says_what_it_has_used_by_model_and_the_sums_agree() {
    let server = TestServerBuilder::fake().file("workspace/shop/x", "").start().await;
    let large = json!({"inputTokens": 50, "outputTokens": 5, "cacheReadInputTokens": 4, "costUSD": 0.25});
    let small = json!({"inputTokens": 7, "outputTokens": 1, "webSearchRequests": 1, "costUSD": 0.05});
    let run = server.run(uses(&json!({"large[1m]": large, "small": small}))).await;
    let usage = &run["usage"];
    assert_eq!(run["cost_usd"], 0.3);
    assert_eq!((&usage["estimate"], &usage["complete"], &usage["cost_usd"]), (&json!(true), &json!(true), &json!(0.3)));
    assert_eq!((&usage["input_tokens"], &usage["web_search_requests"]), (&json!(57), &json!(1)), "{usage}");
    assert_eq!(usage["models"]["large"]["cache_read_input_tokens"], 4);
    let listed = server.get("/v1/runs").await.body;
    assert_eq!(&listed["data"][0]["usage"], usage, "also in lists");

    let mut more = uses(&json!({"small": small}));
    more["session_id"] = run["session_id"].clone();
    server.run(more).await;
    server.run(uses(&json!({}))).await;
    let usage = async |query: &str| server.get(&format!("/v1/usage?{query}")).await.body;
    let models = [(json!("large"), 1, 50, 0.25), (json!("small"), 2, 14, 0.1)];
    assert_eq!(rows(&usage("group_by=model").await, "model"), models);
    let session = run["session_id"].as_str().unwrap();
    assert_eq!(rows(&usage(&format!("group_by=model&session_id={session}")).await, "model"), models);
    let all = [(json!("shop"), 3, 64, 0.35)];
    assert_eq!(rows(&usage("group_by=workspace").await, "workspace"), all);
    assert_eq!(rows(&usage("group_by=workspace&workspace=shop").await, "workspace"), all);
    assert_eq!(rows(&usage("group_by=workspace&workspace=").await, "workspace"), []);
    let sessions = rows(&usage("group_by=session&model=small").await, "session_id");
    assert_eq!(sessions, [(json!(session), 2, 14, 0.1)]);
    assert_eq!(usage("group_by=session").await["data"].as_array().unwrap().len(), 2);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_another_key_has_used_nothing_as_if_there_were_none() {
    let server = TestServerBuilder::fake().file("workspace/shop/x", "").start().await;
    let (one, other) = (server.user(json!({})).await, server.user(json!({})).await);
    let run = one.run(uses(&json!({"large": {"costUSD": 0.25}}))).await;
    let session = run["session_id"].as_str().unwrap();
    for query in [format!("session_id={session}"), format!("session_id={session}&key={}", one.id)] {
        let foreign = other.get(&format!("/v1/usage?{query}")).await;
        let unknown = other.get(&format!("/v1/usage?{}", query.replace(session, &uuid::Uuid::nil().to_string()))).await;
        assert_eq!((foreign.status, &foreign.body["data"]), (200, &json!([])), "{foreign:?}");
        assert_eq!(foreign.body, unknown.body);
    }
    assert_eq!(rows(&one.get("/v1/usage?group_by=session").await.body, "session_id").len(), 1);
    assert_eq!(rows(&other.get("/v1/usage?group_by=session").await.body, "session_id"), []);
    let all = server.get(&format!("/v1/usage?group_by=key&session_id={session}")).await.body;
    assert_eq!(rows(&all, "key"), [(json!(one.id), 1, 0, 0.25)]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_cut_short_is_told_what_its_last_result_says_also_without_a_budget() {
    let server = TestServerBuilder::fake().file("workspace/shop/x", "").start().await;
    let first = json!({"result": "on", "model_usage_since_last_result": {"large": {"costUSD": 0.25}}});
    let id = server.submit(json!({"prompt": format!("!result {first}\n!touch hangs\n!hang")})).await;
    server.reached("hangs").await;
    server.post(&format!("/v1/runs/{id}/cancel"), &json!({})).await;
    let run = server.ended(&id).await;
    assert_eq!((&run["state"], &run["cost_usd"]), (&json!("cancelled"), &json!(0.25)), "{run}");
    // One that dies after it has said something.
    let died = server.run(json!({"prompt": format!("!result {first}\n!say more\n!die")})).await;
    assert_eq!((&died["cost_usd"], &died["usage"]["complete"]), (&json!(0.25), &json!(false)), "{died}");
    // And one that never said anything.
    let silent = server.run(json!({"prompt": "!die"})).await;
    assert_eq!((&silent["cost_usd"], &silent["usage"]), (&Value::Null, &Value::Null), "{silent}");
    server.at_rest().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_never_began_has_used_nothing() {
    let server = TestServerBuilder::fake().set(|settings| settings.limits.max_concurrent = 1).start().await;
    let works = server.submit(json!({"prompt": "!await go"})).await;
    let waits = server.submit(json!({"prompt": "x"})).await;
    server.post(&format!("/v1/runs/{waits}/cancel"), &json!({})).await;
    let run = server.ended(&waits).await;
    let usage = &run["usage"];
    assert_eq!((&usage["complete"], &usage["cost_usd"], &usage["models"]), (&json!(true), &json!(0.0), &json!({})));
    server.release("go");
    server.ended(&works).await;
    server.at_rest().await;
    server.stop().await;
}
