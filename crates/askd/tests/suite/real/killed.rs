//! The server dies in the middle of a run: nothing of the run lives on, and the conversation is not lost.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use scripted_model::prompt::{tool, turns};
use scripted_model::{RecordedRequest, ScriptedModel};
use serde_json::json;

use super::background::{sleeping, unique_sleep};
use super::outside::Outside;
use crate::harness::{Folders, eventually, marked_processes};

/// How soon after the restart everything must be gone, also on a busy machine. `scripts/soak` measures how soon it is.
const SOON: Duration = Duration::from_secs(30);

/// Kills the server while a run has a daemon, a background command and an answer under way; then starts it again.
async fn nothing_outlives(daemon: &str, kill_guardians: bool) {
    let model = ScriptedModel::start().await.unwrap();
    let folders = Folders::new();
    let mut server = Outside::start(&folders, &model, None, &[]).await;
    let seconds = unique_sleep();
    let daemon = daemon.replace("SLEEP", &format!("sh -c 'echo $$ > pid; exec sleep {seconds}'"));
    let command = format!("{daemon}\nuntil test -s pid; do sleep 0.05; done");
    let script = turns([
        tool("Bash", &json!({"command": command, "description": "d"})),
        tool("Bash", &json!({"command": format!("sleep {seconds}"), "description": "d", "run_in_background": true})),
        "[[hang]]".to_owned(),
    ]);
    let mut stream = server.stream(json!({"prompt": script, "allowedTools": ["Bash"]})).await;
    let session = stream.until("system").await["session_id"].clone();
    let hangs = |request: &RecordedRequest| request.tool_results().len() == 2;
    model.wait_for(hangs, super::PATIENCE).await.expect("both commands' results");
    eventually("both commands", || (sleeping(&seconds).len() >= 2).then_some(())).await;

    if kill_guardians {
        for pid in guardians_of(&folders) {
            kill_process(pid, Signal::KILL).unwrap();
        }
    }
    server.program.signal(Signal::KILL);
    server.program.ended().await;
    drop(stream);

    let server = Outside::start(&folders, &model, None, &[]).await;
    let restarted = Instant::now();
    while !sleeping(&seconds).is_empty() || !marked_processes(&folders.data()).is_empty() {
        let left = || sleeping(&seconds);
        assert!(restarted.elapsed() < SOON, "still there: {:?} {:?}", left(), marked_processes(&folders.data()));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(folders.list("data/homes"), [""; 0], "homes are left");
    assert_eq!(folders.list("data/records"), [""; 0], "records are left");

    let answer = server.ask(json!({"prompt": "[[text:still here]]", "resume": session})).await;
    assert_eq!(answer.result(), "still here");
    let texts = model.messages().pop().unwrap().user_texts();
    assert!(texts.iter().any(|text| text.contains(&seconds)), "{texts:?}");
    server.stop(&folders).await;
    model.shutdown().await;
}

/// The processes that watch over this server's runs.
fn guardians_of(folders: &Folders) -> Vec<Pid> {
    let is_guardian =
        |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("__launch"));
    let found: Vec<u32> = marked_processes(&folders.data()).into_iter().filter(is_guardian).collect();
    assert!(!found.is_empty(), "no guardian is found");
    found.into_iter().filter_map(|pid| Pid::from_raw(pid.try_into().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_in_a_session_of_its_own() {
    nothing_outlives("setsid SLEEP >/dev/null 2>&1 &", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_without_parent_and_environment() {
    nothing_outlives("(env -i setsid nohup SLEEP </dev/null >/dev/null 2>&1 &)", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_whose_guardian_is_killed_with_the_server() {
    nothing_outlives("(setsid nohup SLEEP </dev/null >/dev/null 2>&1 &)", true).await;
}
