//! What runs have used, by the CLI's own figures, is what the model has billed: through resumes, forks and crashes, with
//! subagents and two models, by CLIs whose totals go on from those of the session and by those whose totals begin at nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use askd::usd::Usd;
use claude::version::capabilities::CHECKED;
use rustix::process::Signal;
use scripted_model::prompt::{text, tool, turns};
use scripted_model::{Bill, ScriptedModel};
use serde_json::{Value, json};

use super::World;
use super::outside::Outside;
use crate::harness::{Folders, Stream, V1, eventually, eventually_async, marked_processes, older_cli, real_cli};

/// What a thousand tokens cost by the CLI's price list, in millionths of a dollar: of input, of output, read from a cache,
/// written to one for five minutes. A search of the web costs 10,000.
const PRICES: [(&str, [u64; 4]); 6] = [
    ("claude-haiku-4-5-20251001", [1_000, 5_000, 100, 1_250]),
    ("claude-haiku-5-5", [100, 500, 10, 125]),
    ("claude-opus-5", [5_000, 25_000, 500, 6_250]),
    ("claude-opus-5-5", [4_000, 20_000, 200, 5_000]),
    ("claude-sonnet-5", [2_000, 10_000, 200, 2_500]),
    ("claude-sonnet-5-5", [2_000, 10_000, 100, 2_500]),
];

/// Tokens of a model as both sides tell them: of input, of output, read from a cache and written to it; searches; millionths
/// of a dollar.
type Figures = [u64; 6];

/// By the name of the model.
type Sums = BTreeMap<String, Figures>;

fn billed(model: &ScriptedModel) -> Sums {
    let of = |name: &str, bill: &Bill| {
        let (_, prices) =
            PRICES.iter().find(|(model, _)| *model == name).unwrap_or_else(|| panic!("what costs {name}?"));
        let tokens =
            [bill.input_tokens, bill.output_tokens, bill.cache_read_input_tokens, bill.cache_creation_input_tokens];
        let cost: u64 = tokens.iter().zip(prices).map(|(tokens, price)| tokens * price).sum();
        let [input, output, read, written] = tokens;
        let searches = bill.web_search_requests;
        [input, output, read, written, searches, cost / 1_000 + 10_000 * searches]
    };
    model.bill().iter().map(|(name, bill)| (name.clone(), of(name, bill))).collect()
}

fn figures(told: &Value) -> Figures {
    let count = |name: &str| told[name].as_u64().unwrap_or_else(|| panic!("{name} in {told}"));
    let cost = Usd::from_dollars(told["cost_usd"].as_f64().unwrap()).unwrap().micros();
    [
        count("input_tokens"),
        count("output_tokens"),
        count("cache_read_input_tokens"),
        count("cache_creation_input_tokens"),
        count("web_search_requests"),
        cost,
    ]
}

fn add(sums: &mut Sums, more: &Sums) {
    for (name, figures) in more {
        let sum = sums.entry(name.clone()).or_default();
        *sum = std::array::from_fn(|at| sum[at] + figures[at]);
    }
}

fn total(sums: &Sums) -> Figures {
    sums.values().fold(Figures::default(), |sum, figures| std::array::from_fn(|at| sum[at] + figures[at]))
}

/// What a run says that it has used, by model; its own sum must agree.
fn told(run: &Value) -> Sums {
    let usage = &run["usage"];
    assert_eq!(usage["estimate"], true, "{run}");
    let models: Sums =
        usage["models"].as_object().unwrap().iter().map(|(name, it)| (name.clone(), figures(it))).collect();
    assert_eq!((figures(usage), &usage["cost_usd"]), (total(&models), &run["cost_usd"]), "{run}");
    models
}

/// A call of the model, of so many thousand tokens of input and hundreds of output.
fn call(input: u32, output: u32, what: &str) -> String {
    format!("[[usage:input={input}000,output={output}00,cache_read=2000,cache_write=1000]]{what}")
}

fn bash(command: &str) -> String {
    tool("Bash", &json!({"command": command}))
}

/// Waits for a file in the working folder.
fn until(file: &str) -> String {
    format!("until test -e {file}; do sleep 0.05; done")
}

fn body(model: &str, script: &str) -> Value {
    json!({"prompt": script, "model": model, "allowed_tools": ["Bash"]})
}

/// Runs one after the other, and what was billed for each.
struct Chain<'a> {
    world: &'a World,
    before: Sums,
    runs: Vec<Value>,
}

impl Chain<'_> {
    async fn run(&mut self, session: Option<&Value>, mut body: Value) -> Value {
        if let Some(session) = session {
            body["session_id"] = session.clone();
        }
        let id = self.world.server.submit(body).await;
        self.ended(&id).await
    }

    /// Waits until the row of a run at work says that its first call has ended.
    async fn has_used(&self, id: &str, input_tokens: u64) {
        eventually_async("the row says what the call has used", async || {
            let run = self.world.server.get(&format!("/v1/runs/{id}")).await.body;
            (run["usage"]["input_tokens"] == input_tokens).then_some(())
        })
        .await;
    }

    /// Waits for the end of a run, and holds against it what was billed since the one before.
    async fn ended(&mut self, id: &str) -> Value {
        let run = self.world.server.ended(id).await;
        let now = billed(&self.world.model);
        let mut sum = self.before.clone();
        add(&mut sum, &told(&run));
        assert_eq!(sum, now, "after the run number {}: {run}", self.runs.len() + 1);
        self.before = now;
        self.runs.push(run.clone());
        self.world.server.at_rest().await;
        run
    }
}

