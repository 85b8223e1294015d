//! A server that is killed in the middle of its work: what was set aside is settled all the same, once.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{
    Answer, Engine, Folders, Program, V1, beside, eventually, eventually_async, marked_processes, not_over_midnight,
};

/// What is set aside for each run: its budget of 0.20 and the margin of 0.10.
const SET_ASIDE: f64 = 0.3;

struct User {
    id: String,
    token: String,
}

async fn user(client: &V1) -> User {
    not_over_midnight(Duration::from_mins(2)).await;
    let policy = json!({"max_usd_per_day": 1000, "max_usd_per_run": 0.2});
    let body = json!({"name": "user", "scopes": ["runs:write", "runs:read", "usage:read"], "policy": policy});
    let made = Answer::by(client.post("/keys", &body)).await;
    assert_eq!(made.status, 201, "{made:?}");
    let text = |field: &str| made.body[field].as_str().unwrap().to_owned();
    User { id: text("id"), token: text("key") }
}

fn costs(dollars: f64) -> Value {
    let result = json!({"result": "ok", "model_usage_since_last_result": {"opus": {"costUSD": dollars}}});
    json!({"prompt": format!("!mark marks x\n!sleep 20\n!result {result}")})
}

fn marks(folders: &Folders) -> usize {
    std::fs::read_to_string(folders.workspace().join("marks")).unwrap_or_default().lines().count()
}

/// Every run of the key, with its state and its cost.
async fn runs(client: &V1, user: &User) -> Vec<(String, Option<f64>)> {
    let run = |run: &Value| (run["state"].as_str().unwrap().to_owned(), run["cost_usd"].as_f64());
    let (mut runs, mut page) = (Vec::new(), String::new());
    loop {
        let list = client.get(&format!("/v1/runs?key={}&limit=200{page}", user.id)).await.body;
        runs.extend(list["data"].as_array().unwrap().iter().map(run));
        let Some(next) = list["next_page"].as_str() else { return runs };
        page = format!("&page={next}");
    }
}

/// How often the server is killed: what `scripts/soak budgets` says, or a few times.
fn rounds() -> usize {
    let asked = std::env::vars().find(|(name, _)| name == "ASKD_SOAK_BUDGETS").map(|(_, value)| value);
    asked.map_or(4, |text| text.parse().expect("a number of rounds"))
}

#[expect(clippy::print_stdout, reason = "figures for the campaign")]
async fn a_killed_server_settles_everything(engine: Engine) {
    let folders = Folders::new();
    let mut known: Option<User> = None;
    for round in 1..=rounds() {
        let mut program = Program::start(&folders, &[("MAX_CONCURRENT", "2"), ("ASKD_DATABASE_URL", &engine.url())]);
        let address = program.address().await;
        let client = V1::at(address);
        if known.is_none() {
            known = Some(user(&client).await);
        }
        let user = known.as_ref().unwrap();
        let before = marks(&folders);
        let submissions: Vec<_> = (0..12)
            .map(|_| {
                let request = reqwest::Client::new().post(format!("http://{address}/v1/runs"));
                let request = request.header("x-api-key", &user.token).json(&costs(0.05));
                // The server may die before it answers.
                beside(async move { drop(request.send().await) })
            })
            .collect();
        // Somewhere in the middle, each time elsewhere.
        eventually("some runs have begun", || (marks(&folders) > before + 2 * round % 9).then_some(())).await;
        program.signal(Signal::KILL);
        program.ended().await;
        for submission in submissions {
            submission.await.unwrap();
        }
        eventually("the end of every process", || marked_processes(&folders.data()).is_empty().then_some(())).await;
    }
    let program = Program::start(&folders, &[("MAX_CONCURRENT", "4"), ("ASKD_DATABASE_URL", &engine.url())]);
    let (client, user) = (V1::at(program.address().await), known.unwrap());
    let runs = eventually_async("the end of all runs", async || {
        let runs = runs(&client, &user).await;
        runs.iter().all(|(state, _)| state == "completed" || state == "lost").then_some(runs)
    })
    .await;
    let of = |wanted: &str| runs.iter().filter(|(state, _)| state == wanted).collect::<Vec<_>>();
    assert!(!of("lost").is_empty() && of("completed").len() >= 4, "{runs:?}");
    assert!(of("lost").iter().all(|(_, cost)| cost.is_some_and(|cost| close(cost, SET_ASIDE))), "{runs:?}");
    assert!(of("completed").iter().all(|(_, cost)| cost.is_some_and(|cost| close(cost, 0.05))), "{runs:?}");
    let usage = client.get(&format!("/v1/usage?key={}", user.id)).await.body;
    let sum: f64 = runs.iter().filter_map(|(_, cost)| *cost).sum();
    let told = |name: &str| usage["budget"][name].as_f64().unwrap();
    assert!(close(told("spent_usd"), sum) && close(told("reserved_usd"), 0.0), "{usage} of {runs:?}");
    let of_days =
        |name: &str| usage["data"].as_array().unwrap().iter().filter_map(|day| day[name].as_f64()).sum::<f64>();
    assert!(close(of_days("cost_usd"), sum) && close(of_days("runs"), f64::from(u32::try_from(runs.len()).unwrap())));
    println!(
        "{} runs: {} completed, {} lost, {sum:.2} US dollars charged",
        runs.len(),
        of("completed").len(),
        of("lost").len()
    );
}

fn close(one: f64, other: f64) -> bool {
    (one - other).abs() < 1e-6
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_set_aside_is_settled_once_although_the_server_is_killed() {
    a_killed_server_settles_everything(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_set_aside_is_settled_once_on_postgres_too() {
    a_killed_server_settles_everything(Engine::postgres().await).await;
}
