//! What is under way on a connection: a request, its answer, or nothing.

use std::any::Any;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::places::Place;

/// Shared by a connection's socket, its requests and their answers.
#[derive(Debug)]
pub(super) struct Exchange {
    place: Place,
    /// Until when the answer under way must have been taken.
    until: Mutex<Option<Instant>>,
    /// The whole answer waits to be sent, or is.
    answered: AtomicBool,
    /// A request has come.
    asked: AtomicBool,
    /// What lasts as long as the request at work and its answer.
    held: Mutex<Held>,
}

/// Dropped when the answer is taken.
type Held = Option<Box<dyn Any + Send>>;

impl Exchange {
    pub(super) fn new(place: Place) -> Self {
        let flag = || AtomicBool::new(false);
        Self { place, until: Mutex::default(), answered: flag(), asked: flag(), held: Mutex::default() }
    }

    /// A request's head is complete; its answer may take so long. `false`: the connection is ending, and nothing of it is
    /// to be begun.
    #[must_use]
    pub(super) fn begin(&self, time: Duration) -> bool {
        self.asked.store(true, Ordering::Relaxed);
        self.answered.store(false, Ordering::Relaxed);
        self.allow(time);
        self.hold(None);
        self.place.work()
    }

    /// Keeps this until the answer is taken, in place of what was kept before.
    pub(super) fn hold(&self, held: Held) {
        let before = mem::replace(&mut *self.held.lock().unwrap_or_else(PoisonError::into_inner), held);
        // No longer under the lock: what is dropped may take one of its own.
        drop(before);
    }

    /// The whole answer is on its way; the client may take so long for the rest.
    pub(super) fn answered(&self, time: Duration) {
        self.answered.store(true, Ordering::Relaxed);
        self.allow(time);
    }

    /// Nothing waits to be sent.
    pub(super) fn flushed(&self) {
        if self.answered.swap(false, Ordering::Relaxed) {
            self.hold(None);
            self.place.wait();
        }
    }

    /// What the connection is still open for is its client's matter alone.
    pub(super) fn over(&self) {
        self.answered.store(false, Ordering::Relaxed);
        self.hold(None);
        self.place.wait();
    }

    /// Whether there ever was a request.
    pub(super) fn was_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// See [`Place::lost`].
    pub(super) async fn lost(&self) {
        self.place.lost().await;
    }

    /// From now on, so long.
    fn allow(&self, time: Duration) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + time);
    }

    /// Until when the answer under way must have been taken, if there is one.
    pub(super) fn until(&self) -> Option<Instant> {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
