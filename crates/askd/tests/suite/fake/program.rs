//! The end of the `askd` program, by request and by violence.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::harness::{Folders, Program, beside, eventually, living_pids, marked_processes, script};

const TREE: &str = "!spawn plain\n!spawn setsid\n!spawn stripped\n!spawn stubborn\n";

/// Asks in the background, and waits until the script has come to its middle.
async fn begin(folders: &Folders, program: &Program, prompt: &str) -> JoinHandle<()> {
    let body = json!({"prompt": format!("{prompt}\n!touch there\n!await go\n!touch finished")});
    let request = program.request(&body).await;
    let client = beside(async move { drop(request.send().await) });
    eventually("the run", || folders.workspace().join("there").exists().then_some(())).await;
    client
}

fn nothing_is_left(folders: &Folders) {
    assert_eq!(marked_processes(&folders.data()), [0; 0]);
    assert_eq!(living_pids(&folders.workspace()), [0; 0]);
    assert_eq!(folders.list("data/homes"), [""; 0]);
    assert_eq!(folders.list("data/records"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_running_work_end_and_then_exits_with_0() {
    let folders = Folders::new();
    let mut program = Program::start(&folders, &[]);
    let run = begin(&folders, &program, "!spawn setsid").await;
    program.signal(Signal::TERM);
    eventually("the drain", || program.log().contains("draining").then_some(())).await;
    folders.write("workspace/go", "");
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.log());
    run.await.unwrap();
    assert!(folders.workspace().join("finished").exists());
    nothing_is_left(&folders);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_grace_is_the_longest_that_sigterm_takes() {
    let folders = Folders::new();
    let mut program = Program::start(&folders, &[("ASKD_SHUTDOWN_GRACE", "200ms")]);
    begin(&folders, &program, "!spawn setsid").await;
    program.signal(Signal::TERM);
    // The run would go on for ever.
    assert_eq!(program.ended().await.code(), Some(0));
    nothing_is_left(&folders);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let folders = Folders::new();
    let graces = ["ASKD_SHUTDOWN_GRACE", "ASKD_STOP_SOFT", "ASKD_STOP_EOF", "ASKD_STOP_TERM"].map(|name| (name, "1h"));
    let mut program = Program::start(&folders, &graces);
    begin(&folders, &program, "!stubborn\n!spawn stubborn").await;
    program.signal(Signal::TERM);
    eventually("the drain", || program.log().contains("draining").then_some(())).await;
    program.signal(Signal::INT);
    assert_eq!(program.ended().await.code(), Some(0));
    nothing_is_left(&folders);
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_a_guardian_ends_its_run_and_no_other() {
    let folders = Folders::new();
    folders.write("workspace/other/x", "");
    let program = Program::start(&folders, &[]);
    let other = json!({"prompt": "!touch there\n!await ../go\n!result fine", "cwd": "other"});
    let other = program.ask_beside(&other).await;
    eventually("the other run", || folders.workspace().join("other/there").exists().then_some(())).await;
    let guardians = || {
        let is_guardian = |pid: &u32| {
            std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("__launch"))
        };
        marked_processes(&folders.data()).into_iter().filter(is_guardian).collect::<Vec<_>>()
    };
    let before = guardians();
    let run = program.ask_beside(&json!({"prompt": format!("{TREE}!touch there\n!hang")})).await;
    eventually("the run", || folders.workspace().join("there").exists().then_some(())).await;
    let guardian = guardians().into_iter().find(|pid| !before.contains(pid)).unwrap();
    kill_process(Pid::from_raw(guardian.cast_signed()).unwrap(), Signal::KILL).unwrap();
    assert_eq!(run.await.unwrap().code(), "RUN_FAILED");
    eventually("the end of the tree", || living_pids(&folders.workspace()).is_empty().then_some(())).await;
    folders.write("workspace/go", "");
    assert_eq!(other.await.unwrap().result(), "fine");
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_leaves_no_process_and_the_next_start_brings_transcripts_back() {
    let folders = Folders::new();
    let mut program = Program::start(&folders, &[]);
    let first = program.ask(&json!({"prompt": "one"})).await.body;
    let session = first["session_id"].as_str().unwrap();
    eventually("the transcript", || (folders.list("data/sessions") == [session]).then_some(())).await;
    let request = program.request(&json!({"prompt": format!("{TREE}!touch there\n!hang"), "resume": session})).await;
    let run = beside(async move { drop(request.send().await) });
    eventually("the run", || folders.workspace().join("there").exists().then_some(())).await;
    assert_eq!(living_pids(&folders.workspace()).len(), 4, "the attack works");
    // What the run has written of its session so far, in its home.
    let homes = folders.list("data/homes");
    let entry = json!({"type": "user", "message": {"role": "user", "content": "unsaved"}});
    let transcript = format!("data/homes/{}/.claude/projects/run/{session}.jsonl", homes[0]);
    folders.write(&transcript, &format!("{entry}\n"));

    program.signal(Signal::KILL);
    assert_eq!(program.ended().await.signal(), Some(9));
    run.await.unwrap();
    eventually("the end of every process", || {
        (marked_processes(&folders.data()).is_empty() && living_pids(&folders.workspace()).is_empty()).then_some(())
    })
    .await;
    assert_eq!(folders.list("data/homes"), homes, "the home waits for the next server");

    let mut program = Program::start(&folders, &[]);
    program.address().await;
    nothing_is_left(&folders);
    assert_eq!(program.ask(&json!({"prompt": "!recall", "resume": session})).await.result(), "unsaved");
    program.signal(Signal::TERM);
    assert_eq!(program.ended().await.code(), Some(0));
}

/// How long the CLI may take to say its version.
const PROBE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_during_the_start_ends_the_program_and_what_it_has_started() {
    let folders = Folders::new();
    let (cli, probed) = (folders.root().join("slow-cli"), folders.root().join("probed"));
    script(&cli, &format!("#!/bin/sh\ntouch {}\nsleep 1000\n", probed.display()));
    for signal in [Signal::TERM, Signal::INT] {
        let mut program = Program::start(&folders, &[("ASKD_CLAUDE_BIN", cli.to_str().unwrap())]);
        eventually("the probe", || probed.exists().then_some(())).await;
        let begin = Instant::now();
        program.signal(signal);
        assert_eq!(program.ended().await.code(), Some(0), "{}", program.log());
        assert!(begin.elapsed() < PROBE, "{:?}", begin.elapsed());
        eventually("the end of the probe", || marked_processes(&folders.data()).is_empty().then_some(())).await;
        std::fs::remove_file(&probed).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_third_signal_waits_for_nothing() {
    let folders = Folders::new();
    let mut program = Program::start(&folders, &[("ASKD_STOP_KILL", "1h")]);
    begin(&folders, &program, "!spawn setsid").await;
    // A guardian that cannot do its work holds up even the second signal.
    let mut all = marked_processes(&folders.data()).into_iter();
    let is_guardian =
        |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("__launch"));
    let guardian = Pid::from_raw(all.find(is_guardian).unwrap().cast_signed()).unwrap();
    kill_process(guardian, Signal::STOP).unwrap();
    program.signal(Signal::TERM);
    eventually("the drain", || program.log().contains("draining").then_some(())).await;
    program.signal(Signal::TERM);
    eventually("the second signal", || program.log().contains("second signal").then_some(())).await;
    program.signal(Signal::TERM);
    assert_eq!(program.ended().await.code(), Some(1), "{}", program.log());
    assert!(program.log().contains("third signal"), "{}", program.log());
    kill_process(guardian, Signal::CONT).unwrap();
    eventually("the end of the tree", || {
        (marked_processes(&folders.data()).is_empty() && living_pids(&folders.workspace()).is_empty()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::await_holding_lock, reason = "nobody else waits for it but the reader that is to wait")]
async fn a_log_that_nobody_reads_stops_nothing() {
    let folders = Folders::new();
    let mut program = Program::start(&folders, &[]);
    let url = format!("http://{}/health", program.address().await);
    let unread = program.leave_log_unread();
    // More than a pipe and the lines that may wait hold.
    let client = reqwest::Client::new();
    for _ in 0..6_000 {
        let answered = tokio::time::timeout(Duration::from_mins(1), client.get(&url).send()).await;
        assert_eq!(answered.expect("an answer").unwrap().status(), 200);
    }
    drop(unread);
    eventually("a line about the lost ones", || program.log().contains("lines of this log were dropped").then_some(()))
        .await;
    program.signal(Signal::TERM);
    assert_eq!(program.ended().await.code(), Some(0));
}
