//! Processes that try to outlive their run, and deaths of those that watch.

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use supervisor::ladder::Rung;
use supervisor::leftovers::sweep;
use supervisor::process::Exit;
use supervisor::records::RunRecord;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::support::{
    LAUNCHER, MARKER, assert_nothing_left, eventually, is_running, kill_9, marked, rest, start, start_ready, stop,
    unique_marker,
};

/// Leaves the session, the environment, the pipes and the parent behind, and says its pid in the end.
const DAEMON: &str = "env -i setsid nohup sh -c 'trap \"\" TERM; echo daemon $$ >&3; exec >/dev/null 2>&1 3>&-; sleep 600 & wait' \
                      3>&1 </dev/null >/dev/null 2>&1 &";

/// The same, and then "ready".
const DAEMON_THEN_READY: &str = "env -i setsid nohup sh -c 'trap \"\" TERM; echo daemon $$ >&3; echo ready >&3; exec >/dev/null 2>&1 3>&-; \
     sleep 600 & wait' 3>&1 </dev/null >/dev/null 2>&1 &";

#[tokio::test]
async fn a_daemon_does_not_outlive_a_clean_exit() {
    let mut child = start(&format!("{DAEMON} read line")).await;
    let said = child.lines.next().await.unwrap().unwrap();
    let daemon: u32 = said.as_str().strip_prefix("daemon ").unwrap().parse().unwrap();
    assert!(is_running(daemon));
    child.stdin.write_line(b"go").await.unwrap();
    assert_eq!(rest(&mut child.lines).await, Vec::<String>::new());
    let gone = child.process.wait_gone().await;
    assert_eq!((gone.exit, gone.leaked), (Exit::Code(0), 0));
    assert!(gone.leftover >= 1, "{gone:?}");
    assert!(!is_running(daemon));
    assert_nothing_left(child.identity());
}

#[tokio::test]
async fn a_daemon_does_not_outlive_a_kill() {
    let mut child = start(&format!("{DAEMON} sleep 600")).await;
    let said = child.lines.next().await.unwrap().unwrap();
    let daemon: u32 = said.as_str().strip_prefix("daemon ").unwrap().parse().unwrap();
    let (stopped, process) = stop(child, Rung::Kill).await;
    assert_eq!((stopped.exit, stopped.leaked), (Exit::Signal(9), 0));
    assert!(!is_running(daemon));
    assert_nothing_left(process.identity());
}

#[tokio::test]
async fn many_processes_at_all_depths_die() {
    let storm = "n=0; while [ $n -lt 15 ]; do setsid sh -c 'sh -c \"sleep 600 & sleep 600\" & sleep 600' & n=$((n+1)); done; \
                 echo ready; wait";
    let (stopped, process) = stop(start_ready(storm).await, Rung::Kill).await;
    assert_eq!(stopped.leaked, 0);
    assert_nothing_left(process.identity());
}

#[tokio::test]
async fn a_process_that_flees_by_forking_is_caught() {
    // Each process lives only until it has forked the next one.
    let walk = "walk() { [ $1 -gt 0 ] && { walk $(($1 - 1)) & } ; }; echo ready; walk 3000; read line";
    let (stopped, process) = stop(start_ready(walk).await, Rung::Kill).await;
    assert_eq!(stopped.leaked, 0);
    assert_nothing_left(process.identity());
}

#[tokio::test]
async fn signals_to_the_guardian_change_nothing() {
    let mut child = start("echo ready; read line; echo still here").await;
    let guardian = rustix::process::Pid::from_raw(child.identity().guardian.pid.cast_signed()).unwrap();
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT, rustix::process::Signal::HUP] {
        rustix::process::kill_process(guardian, signal).unwrap();
    }
    child.stdin.write_line(b"go").await.unwrap();
    assert_eq!(rest(&mut child.lines).await, ["ready", "still here"]);
    assert_eq!(child.process.wait_gone().await.exit, Exit::Code(0));
}

#[tokio::test]
async fn a_killed_guardian_takes_its_tree_along() {
    let child = start_ready("setsid sh -c 'trap \"\" TERM; sleep 600; :' & echo ready; wait").await;
    kill_9(child.identity().guardian.pid);
    let gone = child.process.wait_gone().await;
    assert_eq!((gone.exit, gone.leaked), (Exit::Unknown, 0));
    let identity = child.identity().clone();
    eventually("the tree is reaped", || marked(&identity.marker).is_empty() && !is_running(identity.child.pid)).await;
}

#[tokio::test]
async fn a_stopped_guardian_is_replaced() {
    let mut limits = crate::support::limits();
    // It is waited for before the guardian is replaced, and again for what that has left.
    limits.graces.kill = Duration::from_secs(2);
    let launch = crate::support::script("echo ready; exec sleep 600");
    let child = supervisor::spawn::spawn(launch, limits).await.unwrap();
    let guardian = rustix::process::Pid::from_raw(child.identity().guardian.pid.cast_signed()).unwrap();
    rustix::process::kill_process(guardian, rustix::process::Signal::STOP).unwrap();
    let (stopped, process) = stop(child, Rung::Kill).await;
    assert_eq!((stopped.exit, stopped.leaked), (Exit::Unknown, 0));
    let child = process.identity().child.pid;
    eventually("the child is dead", || !is_running(child)).await;
}