async fn a_chain_sums_up_to_the_bill(cli: PathBuf) {
    // Time to tell what an interrupted call has used, also on a busy machine.
    let world = World::of(cli, |server| server.set(|settings| settings.stopping.soft = Duration::from_secs(30))).await;
    let mut chain = Chain { world: &world, before: Sums::new(), runs: Vec::new() };
    let complete = |run: &Value, state: &str| {
        assert_eq!((&run["state"], &run["usage"]["complete"]), (&json!(state), &json!(true)), "{run}");
    };

    let one = chain.run(None, body("sonnet", &call(3, 1, &text("one")))).await;
    complete(&one, "completed");
    let session = Some(&one["session_id"]);
    let searched = format!("[[usage:input=4000,output=100,web_searches=2]]{}", text("two"));
    let two = turns([call(1, 2, &bash("echo two")), searched]);
    complete(&chain.run(session, body("sonnet", &two)).await, "completed");

    let script = turns([call(2, 3, &bash("echo sub")), call(1, 1, &text("found"))]);
    let agent = json!({"description": "d", "prompt": script, "subagent_type": "general-purpose", "model": "haiku"});
    let three = turns([call(5, 1, &tool("Agent", &agent)), call(1, 1, &text("three"))]);
    let three = chain.run(session, body("sonnet", &three)).await;
    complete(&three, "completed");
    assert_eq!(told(&three).len(), 2, "two models: {three}");
    complete(&chain.run(session, body("opus", &call(2, 2, &text("four")))).await, "completed");

    // The CLI is killed after a call has ended: what it was asked meanwhile is known.
    let five = turns([call(7, 1, &bash(&format!("{}; kill -9 $PPID", until("go")))), call(1, 1, &text("never"))]);
    let mut five = body("sonnet", &five);
    five["session_id"] = one["session_id"].clone();
    let five = world.server.submit(five).await;
    chain.has_used(&five, 7_000).await;
    world.server.release("go");
    let five = chain.ended(&five).await;
    assert_eq!((&five["state"], &five["usage"]["complete"]), (&json!("failed"), &json!(false)), "{five}");

    complete(&chain.run(session, body("sonnet", &call(2, 1, &text("six")))).await, "completed");
    let mut seven = body("sonnet", &call(3, 3, &text("seven")));
    seven["fork_session"] = true.into();
    let seven = chain.run(session, seven).await;
    complete(&seven, "completed");
    assert_ne!(seven["session_id"], one["session_id"]);

    // Two messages in one process, each with a result.
    let mut eight = body("sonnet", &turns([call(1, 1, &bash(&until("more"))), call(2, 1, &text("eight"))]));
    eight["session_id"] = seven["session_id"].clone();
    let eight = world.server.submit(eight).await;
    chain.has_used(&eight, 1_000).await;
    let further = json!({"message": call(6, 1, &text("and more")), "priority": "later"});
    assert_eq!(world.server.post(&format!("/v1/runs/{eight}/input"), &further).await.status, 202);
    world.server.release("more");
    complete(&chain.ended(&eight).await, "completed");

    // Interrupted between two calls.
    let mut nine = body("opus", &turns([call(4, 2, &bash(&until("never"))), call(1, 1, &text("never"))]));
    nine["session_id"] = one["session_id"].clone();
    let nine = world.server.submit(nine).await;
    chain.has_used(&nine, 4_000).await;
    world.server.post(&format!("/v1/runs/{nine}/cancel"), &json!({})).await;
    complete(&chain.ended(&nine).await, "cancelled");
    complete(&chain.run(session, body("sonnet", &call(9, 9, &text("ten")))).await, "completed");

    assert_eq!(chain.runs.len(), 10);
    assert_sums(&world, &chain.runs).await;
    world.stop().await;
}

