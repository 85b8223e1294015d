//! What a service manager hears, over a socket as systemd has it.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::harness::{Collector, Engine, Folders, Manner, Program, V1, eventually};

/// A service manager, as far as it listens.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
    heard: Vec<String>,
}

impl Manager {
    fn new(folders: &Folders) -> Self {
        let path = folders.root().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { socket, path, heard: Vec::new() }
    }

    fn start(&self, folders: &Folders, variables: &[(&str, &str)]) -> Program {
        let path = self.path.display().to_string();
        let own = [("NOTIFY_SOCKET", path.as_str())];
        Program::start(folders, &[&own, variables].concat())
    }

    /// Waits until it has heard something; all lines up to then since the last time.
    async fn hears(&mut self, what: &str) -> Vec<String> {
        let mut lines = Vec::new();
        let (socket, heard) = (&self.socket, &mut self.heard);
        eventually(what, || {
            let mut bytes = [0; 4096];
            while let Ok(length) = socket.recv(&mut bytes) {
                let said = std::str::from_utf8(&bytes[..length]).unwrap();
                heard.extend(said.lines().map(str::to_owned));
            }
            let at = heard.iter().position(|line| line.starts_with(what))?;
            lines.extend(heard.drain(..=at));
            Some(())
        })
        .await;
        lines
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_hears_that_a_server_without_runs_stops() {
    let folders = Folders::new();
    let mut manager = Manager::new(&folders);
    let mut program = manager.start(&folders, &[]);
    manager.hears("READY=1").await;
    program.signal(Signal::TERM);
    assert!(program.ended().await.success());
    // All of it was said by now.
    manager.hears("STOPPING=1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_hears_of_a_server_that_waits_for_its_last_spans() {
    let folders = Folders::new();
    let mut manager = Manager::new(&folders);
    let collector = Collector::start().await;
    collector.be(Manner::Hang);
    let url = collector.url();
    let variables = [("ASKD_OTLP_ENDPOINT", &*url), ("ASKD_OTLP_TIMEOUT", "1h"), ("WATCHDOG_USEC", "400000")];
    let mut program = manager.start(&folders, &variables);
    let client = V1::at(program.address().await);
    let run = client.submit(&json!({"prompt": "x"})).await;
    client.ended(&run).await;
    program.signal(Signal::TERM);
    manager.hears("STOPPING=1").await;
    eventually("the wait", || program.log().contains("the last spans go to").then_some(())).await;
    // The drain itself is over at once, and has time for one or two of them.
    for _ in 0..10 {
        manager.hears("WATCHDOG=1").await;
    }
    manager.hears("EXTEND_TIMEOUT_USEC=30000000").await;
    // Nobody waits longer than a second signal allows.
    program.signal(Signal::TERM);
    assert!(program.ended().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_hears_of_readiness_work_a_reload_and_the_end() {
    let folders = Folders::new();
    let mut manager = Manager::new(&folders);
    folders.write("askd.toml", "");
    let file = folders.root().join("askd.toml").display().to_string();
    let mut program = manager.start(&folders, &[("MAX_CONCURRENT", "1"), ("ASKD_CONFIG", &file)]);
    let before = manager.hears("READY=1").await;
    eventually(&format!("the word that it listens, after {before:?}"), || {
        program.log().contains("askd listens").then_some(())
    })
    .await;
    manager.hears("STATUS=0 runs at work, 0 waiting").await;
    folders.write("askd.toml", "no_such = 1");
    program.signal(Signal::HUP);
    manager.hears("RELOADING=1").await;
    manager.hears("READY=1").await;
    manager.hears("STATUS=0 runs at work, 0 waiting; the last reload was refused: see the log").await;
    let running = program.ask_beside(&json!({"prompt": "!touch there\n!await go\n!result fine"})).await;
    manager.hears("STATUS=1 runs at work, 0 waiting; the last reload was refused: see the log").await;
    folders.write("askd.toml", "");
    program.signal(Signal::HUP);
    manager.hears("RELOADING=1").await;
    let said = manager.hears("READY=1").await;
    let micros: u64 = said[0].strip_prefix("MONOTONIC_USEC=").unwrap().parse().unwrap();
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    assert!(u64::try_from(now.tv_sec).unwrap().abs_diff(micros / 1_000_000) < 60);
    let said = manager.hears("STATUS=").await;
    assert_eq!(said, ["STATUS=1 runs at work, 0 waiting"], "until one is taken");
    eventually("the run", || folders.workspace().join("there").exists().then_some(())).await;
    program.signal(Signal::TERM);
    manager.hears("STOPPING=1").await;
    manager.hears("EXTEND_TIMEOUT_USEC=30000000").await;
    manager.hears("STATUS=draining: 1 runs at work").await;
    folders.write("workspace/go", "");
    assert_eq!(running.await.unwrap().result(), "fine");
    assert!(program.ended().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_asks_for_time_and_is_complete_also_where_no_work_is_wanted() {
    let folders = Folders::new();
    let mut manager = Manager::new(&folders);
    let program = manager.start(&folders, &[("ASKD_MIN_FREE_DISK", "100000GiB")]);
    let before = manager.hears("READY=1").await;
    assert!(before.iter().any(|line| line.starts_with("EXTEND_TIMEOUT_USEC=")), "{before:?}");
    let said = manager.hears("STATUS=0 runs at work, 0 waiting; not ready: disk").await;
    assert!(said.len() < 5, "it says so once: {said:?}");
    drop(program);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_another_holds_does_not_starve_the_watchdog() {
    let folders = Folders::new();
    let mut manager = Manager::new(&folders);
    let program = manager.start(&folders, &[("WATCHDOG_USEC", "400000")]);
    manager.hears("READY=1").await;
    let stall = Engine::Sqlite.stall(&folders.data()).await;
    // Far more of them than fit into the time that passes before the lock is a failure of the store.
    for _ in 0..20 {
        manager.hears("WATCHDOG=1").await;
    }
    stall.end().await;
    drop(program);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watchdog_is_fed_while_the_server_turns_and_not_when_it_stands_still() {
    let folders = Folders::new();
    let mut manager = Manager::new(&folders);
    let program = manager.start(&folders, &[("WATCHDOG_USEC", "400000")]);
    for _ in 0..3 {
        manager.hears("WATCHDOG=1").await;
    }
    program.signal(Signal::STOP);
    let still = Duration::from_millis(900);
    // What it said before it stood still.
    while tokio::time::timeout(still / 2, manager.hears("WATCHDOG=1")).await.is_ok() {}
    tokio::time::timeout(still, manager.hears("WATCHDOG=1")).await.unwrap_err();
    program.signal(Signal::CONT);
    manager.hears("WATCHDOG=1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_run_sees_the_socket_of_the_service_manager() {
    let folders = Folders::new();
    let mut manager = Manager::new(&folders);
    let program = manager.start(&folders, &[("WATCHDOG_USEC", "60000000")]);
    manager.hears("READY=1").await;
    let report = program.ask(&json!({"prompt": "!report"})).await;
    let text = report.result();
    assert!(text.contains("\"env"), "{text}");
    assert!(!text.contains("NOTIFY_SOCKET") && !text.contains("WATCHDOG"), "{text}");
}
