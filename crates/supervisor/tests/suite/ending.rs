//! The kill ladder, from each rung.

use std::time::{Duration, Instant};

use supervisor::input::Stdin;
use supervisor::ladder::Rung;
use supervisor::process::Exit;
use supervisor::spawn::{Child, Graces, Limits};

use crate::support::{
    SHORT, assert_nothing_left, eventually, hasty, is_running, limits, start_ready, start_ready_with, stop,
};

/// Ignores SIGTERM and the end of its input.
const STUBBORN: &str = "trap '' TERM; echo ready; while :; do sleep 0.05; done";

#[tokio::test]
async fn a_soft_request_is_enough_for_a_polite_child() {
    let child = start_ready("echo ready; while read line; do [ \"$line\" = stop ] && exit 3; done; exit 4").await;
    let Child { stdin, mut lines, process, .. } = child;
    let ask = async |stdin: &mut Stdin| stdin.write_line(b"stop").await.unwrap();
    let stopped = process.stop(Rung::Soft, ask, Some(stdin), lines.discard()).await;
    assert_eq!((stopped.exit, stopped.rung, stopped.leaked), (Exit::Code(3), Some(Rung::Soft), 0));
    assert_nothing_left(process.identity());
}

#[tokio::test]
async fn a_soft_request_that_hangs_is_given_up() {
    let graces = Graces { soft: SHORT, ..limits().graces };
    let child = start_ready_with("echo ready; exec cat >/dev/null", Limits { graces, ..limits() }).await;
    let Child { stdin, mut lines, process, .. } = child;
    let hang = async |_: &mut Stdin| std::future::pending().await;
    let stopped = process.stop(Rung::Soft, hang, Some(stdin), lines.discard()).await;
    assert_eq!((stopped.exit, stopped.rung), (Exit::Code(0), Some(Rung::CloseStdin)));
}

#[tokio::test]
async fn the_end_of_input_is_enough_for_cat() {
    let (stopped, process) = stop(start_ready("echo ready; exec cat").await, Rung::CloseStdin).await;
    assert_eq!((stopped.exit, stopped.rung), (Exit::Code(0), Some(Rung::CloseStdin)));
    assert_nothing_left(process.identity());
}

#[tokio::test]
async fn sigterm_reaches_the_whole_tree() {
    let (stopped, process) = stop(start_ready("setsid sleep 600 & echo ready; sleep 600").await, Rung::Term).await;
    assert_eq!((stopped.exit, stopped.rung), (Exit::Signal(15), Some(Rung::Term)));
    assert_nothing_left(process.identity());
}

#[tokio::test]
async fn a_stubborn_child_takes_the_whole_ladder() {
    let begin = Instant::now();
    let (stopped, process) = stop(start_ready_with(STUBBORN, hasty()).await, Rung::Soft).await;
    assert_eq!((stopped.exit, stopped.rung, stopped.leaked), (Exit::Signal(9), Some(Rung::Kill), 0));
    assert!(begin.elapsed() >= Duration::from_millis(900), "a grace was skipped: {:?}", begin.elapsed());
    assert_nothing_left(process.identity());
}

#[tokio::test]
async fn killing_needs_no_patience() {
    let begin = Instant::now();
    let (stopped, process) = stop(start_ready(STUBBORN).await, Rung::Kill).await;
    assert_eq!((stopped.exit, stopped.rung), (Exit::Signal(9), Some(Rung::Kill)));
    assert!(begin.elapsed() < limits().graces.kill, "{:?}", begin.elapsed());
    assert_nothing_left(process.identity());
}

#[tokio::test]
async fn a_second_request_escalates_the_first() {
    let begin = Instant::now();
    let child = start_ready(STUBBORN).await;
    let escalator = child.process.escalator();
    let stopping = stop(child, Rung::Soft);
    let escalate = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        escalator.escalate(Rung::Kill);
    };
    let ((stopped, process), ()) = tokio::join!(stopping, escalate);
    assert_eq!((stopped.exit, stopped.rung), (Exit::Signal(9), Some(Rung::Kill)));
    assert!(begin.elapsed() < limits().graces.soft, "{:?}", begin.elapsed());
    assert_nothing_left(process.identity());
}

#[tokio::test]
async fn an_escalator_works_without_a_stop_and_outlives_the_process() {
    let child = start_ready(STUBBORN).await;
    let escalator = child.process.escalator();
    escalator.escalate(Rung::Kill);
    assert_eq!(child.process.wait_gone().await.exit, Exit::Signal(9));
    let identity = child.identity().clone();
    drop(child);
    escalator.escalate(Rung::Kill);
    assert_nothing_left(&identity);
}

#[tokio::test]
async fn stopping_what_has_ended_climbs_no_rung() {
    let child = start_ready("echo ready").await;
    child.process.wait_gone().await;
    let (stopped, _) = stop(child, Rung::Soft).await;
    assert_eq!((stopped.exit, stopped.rung), (Exit::Code(0), None));
}

#[tokio::test]
async fn a_child_stuck_in_writing_is_drained_until_it_ends() {
    let child =
        start_ready("echo ready; trap 'head -c 1000000 /dev/zero; exit 5' TERM; while :; do sleep 0.01; done").await;
    let (stopped, process) = stop(child, Rung::Term).await;
    assert_eq!((stopped.exit, stopped.rung), (Exit::Code(5), Some(Rung::Term)));
    assert_nothing_left(process.identity());
}

#[tokio::test]
async fn dropping_a_child_kills_its_tree() {
    let child =
        start_ready("setsid sh -c 'trap \"\" TERM; sleep 600' & trap '' TERM; echo ready; wait; sleep 600").await;
    let identity = child.identity().clone();
    drop(child);
    eventually("the tree is gone and the guardian reaped", || {
        !is_running(identity.child.pid) && !identity.guardian.exists()
    })
    .await;
    assert_nothing_left(&identity);
}

#[tokio::test]
async fn a_stop_can_run_in_a_spawned_task() {
    let graces = Graces { soft: SHORT, ..limits().graces };
    let child = start_ready_with("echo ready; exec cat", Limits { graces, ..limits() }).await;
    #[expect(clippy::disallowed_methods, reason = "a test has no tracker")]
    let task = tokio::spawn(async move {
        let Child { stdin, mut lines, process, .. } = child;
        let ask = async |stdin: &mut Stdin| drop(stdin.write_line(b"stop").await);
        let drain = async { while lines.next().await.is_some() {} };
        process.stop(Rung::Soft, ask, Some(stdin), drain).await
    });
    assert_eq!(task.await.unwrap().rung, Some(Rung::CloseStdin));
}

#[tokio::test]
async fn escalating_to_sigterm_sends_it_once() {
    // As long as it takes for the first one to come, and then a while for a second.
    let count = "n=0; trap 'n=$((n+1))' TERM; echo ready; while [ $n -eq 0 ]; do sleep 0.02; done; \
                 i=0; while [ $i -lt 25 ]; do sleep 0.02; i=$((i+1)); done; exit $n";
    let child = start_ready(count).await;
    let Child { stdin, mut lines, process, .. } = child;
    let escalator = process.escalator();
    let soft = async |_: &mut Stdin| escalator.escalate(Rung::Term);
    let stopped = process.stop(Rung::Soft, soft, Some(stdin), lines.discard()).await;
    assert_eq!((stopped.exit, stopped.rung), (Exit::Code(1), Some(Rung::Term)));
}
