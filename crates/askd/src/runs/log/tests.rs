//! The log as its writer and its followers see it.

use std::task::Poll;

use futures_util::poll;

use super::*;
use crate::runs::{Finished, RunState};

fn warning(text: &str) -> EventBody {
    EventBody::Warning(text.into())
}

fn end() -> EventBody {
    EventBody::Finished(Finished { state: RunState::Completed, error: None })
}

fn log(capacity: usize) -> Arc<RunLog> {
    RunLog::new(capacity)
}

async fn rest(mut follower: Follower) -> Vec<u64> {
    let mut seqs = Vec::new();
    while let Some(event) = follower.next().await {
        seqs.push(event.seq);
    }
    seqs
}

#[tokio::test]
async fn numbers_count_from_one_without_gaps_and_nothing_follows_the_end() {
    let log = log(1 << 20);
    let follower = log.follow(0).unwrap();
    log.append(Timestamp::UNIX_EPOCH, warning("a")).await;
    log.append(Timestamp::UNIX_EPOCH, warning("b")).await;
    log.append_now(Timestamp::UNIX_EPOCH, end());
    log.append_now(Timestamp::UNIX_EPOCH, warning("too late"));
    assert_eq!(rest(follower).await, [1, 2, 3]);
}

#[tokio::test]
async fn a_reader_may_come_late_and_take_up_anywhere() {
    let log = log(1 << 20);
    for _ in 0..3 {
        log.append(Timestamp::UNIX_EPOCH, warning("x")).await;
    }
    log.append_now(Timestamp::UNIX_EPOCH, end());
    assert_eq!(rest(log.follow(2).unwrap()).await, [3, 4]);
    assert_eq!(rest(log.follow(4).unwrap()).await, [0_u64; 0]);
}

#[tokio::test]
async fn a_slow_follower_holds_the_writer_and_loses_nothing() {
    let log = log(300);
    let mut follower = log.follow(0).unwrap();
    log.append(Timestamp::UNIX_EPOCH, warning("1")).await;
    log.append(Timestamp::UNIX_EPOCH, warning("2")).await;
    let mut third = Box::pin(log.append(Timestamp::UNIX_EPOCH, warning("3")));
    assert_eq!(poll!(third.as_mut()), Poll::Pending, "the ring is full");
    assert_eq!(follower.next().await.unwrap().seq, 1);
    assert_eq!(poll!(third.as_mut()), Poll::Ready(()), "one was taken");
    assert_eq!(follower.next().await.unwrap().seq, 2);
    assert_eq!(follower.next().await.unwrap().seq, 3);
}

#[tokio::test]
async fn a_follower_that_leaves_frees_the_writer() {
    let log = log(300);
    let follower = log.follow(0).unwrap();
    log.append(Timestamp::UNIX_EPOCH, warning("1")).await;
    log.append(Timestamp::UNIX_EPOCH, warning("2")).await;
    let mut third = Box::pin(log.append(Timestamp::UNIX_EPOCH, warning("3")));
    assert_eq!(poll!(third.as_mut()), Poll::Pending);
    drop(follower);
    assert_eq!(poll!(third.as_mut()), Poll::Ready(()));
}

#[tokio::test]
async fn without_followers_old_events_make_room_and_asking_for_them_says_so() {
    let log = log(300);
    for _ in 0..10 {
        log.append(Timestamp::UNIX_EPOCH, warning("x")).await;
    }
    assert_eq!(log.follow(0).unwrap_err(), Evicted { after: 0, oldest: 9 });
    log.append_now(Timestamp::UNIX_EPOCH, end());
    assert_eq!(rest(log.follow(9).unwrap()).await, [10, 11]);
}

#[tokio::test]
async fn an_event_larger_than_the_ring_still_passes() {
    let log = log(10);
    let follower = log.follow(0).unwrap();
    log.append(Timestamp::UNIX_EPOCH, warning(&"x".repeat(1000))).await;
    log.append_now(Timestamp::UNIX_EPOCH, end());
    assert_eq!(rest(follower).await, [1, 2]);
}

#[tokio::test]
async fn followers_at_different_paces_all_see_every_event() {
    let log = log(2000);
    let followers: Vec<_> = (0..8).map(|_| log.follow(0).unwrap()).collect();
    let writer = async {
        for _ in 0..500 {
            log.append(Timestamp::UNIX_EPOCH, warning("x")).await;
        }
        log.append_now(Timestamp::UNIX_EPOCH, end());
    };
    let readers = futures_util::future::join_all(followers.into_iter().map(rest));
    let ((), all) = tokio::join!(writer, readers);
    let expected: Vec<u64> = (1..=501).collect();
    assert!(all.iter().all(|seqs| *seqs == expected));
}
