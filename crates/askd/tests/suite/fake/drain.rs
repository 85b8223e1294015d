//! The log of a server that goes down says how far it is, and load balancers have the time to hear of it.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Folders, Program, RawClient, V1, eventually, eventually_async};

/// The last such line.
fn entry(program: &Program, what: &str) -> Option<Value> {
    let log = program.log();
    log.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .rfind(|entry| entry["message"].as_str().is_some_and(|message| message.contains(what)))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_says_what_runs_what_ends_and_what_is_left() {
    let folders = Folders::new();
    let variables = [("MAX_CONCURRENT", "2"), ("ASKD_SHUTDOWN_GRACE", "6s"), ("ASKD_STOP_SOFT", "200ms")];
    let mut program = Program::start(&folders, &variables);
    let client = V1::at(program.address().await);
    let ends = client.submit(&json!({"prompt": "!touch a\n!await go"})).await;
    let stays = client.submit(&json!({"prompt": "!touch b\n!hang"})).await;
    // More than a turn: what ends is to end well within the grace.
    for file in ["a", "b"] {
        let file = folders.workspace().join(file);
        eventually("both runs at work", || file.exists().then_some(())).await;
    }
    client.submit(&json!({"prompt": "later"})).await;
    client.submit(&json!({"prompt": "later"})).await;
    program.signal(Signal::TERM);
    let begun = eventually("the first word", || entry(&program, "no new work is taken")).await;
    assert_eq!((&begun["active"], &begun["queued"], &begun["grace_ms"]), (&json!(2), &json!(2), &json!(6000)));
    folders.write("workspace/go", "");
    eventually("the end of the one", || entry(&program, "run ended").filter(|entry| entry["run"] == ends)).await;
    assert!(program.ended().await.success());
    // The last one: on a slow machine both are still there at the first.
    let progress = entry(&program, "waiting for runs to end").unwrap();
    assert_eq!((&progress["active"], &progress["runs"]), (&json!(1), &json!(stays)));
    assert!(progress["oldest_s"].as_u64().unwrap() >= 4, "{progress}");
    let over = entry(&program, "the grace is over").unwrap();
    assert_eq!((&over["active"], &over["runs"]), (&json!(1), &json!(stays)));
    let last = entry(&program, "drained").unwrap();
    assert_eq!((&last["ended"], &last["cancelled"], &last["queued"]), (&json!(1), &json!(1), &json!(2)), "{last}");
    assert!(last["elapsed_ms"].as_u64().unwrap() >= 6000, "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_delay_a_server_is_not_ready_first_and_works_on() {
    let folders = Folders::new();
    let mut program = Program::start(&folders, &[("ASKD_DRAIN_DELAY", "1h")]);
    let client = V1::at(program.address().await);
    assert_eq!(client.get("/readyz").await.status, 200);
    let mut kept = RawClient::connect(program.address().await).await;
    kept.send("GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(!kept.until("}").await.to_lowercase().contains("connection: close"));
    program.signal(Signal::TERM);
    eventually_async("readiness to drop", async || (client.get("/readyz").await.status == 503).then_some(())).await;
    let taken = program.ask(&json!({"prompt": "hello"})).await;
    assert_eq!(taken.status, 200, "{taken:?}");
    // A connection that was kept open is told to end with the next answer.
    kept.send("GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(kept.rest().await.to_lowercase().contains("connection: close"));
    program.signal(Signal::TERM);
    assert!(program.ended().await.success());
    assert!(entry(&program, "drained").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delay_that_is_over_is_followed_by_the_drain() {
    let folders = Folders::new();
    let mut program = Program::start(&folders, &[("ASKD_DRAIN_DELAY", "1s")]);
    program.address().await;
    let begin = Instant::now();
    program.signal(Signal::TERM);
    assert!(program.ended().await.success());
    assert!(begin.elapsed() >= Duration::from_secs(1), "{:?}", begin.elapsed());
    assert!(entry(&program, "ASKD_DRAIN_DELAY").is_some() && entry(&program, "drained").is_some(), "{}", program.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_does_not_wait_for_the_delay() {
    let folders = Folders::new();
    let mut program = Program::start(&folders, &[("ASKD_DRAIN_DELAY", "1h")]);
    program.address().await;
    program.signal(Signal::TERM);
    eventually("the word about it", || entry(&program, "ASKD_DRAIN_DELAY")).await;
    program.signal(Signal::TERM);
    assert!(program.ended().await.success());
}
