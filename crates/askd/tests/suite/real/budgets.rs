//! Budgets, with the CLI's own estimates: what runs together cost of a key's day, and what a run costs that goes on beyond
//! its budget, is cut short, or continues a session.
//!
//! With `sonnet`, a call of the model that reports 10,000 tokens of output costs 0.10 US dollars by the CLI's price list.

use std::time::Duration;

use askd::usd::Usd;
use futures_util::future::join_all;
use reqwest::Method;
use scripted_model::Bill;
use scripted_model::prompt::{text, tool, turns};
use serde_json::{Value, json};

use super::World;
use crate::harness::{Answer, Holder, eventually_async};

/// What the model reports of each call.
const CALL: &str = "[[usage:input=0,output=10000,cache_read=0,cache_write=0]]";

/// What the CLI says that such a call costs, in US dollars.
const COST: f64 = 0.1;

/// So many calls one after the other, each but the last with a tool call of its own.
fn calls(number: usize) -> String {
    let part = |last: bool| {
        let end = if last { text("end") } else { tool("Bash", &json!({"command": "echo on"})) };
        format!("{CALL}{end}")
    };
    turns((1..=number).map(|at| part(at == number)))
}

fn run(script: &str) -> Value {
    json!({"prompt": script, "model": "sonnet", "allowed_tools": ["Bash"]})
}

impl World {
    /// What the model has billed: the calls that it has answered.
    fn billed(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a few dozen")]
        let calls = self.model.messages().len() as f64;
        calls * COST
    }

    /// What the answers have cost that were given in full, those of other sizes included: 2 dollars a million tokens of input,
    /// and 10 of output.
    fn answered(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a few hundred thousand")]
        let cost = |bill: &Bill| (2 * bill.input_tokens + 10 * bill.output_tokens) as f64 / 1e6;
        self.model.bill().values().map(cost).sum()
    }
}

async fn today(holder: &Holder) -> Value {
    holder.get("/v1/usage").await.body["budget"].clone()
}

fn close(one: f64, other: f64) -> bool {
    (one - other).abs() < 0.001
}

