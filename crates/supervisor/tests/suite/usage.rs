//! What a tree of processes uses, seen from outside.

use supervisor::identity::ProcessId;
use supervisor::ladder::Rung;
use supervisor::usage::{Usage, sample, shared_memory_counted_once};

use crate::support::{eventually, start_ready, stop};

/// A script that holds some memory in the shell, opens some files and has some children.
const HUNGRY: &str = "
    block=$(head -c 33554432 /dev/zero | tr '\\0' x)
    exec 3</dev/null 4</dev/null 5</dev/null 6</dev/null 7</dev/null 8</dev/null 9</dev/null
    sleep 1000 & sleep 1000 & sleep 1000 &
    echo ready; wait; echo ${#block}";

#[tokio::test]
async fn memory_tasks_and_open_files_of_a_tree_are_seen_and_those_of_another_are_not() {
    let hungry = start_ready(HUNGRY).await;
    let modest = start_ready("echo ready; sleep 1000").await;
    let guardians = [modest.identity().guardian, hungry.identity().guardian];
    let [of_modest, of_hungry] = sample(&guardians).unwrap()[..] else { panic!("one for each") };
    assert!(of_hungry.memory_bytes >= 32 << 20, "{of_hungry:?}");
    assert_eq!(of_hungry.tasks, 4, "the shell and its children, without the guardian");
    assert!(of_hungry.most_open_files >= 10, "{of_hungry:?}");
    assert!(of_modest.memory_bytes < 16 << 20, "{of_modest:?}");
    assert!(of_modest.tasks >= 1);
    stop(hungry, Rung::Kill).await;
    stop(modest, Rung::Kill).await;
    assert_eq!(sample(&guardians).unwrap(), [Usage::default(); 2], "who is gone uses nothing");
}

/// A shell that holds some memory, and forks of it that change none of it.
const FORKS: &str = "
    block=$(head -c 33554432 /dev/zero | tr '\\0' x)
    for fork in 1 2 3 4; do ( sleep 1000; echo ) & done
    echo ready; wait";

#[tokio::test]
async fn memory_that_forks_share_counts_once_on_a_closer_look() {
    let child = start_ready(FORKS).await;
    let guardian = child.identity().guardian;
    eventually("forks", || sample(&[guardian]).unwrap()[0].memory_bytes >= 5 * (32 << 20)).await;
    let memory = shared_memory_counted_once(guardian).unwrap();
    assert!((32 << 20..2 * (32 << 20)).contains(&memory), "{memory}");
    stop(child, Rung::Kill).await;
    assert_eq!(shared_memory_counted_once(guardian).unwrap(), 0, "who is gone uses nothing");
}

#[tokio::test]
async fn daemons_count_as_well() {
    let child = start_ready("(setsid sleep 1000 >/dev/null &) ; echo ready; sleep 1000").await;
    let guardian = child.identity().guardian;
    eventually("the shell, its child and the daemon", || sample(&[guardian]).unwrap()[0].tasks == 3).await;
    stop(child, Rung::Kill).await;
}

#[tokio::test]
async fn a_pid_that_belongs_to_somebody_else_now_is_not_taken_for_the_guardian() {
    let child = start_ready("echo ready; sleep 1000").await;
    let ProcessId { pid, start } = child.identity().guardian;
    assert_eq!(sample(&[ProcessId { pid, start: start + 1 }]).unwrap(), [Usage::default()]);
    stop(child, Rung::Kill).await;
}
