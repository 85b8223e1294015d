//! How trees end that live in a PID namespace of their own.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use supervisor::ladder::Rung;
use supervisor::leftovers::sweep;
use supervisor::process::Exit;
use supervisor::spawn::Child;

use crate::support::{MARKER, assert_nothing_left, eventually, kill_9, pids, rest, stop, unique_marker};
use crate::survivors::Server;
use crate::world::{Kind, World};

/// How long the end of a namespace may take.
const AT_ONCE: Duration = Duration::from_secs(20);

/// Every process whose command line holds a word that only this test has, in whatever namespace it is.
fn carrying(mark: &str) -> Vec<u32> {
    let has_it = |pid: &u32| {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(mark))
    };
    pids().into_iter().filter(has_it).collect()
}

/// A script that leaves [`DEAF`] processes with this mark in the background: plain, in a session of its own, and doubly
/// forked with no environment; then says "ready".
fn leaving(mark: &str) -> String {
    let deaf = format!("sh -c 'trap \"\" TERM HUP; exec >/dev/null 2>&1; while :; do sleep 1; done' {mark}");
    format!("{deaf} & setsid {deaf} & (env -i nohup setsid {deaf} & ) & echo ready; ")
}

/// How many processes [`leaving`] leaves.
const DEAF: usize = 3;

/// Waits until all of them are there.
async fn all_left(mark: &str) {
    let is_deaf =
        |pid: &u32| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"sh\0-c\0trap"));
    eventually("they run in the background", || carrying(mark).iter().filter(|pid| is_deaf(pid)).count() == DEAF).await;
}

async fn start(world: &World, text: &str) -> Child {
    let mut child = world.start(Kind::Bubblewrap, text).await.unwrap();
    while let Some(line) = child.lines.next().await {
        if line.unwrap().as_str() == "ready" {
            return child;
        }
    }
    panic!("not ready: {}", child.stderr.text());
}

#[tokio::test]
async fn sigterm_reaches_the_program_and_its_trap_runs() {
    if !Kind::Bubblewrap.works() {
        return;
    }
    let world = World::new();
    let child =
        start(&world, "trap 'echo trapped >$W/data/homes/one/said; exit 5' TERM; echo ready; sleep 600 & wait").await;
    let (stopped, process) = stop(child, Rung::Term).await;
    assert_eq!((stopped.exit, stopped.rung, stopped.leaked), (Exit::Code(5), Some(Rung::Term), 0));
    assert_eq!(fs::read_to_string(world.path("data/homes/one/said")).unwrap(), "trapped\n");
    assert_nothing_left(process.identity());
}

#[tokio::test]
async fn a_service_manager_that_signals_everything_does_not_end_a_run_by_that() {
    if !Kind::Bubblewrap.works() {
        return;
    }
    let world = World::new();
    let script = "trap 'echo trapped' TERM; echo ready; read line || read line; echo still here; exit 5";
    let mut child = start(&world, script).await;
    let (guardian, outer) = (child.identity().guardian.pid, child.pid());
    let below = |pid: u32| -> u32 {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        children.split_whitespace().next().unwrap().parse().unwrap()
    };
    let first = below(outer);
    let program = below(first);
    for pid in [guardian, outer, first, program] {
        kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::TERM).unwrap();
    }
    assert_eq!(child.lines.next().await.unwrap().unwrap().as_str(), "trapped");
    child.stdin.write_line(b"go").await.unwrap();
    assert_eq!(rest(&mut child.lines).await, ["still here"]);
    assert_eq!(child.process.wait_gone().await.exit, Exit::Code(5));
}

#[tokio::test]
async fn a_program_that_a_signal_ends_has_the_code_that_a_shell_would_give_it() {
    if !Kind::Bubblewrap.works() {
        return;
    }
    let world = World::new();
    for (signal, code) in [("TERM", 143), ("SEGV", 139), ("KILL", 137)] {
        let child = world.start(Kind::Bubblewrap, &format!("kill -{signal} $$")).await.unwrap();
        assert_eq!(child.process.wait_gone().await.exit, Exit::Code(code), "{signal}");
    }
}

