//! The end of a server with runs at work, when its store works and when it does not.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::cluster::Cluster;
use crate::harness::{Answer, Engine, Folders, Frozen, Program, V1, eventually, marked_processes, types};

/// Short graces: what an end may take is their sum, the store's timeout, and what the machine needs.
const SHORT: [(&str, &str); 6] = [
    ("ASKD_SHUTDOWN_GRACE", "200ms"),
    ("ASKD_STOP_SOFT", "200ms"),
    ("ASKD_STOP_EOF", "200ms"),
    ("ASKD_STOP_TERM", "200ms"),
    ("ASKD_STOP_KILL", "500ms"),
    ("ASKD_STORE_TIMEOUT", "3s"),
];

/// Starts a run that ends by force only, and one that waits.
async fn one_at_work_and_one_waiting(client: &V1, folders: &Folders) -> [String; 2] {
    let at_work =
        client.submit(&json!({"prompt": "!stubborn\n!spawn setsid\n!touch there\n!drip 4000 5\n!hang"})).await;
    eventually("the run", || folders.workspace().join("there").exists().then_some(())).await;
    let waiting = client.submit(&json!({"prompt": "!result fine"})).await;
    [at_work, waiting]
}

async fn two_signals_cancel_what_runs_and_keep_what_waits(engine: Engine) {
    let folders = Folders::new();
    let url = engine.url();
    let variables = [("MAX_CONCURRENT", "1"), ("ASKD_DATABASE_URL", &*url)];
    let mut program = Program::start(&folders, &variables);
    let [at_work, waiting] = one_at_work_and_one_waiting(&V1::at(program.address().await), &folders).await;
    program.signal(Signal::TERM);
    eventually("the drain", || program.log().contains("draining").then_some(())).await;
    program.signal(Signal::TERM);
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.log());
    assert_eq!(marked_processes(&folders.data()), [0; 0]);

    let program = Program::start(&folders, &variables);
    let client = V1::at(program.address().await);
    let run = client.run(&at_work).await;
    assert_eq!((&run["state"], &run["error"]["type"]), (&json!("cancelled"), &json!("shutting_down")), "{run}");
    assert_eq!(types(&client.events(&at_work).await).last(), Some(&"run.cancelled"));
    assert_eq!(client.ended(&waiting).await["result"], "fine");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_signals_cancel_what_runs_and_keep_what_waits_on_sqlite() {
    two_signals_cancel_what_runs_and_keep_what_waits(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_signals_cancel_what_runs_and_keep_what_waits_on_postgresql() {
    two_signals_cancel_what_runs_and_keep_what_waits(Engine::postgres().await).await;
}

/// A run that the store does not take is refused.
async fn nothing_is_taken_in(client: &V1) {
    let refused = Answer::by(client.post("/runs", &json!({"prompt": "!touch never"}))).await;
    assert_eq!((refused.status, refused.kind()), (503, "overloaded_error"), "{refused:?}");
}

/// Ends the program by one signal while its store does not work.
async fn ends_in_bounded_time(program: &mut Program, folders: &Folders) {
    let begin = Instant::now();
    program.signal(Signal::TERM);
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.log());
    // 1.3 s of graces, the timeout, and an attempt of the writer that cannot be cut short.
    assert!(begin.elapsed() < Duration::from_secs(30), "{:?}: {}", begin.elapsed(), program.log());
    assert_eq!(marked_processes(&folders.data()), [0; 0]);
}

/// What the next server says of the two.
async fn both_are_settled(program: &Program, folders: &Folders, [at_work, waiting]: [String; 2]) {
    let client = V1::at(program.address().await);
    let run = client.run(&at_work).await;
    assert!(["lost", "cancelled"].contains(&run["state"].as_str().unwrap()), "{run}");
    assert!(run["finished_at"].is_string(), "{run}");
    assert_eq!(client.ended(&waiting).await["result"], "fine");
    let all = client.get("/v1/runs").await.body;
    assert_eq!(all["data"].as_array().unwrap().len(), 2, "what was refused is not there: {all}");
    assert!(!folders.workspace().join("never").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_sqlite_holds_up_no_end() {
    let folders = Folders::new();
    let variables = [&SHORT[..], &[("MAX_CONCURRENT", "1")]].concat();
    let mut program = Program::start(&folders, &variables);
    let client = V1::at(program.address().await);
    let runs = one_at_work_and_one_waiting(&client, &folders).await;
    let stall = Engine::Sqlite.stall(&folders.data()).await;
    nothing_is_taken_in(&client).await;
    ends_in_bounded_time(&mut program, &folders).await;
    stall.end().await;
    both_are_settled(&Program::start(&folders, &variables), &folders, runs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgresql_that_does_not_answer_holds_up_no_end() {
    let cluster = tokio::task::spawn_blocking(Cluster::start).await.unwrap();
    let url = cluster.url(&cluster.database().await);
    let folders = Folders::new();
    let variables = [&SHORT[..], &[("MAX_CONCURRENT", "1"), ("ASKD_DATABASE_URL", &url)]].concat();
    let mut program = Program::start(&folders, &variables);
    let client = V1::at(program.address().await);
    let runs = one_at_work_and_one_waiting(&client, &folders).await;
    let frozen = Frozen::at(&url).await;
    nothing_is_taken_in(&client).await;
    let read = client.get(&format!("/v1/runs/{}", runs[0])).await;
    assert_eq!((read.status, read.kind()), (503, "overloaded_error"), "{read:?}");
    ends_in_bounded_time(&mut program, &folders).await;
    drop(frozen);
    both_are_settled(&Program::start(&folders, &variables), &folders, runs).await;
}
