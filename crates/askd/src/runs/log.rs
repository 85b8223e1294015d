//! The event log of one run: one writer, any number of followers, bounded in bytes.
//!
//! Events stay in a ring until every follower has taken them. When the ring is full of events that a follower still
//! needs, [`RunLog::append`] waits, the worker stops reading the child's pipe, and the child pauses: a slow reader
//! costs its own run and nothing else. Without followers the oldest events are dropped.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::{Notify, watch};

use super::event::{Event, EventBody};

/// See the module.
#[derive(Debug)]
pub struct RunLog {
    // A std mutex: it is held for a few instructions and never across an await.
    ring: Mutex<Ring>,
    capacity: usize,
    /// Followers wait for a change of this count. A watch loses no wake-up between look and wait.
    appended: watch::Sender<u64>,
    /// The single writer waits for this; a stored permit makes a wake-up before the wait count.
    drained: Notify,
}

#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Event>,
    bytes: usize,
    last_seq: u64,
    closed: bool,
    /// The next number that each follower wants.
    wanted: HashMap<u64, u64>,
    next_follower: u64,
}

/// The events asked for are no longer in memory.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the events after {after} are no longer kept; the oldest is {oldest}")]
pub struct Evicted {
    after: u64,
    oldest: u64,
}

impl RunLog {
    /// An empty log that holds about `capacity` bytes of events.
    pub fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self { ring: Mutex::default(), capacity, appended: watch::Sender::new(0), drained: Notify::new() })
    }

    /// Appends an event as soon as the slowest follower leaves room for it. Safe to cancel: then nothing is appended.
    pub async fn append(&self, time: Timestamp, body: EventBody) {
        let size = body.size();
        loop {
            let room = self.lock().make_room(size, self.capacity);
            if room {
                return self.append_now(time, body);
            }
            self.drained.notified().await;
        }
    }

    /// Appends a small event at once, whatever room there is. An end closes the log.
    pub fn append_now(&self, time: Timestamp, body: EventBody) {
        let mut ring = self.lock();
        if ring.closed {
            return;
        }
        ring.closed = matches!(body, EventBody::Finished(_));
        ring.bytes += body.size();
        ring.last_seq += 1;
        let event = Event { seq: ring.last_seq, time, body: Arc::new(body) };
        ring.events.push_back(event);
        let last = ring.last_seq;
        drop(ring);
        self.appended.send_replace(last);
    }

    /// Follows the events after number `after` (0: from the first), live to the end.
    pub fn follow(self: &Arc<Self>, after: u64) -> Result<Follower, Evicted> {
        let mut ring = self.lock();
        let oldest = ring.events.front().map_or(ring.last_seq + 1, |event| event.seq);
        if after + 1 < oldest {
            return Err(Evicted { after, oldest });
        }
        Ok(self.register(&mut ring, after + 1))
    }

    /// Follows a log to which nothing was appended yet.
    pub fn follow_from_start(self: &Arc<Self>) -> Follower {
        self.register(&mut self.lock(), 1)
    }

    fn register(self: &Arc<Self>, ring: &mut Ring, wanted: u64) -> Follower {
        let id = ring.next_follower;
        ring.next_follower += 1;
        ring.wanted.insert(id, wanted);
        Follower { log: Arc::clone(self), id, appended: self.appended.subscribe() }
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        // No code that can panic runs under the lock.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    /// Drops what every follower has taken, as far as needed; whether `size` bytes fit then. An event larger than the
    /// whole ring fits when the ring is empty.
    fn make_room(&mut self, size: usize, capacity: usize) -> bool {
        let needed_from = self.wanted.values().copied().min().unwrap_or(u64::MAX);
        while self.bytes + size > capacity {
            match self.events.front() {
                Some(event) if event.seq < needed_from => {
                    self.bytes -= event.body.size();
                    self.events.pop_front();
                }
                Some(_) => return false,
                None => return true,
            }
        }
        true
    }

    fn take(&mut self, follower: u64) -> Option<Event> {
        let wanted = *self.wanted.get(&follower)?;
        let first = self.events.front()?.seq;
        let index = usize::try_from(wanted.checked_sub(first)?).ok()?;
        let event = self.events.get(index)?.clone();
        self.wanted.insert(follower, wanted + 1);
        Some(event)
    }
}

/// One reader of a log.
#[derive(Debug)]
pub struct Follower {
    log: Arc<RunLog>,
    id: u64,
    appended: watch::Receiver<u64>,
}

impl Follower {
    /// The next event; `None` after the last one. Safe to cancel.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            // Before the look, so that an event appended after it is noticed by `changed`.
            self.appended.mark_unchanged();
            let (event, closed) = {
                let mut ring = self.log.lock();
                (ring.take(self.id), ring.closed)
            };
            if event.is_some() {
                self.log.drained.notify_one();
                return event;
            }
            if closed || self.appended.changed().await.is_err() {
                return None;
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.log.lock().wanted.remove(&self.id);
        self.log.drained.notify_one();
    }
}

#[cfg(test)]
mod tests;