/// A server of its own, which runs the script.
pub(crate) struct Server {
    process: tokio::process::Child,
    pub(crate) directory: tempfile::TempDir,
    pub(crate) marker: String,
    /// The pid that [`DAEMON`] said, if the script had one.
    daemon: Option<u32>,
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
}

impl Server {
    async fn start(script: &str) -> Self {
        Self::start_with(script, None).await
    }

    /// The same, in a view in which only the server's directory is writable.
    pub(crate) async fn start_in(view: &str, script: &str) -> Self {
        Self::start_with(script, Some(view)).await
    }

    /// The same end as by a lack of memory.
    pub(crate) async fn kill(&mut self) {
        self.process.kill().await.unwrap();
    }

    async fn start_with(script: &str, view: Option<&str>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let marker = unique_marker();
        #[expect(clippy::disallowed_methods, reason = "the server is killed, and must be a process of its own")]
        let mut command = Command::new(LAUNCHER);
        command.arg("serve").arg(directory.path()).arg(&marker).arg(script).args(view);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut server = Self { process, directory, marker, daemon: None, lines };
        loop {
            let line = server.line().await;
            if line == "ready" {
                break;
            }
            server.daemon = line.strip_prefix("daemon ").and_then(|pid| pid.parse().ok());
        }
        server
    }

    async fn line(&mut self) -> String {
        self.lines.next_line().await.unwrap().expect("the server says more")
    }

    pub(crate) fn record(&self) -> RunRecord {
        RunRecord::list(self.directory.path()).unwrap().remove(0)
    }

    fn is_gone(&self, record: &RunRecord) -> bool {
        marked(&self.marker).is_empty()
            && !is_running(record.identity.child.pid)
            && !self.daemon.is_some_and(is_running)
    }
}

#[tokio::test]
async fn a_killed_server_takes_all_trees_along() {
    let mut server = Server::start(&format!("trap '' TERM; {DAEMON_THEN_READY} sleep 600")).await;
    let record = server.record();
    assert!(server.daemon.is_some_and(is_running));
    let begin = Instant::now();
    server.process.kill().await.unwrap();
    eventually("the tree is gone", || server.is_gone(&record)).await;
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_sweep_finishes_what_a_killed_server_and_guardian_left() {
    let mut server =
        Server::start("setsid sh -c 'trap \"\" TERM; sleep 600; :' & trap '' TERM; echo ready; wait").await;
    let record = server.record();
    // The server first: nobody is to clean up after the guardian. The child dies with it, its children do not.
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(record.identity.guardian.pid.cast_signed()).unwrap(),
        rustix::process::Signal::STOP,
    )
    .unwrap();
    server.process.kill().await.unwrap();
    let swept = sweep(server.directory.path(), MARKER, &server.marker).await.unwrap();
    assert_eq!((swept.records, swept.remaining), (vec!["test".to_owned()], 0));
    assert!(swept.killed >= 3, "{}", swept.killed);
    assert!(server.is_gone(&record));
    assert_eq!(RunRecord::list(server.directory.path()).unwrap(), []);
}

#[tokio::test]
async fn a_sweep_leaves_strangers_alone() {
    let child = start_ready("echo ready; exec sleep 600").await;
    let directory = tempfile::tempdir().unwrap();
    // The same pid with another start time is another process.
    let mut identity = child.identity().clone();
    identity.child.start += 1;
    identity.guardian.start += 1;
    RunRecord::new("old", identity).unwrap().write(directory.path()).unwrap();
    let swept = sweep(directory.path(), MARKER, "another-server-").await.unwrap();
    assert_eq!((swept.killed, swept.remaining), (0, 0));
    assert!(is_running(child.pid()));
    stop(child, Rung::Kill).await;
}

#[tokio::test]
async fn orphans_of_a_killed_guardian_come_to_the_server_and_die() {
    let mut server = Server::start(&format!("{DAEMON_THEN_READY} sleep 600")).await;
    let record = server.record();
    let server_pid = server.process.id().unwrap();
    assert!(server.daemon.is_some_and(is_running));
    kill_9(record.identity.guardian.pid);
    let said = server.line().await;
    assert!(said.contains("leaked: 0"), "{said}");
    assert!(server.is_gone(&record));
    let status = server.process.wait().await.unwrap();
    assert_eq!((status.code(), status.signal()), (Some(0), None));
    let orphans = crate::support::pids().into_iter().filter(|pid| parent(*pid) == Some(server_pid)).count();
    assert_eq!(orphans, 0);
}

fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}
