//! What keys may spend in a day: refused in time, given back, and charged once.

use std::time::Duration;

use askd::usd::Usd;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Holder, TestServer, TestServerBuilder};

/// With a margin of 0.10 US dollars, and room for all.
async fn server() -> TestServer {
    let builder = TestServerBuilder::fake().set(|settings| {
        settings.limits.max_concurrent = 8;
        settings.limits.budget_margin = Usd::from_micros(100_000);
    });
    builder.start().await
}

/// Of a dollar a day, and 0.20 a run: each sets 0.30 aside.
async fn user(server: &TestServer) -> Holder {
    server.user(json!({"max_usd_per_day": 1, "max_usd_per_run": 0.2})).await
}

/// A run that has cost so much, once the file `go` is there.
fn costs(dollars: f64) -> Value {
    let result = json!({"result": "ok", "model_usage_since_last_result": {"opus": {"costUSD": dollars}}});
    json!({"prompt": format!("!await go\n!result {result}")})
}

/// The limit, what is spent, set aside and left of it, as they are written.
async fn budget(holder: &Holder) -> [String; 4] {
    let usage = holder.get("/v1/usage").await;
    assert_eq!(usage.status, 200, "{usage:?}");
    ["limit_usd", "spent_usd", "reserved_usd", "left_usd"].map(|name| usage.body["budget"][name].to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_at_once_get_no_more_set_aside_than_there_is_and_what_they_did_not_need_is_given_back() {
    let server = server().await;
    let user = user(&server).await;
    let submissions = (0..20).map(|_| user.sending(Method::POST, "/v1/runs").json(&costs(0.05)).send());
    let mut taken = Vec::new();
    for answer in futures_util::future::join_all(submissions).await {
        let answer = Answer::to("POST", answer.unwrap()).await;
        if answer.status == 202 {
            taken.push(answer.run_id().to_owned());
            continue;
        }
        assert_eq!((answer.status, answer.kind()), (402, "billing_error"), "{answer:?}");
        let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60 * 60).contains(&wait), "until other runs may have ended: {wait}");
        assert!(
            answer.message().contains("0.9 are set aside") && answer.message().contains("0.1 are left"),
            "{answer:?}"
        );
        let hint = answer.body["error"]["hint"].as_str().unwrap();
        assert!(hint.contains("T00:00:00Z (UTC)") && hint.contains("may be free again"), "{hint}");
        assert!(!hint.contains("max_budget_usd"), "it did not name one: {hint}");
    }
    assert_eq!(taken.len(), 3);
    assert_eq!(budget(&user).await, ["1.0", "0.0", "0.9", "0.1"]);
    server.release("go");
    for run in &taken {
        let run = server.ended(run).await;
        assert_eq!((&run["state"], &run["cost_usd"]), (&"completed".into(), &json!(0.05)), "{run}");
    }
    assert_eq!(budget(&user).await, ["1.0", "0.15", "0.0", "0.85"]);
    server.at_rest().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_says_what_it_needs_gets_that_or_nothing_and_one_that_does_not_gets_the_rest() {
    let server = server().await;
    let user = user(&server).await;
    server.release("go");
    let spent = user.run(costs(0.85)).await;
    assert_eq!(spent["state"], "completed", "a CLI that went beyond its budget is charged all of it");
    let mut needs = costs(0.01);
    needs["max_budget_usd"] = json!(0.06);
    let refused = user.post("/v1/runs?wait=60", &needs).await;
    assert_eq!((refused.status, refused.kind()), (402, "billing_error"), "{refused:?}");
    assert!(refused.message().contains("needs 0.06 and 0.1 for one more call (ASKD_BUDGET_MARGIN)"), "{refused:?}");
    let hint = refused.body["error"]["hint"].as_str().unwrap();
    assert!(hint.contains("a max_budget_usd of at most 0.05") && !hint.contains("set aside"), "{hint}");
    let rest = user.run(costs(0.01)).await;
    assert_eq!(rest["state"], "completed");
    let warned = server.get(&format!("/v1/runs/{}/events?types=run.warning", rest["id"].as_str().unwrap())).await;
    assert!(
        warned.body["data"][0]["data"]["message"].as_str().unwrap().contains("may cost 0.05 US dollars"),
        "{warned:?}"
    );
    assert_eq!(budget(&user).await, ["1.0", "0.86", "0.0", "0.14"]);
    user.run(costs(0.05)).await;
    let asked = user.post("/ask", &json!({"prompt": "!result x"})).await;
    assert_eq!((asked.status, asked.code()), (402, "BUDGET_EXCEEDED"), "{asked:?}");
    assert!(!asked.message().contains("max_budget_usd"), "`/ask` has no such field: {asked:?}");
    let admin = server.run(costs(5.0)).await;
    assert_eq!(admin["state"], "completed", "a key without a budget is not bounded");
    server.at_rest().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_end_of_a_run_settles_what_was_set_aside_for_it() {
    let builder = TestServerBuilder::fake().set(|settings| {
        settings.limits.max_concurrent = 1;
        settings.limits.queue_timeout = Duration::from_millis(200);
        settings.limits.budget_margin = Usd::from_micros(100_000);
    });
    let server = builder.start().await;
    let user = user(&server).await;
    // One that never began: it waited too long, or was cancelled while it waited.
    let running = user.submit(costs(0.05)).await;
    let late = user.post("/ask", &json!({"prompt": "x"})).await;
    assert_eq!((late.status, late.code()), (429, "SERVER_BUSY"), "{late:?}");
    let waits = user.submit(costs(0.05)).await;
    assert_eq!(budget(&user).await[1..3], ["0.0", "0.6"]);
    user.post(&format!("/v1/runs/{waits}/cancel"), &json!({})).await;
    let cancelled = server.ended(&waits).await;
    assert_eq!((&cancelled["state"], &cancelled["cost_usd"]), (&"cancelled".into(), &json!(0.0)));
    assert_eq!(budget(&user).await[1..3], ["0.0", "0.3"]);
    server.release("go");
    server.ended(&running).await;
    assert_eq!(budget(&user).await[1..3], ["0.05", "0.0"]);
    // One that died without a word, and one of which nobody says what it has cost: what was set aside.
    let died = user.run(json!({"prompt": "!die"})).await;
    assert_eq!((&died["state"], &died["cost_usd"]), (&"failed".into(), &json!(0.3)), "{died}");
    assert_eq!(budget(&user).await[1..3], ["0.35", "0.0"]);
    // One that is cut short: the result that an interrupt brings tells what it has cost.
    let hangs = user.submit(json!({"prompt": "!touch hangs\n!hang"})).await;
    server.reached("hangs").await;
    user.post(&format!("/v1/runs/{hangs}/cancel"), &json!({})).await;
    let hangs = server.ended(&hangs).await;
    assert_eq!(hangs["state"], "cancelled");
    assert_eq!(budget(&user).await[2], "0.0");
    server.at_rest().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_completes_stays_completed_also_when_its_cost_is_not_known() {
    let server = server().await;
    let user = user(&server).await;
    // A CLI that answers no question, and tells only what its process has cost in all: it begins at nothing in each.
    let tells = |prompt: &str, total: Value| {
        let result = json!({"result": "ok", "total_cost_usd": total});
        json!({"prompt": format!("{prompt}\n!result {result}")})
    };
    let first = user.run(tells("", json!(0.05))).await;
    assert_eq!((&first["state"], &first["cost_usd"]), (&"completed".into(), &json!(0.05)), "{first}");
    let mut more = tells("", json!(0.02));
    more["session_id"] = first["session_id"].clone();
    let second = user.run(more).await;
    assert_eq!((&second["state"], &second["cost_usd"]), (&"completed".into(), &json!(0.02)), "{second}");
    assert_eq!(budget(&user).await[1..3], ["0.07", "0.0"]);
    // One that tells nothing at all.
    let silent = user.run(tells("", Value::Null)).await;
    assert_eq!((&silent["state"], &silent["cost_usd"]), (&"completed".into(), &json!(0.3)), "{silent}");
    let warned = server.get(&format!("/v1/runs/{}/events?types=run.warning", silent["id"].as_str().unwrap())).await;
    let message = warned.body["data"][0]["data"]["message"].as_str().unwrap();
    assert!(message.contains("charged the 0.3 US dollars that were set aside"), "{message}");
    assert_eq!(budget(&user).await[1..3], ["0.37", "0.0"]);
    server.at_rest().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_seen_by_its_key_and_by_those_who_see_all() {
    let server = server().await;
    let (one, other) = (user(&server).await, server.user(json!({})).await);
    server.release("go");
    one.run(costs(0.05)).await;
    other.run(costs(0.25)).await;
    let own = one.get("/v1/usage").await.body;
    assert_eq!(
        (&own["estimate"], &own["data"][0]["cost_usd"], &own["data"][0]["runs"]),
        (&true.into(), &json!(0.05), &json!(1))
    );
    let foreign = one.get(&format!("/v1/usage?key={}", other.id)).await;
    assert_eq!((foreign.status, &foreign.body["data"], &foreign.body["budget"]), (200, &json!([]), &Value::Null));
    assert_eq!(other.get("/v1/usage").await.body["budget"], Value::Null);
    let all = server.get("/v1/usage?group_by=key").await.body;
    let mut costs: Vec<_> = all["data"].as_array().unwrap().iter().map(|row| row["cost_usd"].to_string()).collect();
    costs.sort();
    assert_eq!(costs, ["0.05", "0.25"], "{all}");
    let page = server.get("/v1/usage?group_by=key&limit=1").await.body;
    let next = page["next_page"].as_str().unwrap();
    let rest = server.get(&format!("/v1/usage?group_by=key&limit=1&page={next}")).await.body;
    assert_ne!(page["data"][0]["key"], rest["data"][0]["key"]);
    assert_eq!(rest["next_page"], Value::Null);
    let watched = server.get(&format!("/v1/usage?key={}", one.id)).await.body;
    assert_eq!(watched["budget"]["spent_usd"], 0.05, "whoever sees all sees what is left of a key's budget");
    server.stop().await;
}