/// Runs, usage by every group, and the totals of sessions say the same as the bill.
async fn assert_sums(world: &World, runs: &[Value]) {
    let bill = billed(&world.model);
    let (mut by_model, mut by_session) = (Sums::new(), Sums::new());
    for run in runs {
        let told = told(run);
        add(&mut by_model, &told);
        add(&mut by_session, &Sums::from([(run["session_id"].as_str().unwrap().to_owned(), total(&told))]));
    }
    assert_eq!(by_model, bill, "the sum of the runs");
    let usage = async |query: &str| -> Sums {
        let answer = world.server.get(&format!("/v1/usage?{query}")).await;
        let field = query.split(['=', '&']).nth(1).unwrap().replace("session", "session_id");
        let rows = answer.body["data"].as_array().unwrap_or_else(|| panic!("{answer:?}")).iter();
        rows.map(|row| (row[field.as_str()].as_str().unwrap_or_default().to_owned(), figures(row))).collect()
    };
    for group in ["day", "key", "workspace", "model", "session"] {
        assert_eq!(total(&usage(&format!("group_by={group}")).await), total(&bill), "by {group}");
    }
    assert_eq!(usage("group_by=model").await, bill);
    assert_eq!(usage("group_by=session").await, by_session);
    for (session, figures) in &by_session {
        assert_eq!(total(&usage(&format!("group_by=model&session_id={session}")).await), *figures, "{session}");
        let row = world.server.app.runs().shared().store.session(session).await.unwrap().unwrap();
        let of_it = runs.iter().filter(|run| run["session_id"] == session.as_str()).count() as u64;
        assert_eq!((row.cost_micros, row.runs), (figures[5], of_it), "the totals of the session");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_runs_with_resumes_a_fork_and_a_crash_have_used_what_was_billed() {
    a_chain_sums_up_to_the_bill(real_cli()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_holds_with_the_oldest_cli_whose_totals_begin_at_nothing() {
    let Some(cli) = older_cli(&CHECKED[0].to_string()) else { return };
    a_chain_sums_up_to_the_bill(cli).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_holds_with_the_cli_in_between() {
    let Some(cli) = older_cli(&CHECKED[1].to_string()) else { return };
    a_chain_sums_up_to_the_bill(cli).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_server_is_killed_is_charged_what_its_cli_had_said() {
    let (model, folders) = (ScriptedModel::start().await.unwrap(), Folders::new());
    let mut server = Outside::start(&folders, &model, None, &[]).await;
    let client = V1::at(server.program.address().await);
    let first = client.submit(&body("sonnet", &call(3, 1, &text("one")))).await;
    let first = client.ended(&first).await;
    let mut cut = body("sonnet", &turns([call(7, 1, &bash(&until("never"))), call(1, 1, &text("never"))]));
    cut["session_id"] = first["session_id"].clone();
    let cut = client.submit(&cut).await;
    eventually_async("the row says what the call has cost", async || {
        (client.run(&cut).await["usage"]["input_tokens"] == 7_000).then_some(())
    })
    .await;
    server.program.signal(Signal::KILL);
    server.program.ended().await;
    eventually("the end of every process", || marked_processes(&folders.data()).is_empty().then_some(())).await;

    let server = Outside::start(&folders, &model, None, &[]).await;
    let client = V1::at(server.program.address().await);
    let lost = client.run(&cut).await;
    assert_eq!((&lost["state"], &lost["usage"]["complete"]), (&json!("lost"), &json!(false)), "{lost}");
    let mut third = body("sonnet", &call(2, 2, &text("three")));
    third["session_id"] = first["session_id"].clone();
    let third = client.submit(&third).await;
    let third = client.ended(&third).await;
    let mut sum = Sums::new();
    for run in [&first, &lost, &third] {
        add(&mut sum, &told(run));
    }
    assert_eq!(sum, billed(&model));
    let usage = client.get("/v1/usage?group_by=model").await.body;
    assert_eq!(figures(&usage["data"][0]), total(&sum), "{usage}");
    server.stop(&folders).await;
    model.shutdown().await;
}

/// What cannot be exact: a call that is cut off. New CLIs count what its beginning told, old ones nothing, and say so.
async fn a_call_that_is_cut_off(cli: PathBuf, counts: bool) {
    // Time to tell what an interrupted call has used, also on a busy machine.
    let world = World::of(cli, |server| server.set(|settings| settings.stopping.soft = Duration::from_secs(30))).await;
    let slow = call(5, 1, &format!("{}[[hang]]", text("begun")));
    let script = turns([call(1, 1, &bash("echo on")), slow]);
    let mut asked = body("sonnet", &script);
    asked["deltas"] = true.into();
    let request = world.server.posting("/v1/runs?deltas=true").header("accept", "text/event-stream").json(&asked);
    let response = request.send().await.unwrap();
    let id = response.headers()["x-askd-run-id"].to_str().unwrap().to_owned();
    let mut stream = Stream::of(response);
    // The CLI has heard the beginning of the second call, with what its input costs.
    while stream.until_event("agent.stream_event").await["data"]["event"]["delta"]["text"] != "begun" {}
    drop(stream);
    world.server.post(&format!("/v1/runs/{id}/cancel"), &json!({})).await;
    let run = world.server.ended(&id).await;
    assert_eq!((&run["state"], &run["usage"]["complete"]), (&json!("cancelled"), &json!(counts)), "{run}");
    assert_eq!(run["usage"]["input_tokens"], if counts { 6_000 } else { 1_000 }, "{run}");
    world.server.at_rest().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_cut_off_counts_with_what_it_has_told() {
    a_call_that_is_cut_off(real_cli(), true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_cut_off_is_missing_with_old_clis_and_the_run_says_that_something_is() {
    for version in &CHECKED[..2] {
        let Some(cli) = older_cli(&version.to_string()) else { return };
        a_call_that_is_cut_off(cli, false).await;
    }
}