#[tokio::test]
async fn input_output_and_exit_code_pass_through() {
    if !Kind::Bubblewrap.works() {
        return;
    }
    let world = World::new();
    let mut child =
        world.start(Kind::Bubblewrap, "read line; echo \"got $line\"; echo oops >&2; exit 7").await.unwrap();
    child.stdin.write_line("grüße".as_bytes()).await.unwrap();
    assert_eq!(rest(&mut child.lines).await, ["got grüße"]);
    let gone = child.process.wait_gone().await;
    assert_eq!((gone.exit, gone.leftover, gone.leaked), (Exit::Code(7), 0, 0));
    child.stderr.ended().await;
    assert_eq!(child.stderr.text(), "oops\n");
    assert_nothing_left(child.identity());
}

#[tokio::test]
async fn whatever_is_in_the_background_ends_with_the_program() {
    if !Kind::Bubblewrap.works() {
        return;
    }
    let (world, mark) = (World::new(), unique_marker());
    let mut child = start(&world, &format!("{}read line", leaving(&mark))).await;
    all_left(&mark).await;
    child.stdin.write_line(b"go").await.unwrap();
    let begin = Instant::now();
    let gone = child.process.wait_gone().await;
    assert_eq!((gone.exit, gone.leaked), (Exit::Code(0), 0));
    assert!(begin.elapsed() < AT_ONCE, "{:?}", begin.elapsed());
    assert_eq!(carrying(&mark), Vec::<u32>::new());
    assert_nothing_left(child.identity());
}

#[tokio::test]
async fn a_kill_ends_everything_at_once() {
    if !Kind::Bubblewrap.works() {
        return;
    }
    let (world, mark) = (World::new(), unique_marker());
    let child = start(&world, &format!("true; trap '' TERM; {}while :; do sleep 1; done", leaving(&mark))).await;
    all_left(&mark).await;
    let begin = Instant::now();
    let (stopped, process) = stop(child, Rung::Kill).await;
    assert_eq!((stopped.exit, stopped.leaked), (Exit::Signal(9), 0));
    assert!(begin.elapsed() < AT_ONCE, "{:?}", begin.elapsed());
    assert_eq!(carrying(&mark), Vec::<u32>::new());
    assert_nothing_left(process.identity());
}

#[tokio::test]
async fn a_killed_guardian_takes_the_whole_namespace_along() {
    if !Kind::Bubblewrap.works() {
        return;
    }
    let (world, mark) = (World::new(), unique_marker());
    let child = start(&world, &format!("{}sleep 600", leaving(&mark))).await;
    all_left(&mark).await;
    let begin = Instant::now();
    kill_9(child.identity().guardian.pid);
    eventually("the namespace is gone", || carrying(&mark).is_empty()).await;
    assert!(begin.elapsed() < AT_ONCE, "{:?}", begin.elapsed());
    let gone = child.process.wait_gone().await;
    assert_eq!((gone.exit, gone.leaked), (Exit::Unknown, 0));
}

#[tokio::test]
async fn a_killed_server_takes_all_its_namespaces_along() {
    if !Kind::Bubblewrap.works() {
        return;
    }
    let mark = unique_marker();
    let script = format!("{}sleep 600", leaving(&mark));
    let mut server = Server::start_in("bubblewrap", &script).await;
    all_left(&mark).await;
    let begin = Instant::now();
    server.kill().await;
    eventually("the namespace is gone", || carrying(&mark).is_empty()).await;
    assert!(begin.elapsed() < AT_ONCE, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_sweep_finds_namespaces_whose_guardian_is_stuck() {
    if !Kind::Bubblewrap.works() {
        return;
    }
    let mark = unique_marker();
    let mut server = Server::start_in("bubblewrap", &format!("{}sleep 600", leaving(&mark))).await;
    all_left(&mark).await;
    let guardian = Pid::from_raw(server.record().identity.guardian.pid.cast_signed()).unwrap();
    kill_process(guardian, Signal::STOP).unwrap();
    server.kill().await;
    let swept = sweep(server.directory.path(), MARKER, &server.marker).await.unwrap();
    assert_eq!(swept.remaining, 0);
    assert_eq!(carrying(&mark), Vec::<u32>::new());
}

#[tokio::test]
async fn a_dropped_start_leaves_nothing() {
    if !Kind::Bubblewrap.works() {
        return;
    }
    let mark = unique_marker();
    for pause in [0_u64, 1, 2, 4, 8, 16] {
        let world = World::new();
        let mut launch = world.launch(Kind::Bubblewrap, "sleep 600");
        launch.args.push(mark.clone().into());
        let starting = supervisor::spawn::spawn(launch, crate::support::limits());
        drop(tokio::time::timeout(Duration::from_millis(pause), starting).await);
        eventually("nothing of it is left", || carrying(&mark).is_empty()).await;
    }
}
