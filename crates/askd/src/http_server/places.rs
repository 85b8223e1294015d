//! The places for connections: so many and no more, and none is held for long by a client that asks nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// All places.
#[derive(Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    waiting: Mutex<Waiting>,
    /// Somebody has begun to wait.
    changed: Notify,
}

/// The connections on which no request is at work, by the order in which they have begun to wait for one. There are at most
/// as many as places.
#[derive(Debug, Default)]
struct Waiting {
    last: u64,
    connections: BTreeMap<u64, Connection>,
}

/// One of them.
#[derive(Debug)]
struct Connection {
    since: Instant,
    lost: CancellationToken,
}

/// What can be done for a newcomer while no place is free.
enum Way {
    /// The place of one that has gone, or is about to.
    Freed,
    /// To look again then: somebody will have waited long enough.
    Later(Instant),
    /// To wait: all are at work.
    Blocked,
}

/// A connection's place. It is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    /// Its number in [`Waiting`]; [`AT_WORK`] while a request is at work.
    number: AtomicU64,
    /// Cancelled when a new connection needs the place.
    lost: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

/// So long nobody is sent away: the first request of a client is on its way. In a flood, a newcomer's place comes within this
/// time for each full set of places that newcomers before it in the line need.
const PATIENCE: Duration = Duration::from_millis(100);

/// No connection has this number.
const AT_WORK: u64 = 0;

impl Places {
    pub(super) fn new(count: usize) -> Arc<Self> {
        let free = Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        Arc::new(Self { free, waiting: Mutex::default(), changed: Notify::new() })
    }

    /// A place for a connection that is there: a free one, or that of the connection that has waited longest for its
    /// client's word, or the first that becomes one of these. Safe to cancel.
    pub(super) async fn take(self: &Arc<Self>) -> Place {
        loop {
            if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
                return self.place(permit);
            }
            let freed = Arc::clone(&self.free).acquire_owned();
            let permit = match self.send_one_away() {
                Way::Freed => Some(freed.await),
                Way::Later(then) => timeout_at(then, freed).await.ok(),
                Way::Blocked => tokio::select! {
                    permit = freed => Some(permit),
                    () = self.changed.notified() => None,
                },
            };
            if let Some(permit) = permit {
                return self.place(permit.expect("it is never closed"));
            }
        }
    }

    fn place(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Place {
        let (number, lost) = (AtomicU64::new(AT_WORK), CancellationToken::new());
        let place = Place { places: Arc::clone(self), number, lost, _permit: permit };
        place.wait();
        place
    }

    /// Tells the one that has waited longest, if that is long; its place is free when it has gone.
    fn send_one_away(&self) -> Way {
        let mut waiting = self.waiting();
        let Some(longest) = waiting.connections.first_entry() else { return Way::Blocked };
        let then = longest.get().since + PATIENCE;
        if Instant::now() < then {
            return Way::Later(then);
        }
        longest.remove().lost.cancel();
        Way::Freed
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Nothing is at work any more: from now on the connection waits for its client, behind those that do already.
    pub(super) fn wait(&self) {
        let mut waiting = self.places.waiting();
        waiting.connections.remove(&self.number.load(Ordering::Relaxed));
        waiting.last += 1;
        let number = waiting.last;
        waiting.connections.insert(number, Connection { since: Instant::now(), lost: self.lost.clone() });
        self.number.store(number, Ordering::Relaxed);
        drop(waiting);
        self.places.changed.notify_one();
    }

    /// A request is complete enough to be worked on: nobody takes the place now. `false`: somebody has, a moment ago.
    #[must_use]
    pub(super) fn work(&self) -> bool {
        let number = self.number.swap(AT_WORK, Ordering::Relaxed);
        number == AT_WORK || self.places.waiting().connections.remove(&number).is_some()
    }

    /// Completes when a new connection needs the place; then this one is to end at once.
    pub(super) async fn lost(&self) {
        self.lost.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.waiting().connections.remove(&self.number.load(Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::time::{advance, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_one_that_has_waited_longest_goes_first_and_one_at_work_never() {
        let places = Places::new(3);
        let (first, second, third) = (places.take().await, places.take().await, places.take().await);
        assert!(first.work());
        first.wait();
        assert!(second.work());
        advance(PATIENCE).await;
        let mut newcomer = Box::pin(places.take());
        assert!((&mut newcomer).now_or_never().is_none());
        assert!(third.lost.is_cancelled() && !first.lost.is_cancelled() && !second.lost.is_cancelled());
        // It is too late for it: what it wants now is not begun.
        assert!(!third.work());
        drop(third);
        let newcomer = newcomer.await;
        assert!(newcomer.work());
        // Nobody is sent away for one that has a place already.
        assert!(!first.lost.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_just_come_is_given_the_time_to_ask() {
        let places = Places::new(1);
        let only = places.take().await;
        let asks = async {
            sleep(PATIENCE / 2).await;
            assert!(only.work());
            sleep(PATIENCE * 10).await;
            only.wait();
            let waits = Instant::now();
            only.lost().await;
            assert!(waits.elapsed() >= PATIENCE);
            drop(only);
        };
        tokio::join!(asks, places.take());
    }

    #[tokio::test(start_paused = true)]
    async fn where_all_are_at_work_a_new_one_waits_for_the_first_that_is_not() {
        let places = Places::new(2);
        let (one, other) = (places.take().await, places.take().await);
        assert!(one.work() && other.work());
        let ends = async {
            sleep(PATIENCE * 10).await;
            assert!(!one.lost.is_cancelled() && !other.lost.is_cancelled());
            other.wait();
            other.lost().await;
            drop(other);
        };
        tokio::join!(ends, places.take());
        assert!(!one.lost.is_cancelled());
    }

    #[tokio::test]
    async fn what_is_dropped_leaves_nothing_behind() {
        let places = Places::new(2);
        let place = places.take().await;
        place.wait();
        place.wait();
        assert_eq!(places.waiting().connections.len(), 1);
        drop(place);
        assert!(places.waiting().connections.is_empty());
        assert_eq!(places.free.available_permits(), 2);
    }
}
