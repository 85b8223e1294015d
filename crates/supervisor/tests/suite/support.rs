//! Children to start, and ways to see what became of them.

use std::fs::{self, File};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use supervisor::confinement::Confinement;
use supervisor::identity::{Identity, Marker};
use supervisor::input::Stdin;
use supervisor::ladder::{Rung, Stopped};
use supervisor::output::Lines;
use supervisor::process::Process;
use supervisor::spawn::{Child, Graces, Launch, Limits, spawn};

pub(crate) const MARKER: &str = "SUPERVISOR_TEST_MARKER";
pub(crate) const LAUNCHER: &str = env!("CARGO_BIN_EXE_supervisor-test-launcher");

/// A value that no other test, and no other run of the tests, has.
pub(crate) fn unique_marker() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("test-{}-{}-", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A shell script as a child.
pub(crate) fn script(script: &str) -> Launch {
    Launch {
        launcher: LAUNCHER.into(),
        program: "sh".into(),
        args: vec!["-c".into(), script.into()],
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        cwd: File::open("/").unwrap().into(),
        cwd_path: "/".into(),
        secret: None,
        marker: Marker { name: MARKER, value: unique_marker() },
        confinement: Confinement::none(),
    }
}

/// How long a test waits where it expects to wait in vain.
pub(crate) const SHORT: Duration = Duration::from_millis(300);

/// Limits whose graces are long enough for a busy machine; what a test wants to see passing, it sets to [`SHORT`].
pub(crate) fn limits() -> Limits {
    let long = Duration::from_secs(20);
    Limits { graces: Graces { soft: long, eof: long, term: long, kill: long, leftover: SHORT }, ..Limits::default() }
}

/// Limits with short graces on the way to SIGKILL.
pub(crate) fn hasty() -> Limits {
    let graces = Graces { soft: SHORT, eof: SHORT, term: SHORT, ..limits().graces };
    Limits { graces, write_timeout: SHORT, ..limits() }
}

pub(crate) async fn start(text: &str) -> Child {
    spawn(script(text), limits()).await.unwrap()
}

/// Starts a script and waits for it to say "ready".
pub(crate) async fn start_ready(text: &str) -> Child {
    start_ready_with(text, limits()).await
}

/// The same, with other limits.
pub(crate) async fn start_ready_with(text: &str, limits: Limits) -> Child {
    let mut child = spawn(script(text), limits).await.unwrap();
    loop {
        match child.lines.next().await {
            Some(Ok(line)) if line.as_str() == "ready" => return child,
            Some(Ok(_)) => {}
            other => panic!("not ready: {other:?}; stderr: {}", child.stderr.text()),
        }
    }
}

/// The rest of the output as texts.
pub(crate) async fn rest(lines: &mut Lines) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some(line) = lines.next().await {
        texts.push(line.unwrap().as_str().to_owned());
    }
    texts
}

/// Stops a child with nothing special.
pub(crate) async fn stop(child: Child, from: Rung) -> (Stopped, Process) {
    let Child { stdin, mut lines, process, .. } = child;
    let stopped = process.stop(from, async |_: &mut Stdin| {}, Some(stdin), lines.discard()).await;
    (stopped, process)
}

/// Waits until a condition holds; what it waits for has no other sign.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let give_up = Instant::now() + Duration::from_mins(1);
    while !holds() {
        assert!(Instant::now() < give_up, "not within a minute: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// All pids.
pub(crate) fn pids() -> Vec<u32> {
    fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// Whether a pid belongs to something that is not a zombie.
pub(crate) fn is_running(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| Some(!stat.rsplit_once(") ")?.1.starts_with(['Z', 'X'])))
        .unwrap_or(false)
}

/// Every process that carries the marker.
pub(crate) fn marked(value: &str) -> Vec<u32> {
    let variable = format!("{MARKER}={value}");
    let has_it = |pid: &u32| {
        fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|block| block.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes()))
    };
    pids().into_iter().filter(has_it).collect()
}

/// Asserts that nothing of a run is left, not even as a zombie.
pub(crate) fn assert_nothing_left(identity: &Identity) {
    assert_eq!(marked(&identity.marker), Vec::<u32>::new(), "processes of the run are left");
    assert!(!identity.child.exists(), "the child is left");
    assert!(!identity.guardian.exists(), "the guardian is left");
}

/// Kills a process of ours without asking.
pub(crate) fn kill_9(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}