/// Lets twenty clients run as often as they are let, until none is; how many runs were taken in.
async fn use_up(world: &World, holder: &Holder, script: &str) -> usize {
    let mut taken = 0;
    loop {
        let requests = (0..20).map(|_| holder.sending(Method::POST, "/v1/runs?wait=60").json(&run(script)).send());
        let mut ended = 0;
        for answer in join_all(requests).await {
            let answer = Answer::to("POST", answer.unwrap()).await;
            match answer.status {
                200 => ended += 1,
                402 => assert_eq!(answer.kind(), "billing_error", "{answer:?}"),
                _ => panic!("{answer:?}"),
            }
        }
        taken += ended;
        if ended == 0 {
            world.server.at_rest().await;
            return taken;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_at_a_time_do_not_spend_more_together_than_their_key_may() {
    let world = World::with(|server| {
        server.set(|settings| {
            settings.limits.max_concurrent = 4;
            settings.limits.budget_margin = Usd::from_dollars(COST).unwrap();
            settings.network.rates.runs = None;
        })
    })
    .await;
    // Without a budget each makes its four calls.
    let free = world.server.user(json!({})).await;
    let runs = join_all((0..3).map(|_| free.run(run(&calls(4))))).await;
    assert!(runs.iter().all(|run| run["state"] == "completed" && close(run["cost_usd"].as_f64().unwrap(), 4.0 * COST)));
    assert!(close(world.billed(), 12.0 * COST), "{}", world.billed());
    world.model.clear();
    // With one of 0.15 a run is ended after two, and all together after ten at the latest.
    let held = world.server.user(json!({"max_usd_per_run": 0.15, "max_usd_per_day": 1.0})).await;
    let taken = use_up(&world, &held, &calls(4)).await;
    let budget = today(&held).await;
    assert!(world.billed() <= 1.0 + 0.001, "billed {} in {taken} runs", world.billed());
    assert!(close(budget["spent_usd"].as_f64().unwrap(), world.billed()), "{budget} billed {}", world.billed());
    assert_eq!(budget["reserved_usd"], 0.0);
    assert!(taken >= 4, "{taken} runs");
    let runs = held.get("/v1/runs").await.body;
    for run in runs["data"].as_array().unwrap() {
        assert_eq!((&run["state"], &run["error"]["type"]), (&json!("incomplete"), &json!("budget")), "{run}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subagents_in_the_background_that_go_on_beyond_the_budget_are_ended() {
    subagents_beyond_the_budget_are_ended(World::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subagents_that_the_conversation_waits_for_are_ended_at_the_budget_although_the_cli_does_not_look() {
    let world = World::with(|server| server.child_variable("CLAUDE_CODE_DISABLE_BACKGROUND_TASKS", "1")).await;
    subagents_beyond_the_budget_are_ended(world).await;
}

async fn subagents_beyond_the_budget_are_ended(world: World) {
    let busy = |name: &str| {
        let turn = || format!("{CALL}[[pause_ms:200]]{}", tool("Bash", &json!({"command": format!("echo {name}")})));
        let script = format!("{}[[then]]{}", turns((0..12).map(|_| turn())), text("done"));
        tool("Agent", &json!({"description": name, "prompt": script, "subagent_type": "general-purpose"}))
    };
    let script = turns([format!("{CALL}{}{}", busy("one"), busy("two")), text("end")]);
    let free = world.server.run(run(&script)).await;
    assert!(free["cost_usd"].as_f64().unwrap() > 2.4, "both work to their end: {free}");
    world.model.clear();
    let mut held = run(&script);
    held["max_budget_usd"] = json!(0.35);
    let held = world.server.run(held).await;
    assert_eq!((&held["state"], &held["error"]["type"]), (&json!("incomplete"), &json!("budget")), "{held}");
    let cost = held["cost_usd"].as_f64().unwrap();
    assert!((0.35..2.0).contains(&cost), "{held}");
    // Those that were answered and not told yet, at most one call of each.
    let billed = world.answered();
    assert!(billed - cost < 2.0 * COST + 0.001, "billed {billed}, charged {held}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_cancelled_in_the_middle_of_a_call_is_charged_what_it_has_cost() {
    let world = World::new().await;
    let held = world.server.user(json!({"max_usd_per_run": 0.5, "max_usd_per_day": 2.0})).await;
    let slow =
        format!("[[usage:input=100000,output=10000,cache_read=0,cache_write=0]]{}[[pause_ms:60000]]", text("begun"));
    let first = format!("{CALL}{}", tool("Bash", &json!({"command": "echo on"})));
    let id = held.submit(run(&turns([first, slow]))).await;
    eventually_async("the second call is under way", async || (world.model.messages().len() == 2).then_some(())).await;
    assert!(close(today(&held).await["reserved_usd"].as_f64().unwrap(), 0.6));
    held.post(&format!("/v1/runs/{id}/cancel"), &json!({})).await;
    let run = world.server.ended(&id).await;
    assert_eq!(run["state"], "cancelled", "{run}");
    let cost = run["cost_usd"].as_f64().unwrap();
    assert!((COST..=0.6).contains(&cost), "the first call at least: {run}");
    let budget = today(&held).await;
    assert!(close(budget["spent_usd"].as_f64().unwrap(), cost) && budget["reserved_usd"] == 0.0, "{budget}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_continued_is_charged_only_for_what_is_new() {
    let world = World::new().await;
    let held = world.server.user(json!({"max_usd_per_run": 0.5, "max_usd_per_day": 2.0})).await;
    let first = held.run(run(&calls(2))).await;
    assert!(close(first["cost_usd"].as_f64().unwrap(), 2.0 * COST), "{first}");
    let mut again = run(&calls(1));
    again["session_id"] = first["session_id"].clone();
    let second = held.run(again).await;
    assert_eq!(second["state"], "completed", "{second}");
    assert!(close(second["cost_usd"].as_f64().unwrap(), COST), "{second}");
    // Also if the CLI is killed and only its transcript tells.
    let mut cut =
        run(&turns([format!("{CALL}{}", tool("Bash", &json!({"command": "echo on"}))), "[[hang]]".to_owned()]));
    cut["session_id"] = first["session_id"].clone();
    // Time enough for the first call, also on a busy machine.
    cut["timeout_seconds"] = json!(20);
    let cut = held.run(cut).await;
    assert_eq!(cut["error"]["type"], "timeout", "{cut}");
    assert!((COST - 0.001..COST + 0.15).contains(&cut["cost_usd"].as_f64().unwrap()), "{cut}");
    let spent = today(&held).await["spent_usd"].as_f64().unwrap();
    assert!(close(spent, 3.0 * COST + cut["cost_usd"].as_f64().unwrap()), "{spent}");
    assert_eq!(held.get("/v1/usage").await.body["data"][0]["runs"], 3);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_that_is_cleared_does_not_make_its_run_cheaper() {
    let world = World::new().await;
    let held = world.server.user(json!({"max_usd_per_run": 0.35, "max_usd_per_day": 2.0})).await;
    // While a call is under way, the next two inputs come.
    let call = format!("{CALL}{}[[pause_ms:1000]]", text("on"));
    let mut body = run(&call);
    body["expand"] = true.into();
    let id = held.submit(body).await;
    for number in 1.. {
        assert!(number < 8, "the run goes on: billed {}", world.billed());
        let has_ended = eventually_async("a call is under way, or the run has ended", async || {
            let run = held.get(&format!("/v1/runs/{id}")).await.body;
            let has_ended = run["finished_at"] != Value::Null;
            (has_ended || world.model.messages().len() >= number).then_some(has_ended)
        });
        if has_ended.await {
            break;
        }
        for message in ["/clear", &call] {
            held.post(&format!("/v1/runs/{id}/input"), &json!({"message": message})).await;
        }
    }
    let run = world.server.ended(&id).await;
    assert_eq!((&run["state"], &run["error"]["type"]), (&json!("incomplete"), &json!("budget")), "{run}");
    // The call that passes the budget, and one that the CLI has begun when it is stopped.
    assert!(world.billed() <= 0.35 + 2.0 * COST, "billed {}", world.billed());
    let cost = run["cost_usd"].as_f64().unwrap();
    assert!(cost + 0.001 >= world.billed() - COST && cost >= 0.35, "billed {}, charged {run}", world.billed());
    let budget = today(&held).await;
    assert!(close(budget["spent_usd"].as_f64().unwrap(), cost) && budget["reserved_usd"] == 0.0, "{budget}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_writes_its_own_bill_and_kills_its_cli_is_charged_what_was_set_aside() {
    let world = World::new().await;
    let held = world.server.user(json!({"max_usd_per_run": 0.5, "max_usd_per_day": 2.0})).await;
    let line = json!({"type": "cost-state", "totalCostUSD": 0});
    let command =
        format!("for f in \"$CLAUDE_CONFIG_DIR\"/projects/*/*.jsonl; do echo '{line}' >> \"$f\"; done; kill -9 $PPID");
    let script = turns([format!("{CALL}{}", tool("Bash", &json!({"command": command}))), text("end")]);
    let run = held.run(run(&script)).await;
    assert_eq!((&run["state"], &run["error"]["type"]), (&json!("failed"), &json!("cli_died")), "{run}");
    assert!(close(run["cost_usd"].as_f64().unwrap(), 0.6), "budget and margin: {run}");
    assert!(close(today(&held).await["spent_usd"].as_f64().unwrap(), 0.6));
    world.stop().await;
}

/// How long a second is by the looks at spending; so that a test does not pass because nothing was looked at.
#[test]
fn spending_is_looked_at_every_second() {
    assert_eq!(askd::runs::spending::LOOK_EVERY, Duration::from_secs(1));
}
