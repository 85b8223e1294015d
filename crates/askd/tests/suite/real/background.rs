//! Work beside the conversation: subagents, background commands, and commands that try to outlive the run.

use std::fs;

use scripted_model::prompt::{text, tool, turns};
use serde_json::{Value, json};
use uuid::Uuid;

use super::World;
use crate::harness::eventually;

/// The duration of a `sleep` that no other test uses, so that its process can be recognised.
pub(super) fn unique_sleep() -> String {
    format!("300.{}", Uuid::new_v4().as_u128())
}

/// Processes with this text in their command line, apart from those whose shell only mentions it.
pub(super) fn sleeping(seconds: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(seconds)).collect()
}

fn bash(input: &Value) -> String {
    turns([tool("Bash", input), text("end")])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_is_the_one_that_knows_the_subagents_result() {
    let world = World::new().await;
    let input =
        json!({"description": "d", "prompt": text("found by the subagent"), "subagent_type": "general-purpose"});
    let script = turns([tool("Agent", &input), text("I have started it."), text("It has ended.")]);
    let (answer, told) = world.ask_both_ways(json!({"prompt": script})).await;
    assert_eq!((answer.result(), told.text().as_str()), ("It has ended.", "It has ended."));
    let results: Vec<Value> = told.messages().filter(|message| message["type"] == "result").collect();
    assert_eq!(results[0]["result"], "I have started it.");
    assert!(world.last_message().body().to_string().contains("found by the subagent"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_background_command_does_not_hold_up_the_answer_and_is_ended_with_a_warning() {
    let world = World::new().await;
    let seconds = unique_sleep();
    let command = json!({"command": format!("sleep {seconds}"), "description": "d", "run_in_background": true});
    let (answer, told) = world.ask_both_ways(json!({"prompt": bash(&command), "allowedTools": ["Bash"]})).await;
    assert_eq!((answer.result(), told.text().as_str()), ("end", "end"));
    assert!(answer.header("x-askd-warning").unwrap().contains("was ended"), "{answer:?}");
    assert!(told.warnings().iter().any(|warning| warning.contains("was ended")), "{told:?}");
    eventually("no process of the command", || sleeping(&seconds).is_empty().then_some(())).await;
    world.stop().await;
}

/// Starts `daemon` (with `SLEEP` in it) and waits until it runs; it must be gone when the run has ended.
async fn does_not_outlive_its_run(daemon: &str) {
    let world = World::new().await;
    let seconds = unique_sleep();
    let daemon = daemon.replace("SLEEP", &format!("sh -c 'echo $$ > pid; exec sleep {seconds}'"));
    let command = format!("{daemon}\nuntil test -s pid; do sleep 0.05; done");
    let input = json!({"command": command, "description": "d"});
    let script = turns([tool("Bash", &input), "[[hang]]".to_owned()]);
    let stream = world.server.stream(json!({"prompt": script, "allowedTools": ["Bash"]})).await;
    let hangs = |request: &scripted_model::RecordedRequest| request.is_message() && !request.tool_results().is_empty();
    world.model.wait_for(hangs, super::PATIENCE).await.expect("the tool's result");
    assert!(!sleeping(&seconds).is_empty(), "it runs: {:?}", world.last_message().tool_results());
    drop(stream);
    eventually("no process of the daemon", || sleeping(&seconds).is_empty().then_some(())).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_in_a_session_of_its_own_does_not_outlive_its_run() {
    does_not_outlive_its_run("setsid SLEEP >/dev/null 2>&1 &").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_ignores_hangups_does_not_outlive_its_run() {
    does_not_outlive_its_run("nohup SLEEP >/dev/null 2>&1 &").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_without_parent_and_environment_does_not_outlive_its_run() {
    does_not_outlive_its_run("(env -i setsid nohup SLEEP </dev/null >/dev/null 2>&1 &)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_does_not_outlive_a_run_that_ends_by_itself() {
    let world = World::new().await;
    let seconds = unique_sleep();
    let command = format!(
        "(setsid nohup sh -c 'echo $$ > pid; exec sleep {seconds}' </dev/null >/dev/null 2>&1 &)\n\
         until test -s pid; do sleep 0.05; done"
    );
    let input = json!({"command": command, "description": "d"});
    let answer = world.ask(json!({"prompt": bash(&input), "allowedTools": ["Bash"]})).await;
    assert_eq!(answer.result(), "end");
    assert_eq!(world.server.folders.list("workspace"), ["pid"], "it ran");
    eventually("no process of the daemon", || sleeping(&seconds).is_empty().then_some(())).await;
    world.stop().await;
}
