//! The event log of a run that is in the hands of this server: one writer, any number of followers.
//!
//! What the run's task appends waits, bounded in bytes, until the store has it; only then followers see it. Then it stays
//! in a ring for those at the tail; who is further behind reads from the store ([`super::follow`]). So a reader, however
//! slow, costs its own socket and nothing else, and a store that stalls makes [`RunLog::append`] wait, which leaves the
//! child's pipe unread and pauses the CLI.
//!
//! All that a run tells goes through here, and here credentials are replaced in it (`out`).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use jiff::Timestamp;
use tokio::sync::{Notify, broadcast, watch};

use super::RunId;
use super::event::EventBody;
use super::redact::{DeltaRedactor, Redactor};
use super::traced::RunTrace;
use super::warning::Warning;
use crate::store::append::RunPatch;
use crate::store::budget::Charge;
use crate::store::chunk::{Chunk, ChunkBuilder};
use crate::store::usage::Usage;
use crate::traces::place::Place;
use crate::traces::span::Span;
use noted::{Known, Noted};

mod noted;
mod out;
mod patch;
pub(super) mod pump;

/// How many partial messages a follower may be behind; further ones are dropped for it, the full message follows.
const DELTAS_KEPT: usize = 256;
/// Larger ones are not passed on: nothing of the log depends on them.
const LARGEST_DELTA: usize = 64 * 1024;

/// How much is kept in memory, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Capacity {
    /// Events that wait to be stored.
    pub pending: usize,
    /// Stored events for those who read at the tail.
    pub ring: usize,
}

/// See the module.
#[derive(Debug)]
pub struct RunLog {
    run: RunId,
    capacity: Capacity,
    // A std mutex: it is held for a few instructions, or the copy of one line, and never across an await.
    state: Mutex<State>,
    /// Followers wait for a change. A watch loses no wake-up between look and wait.
    stored: watch::Sender<u64>,
    /// The pump waits for this; a stored permit makes a wake-up before the wait count.
    appended: Notify,
    /// The pump waits for this while it stores: a chunk is full.
    filled: Notify,
    /// The run's task waits for this when too much is pending.
    drained: Notify,
    deltas: broadcast::Sender<Delta>,
    /// Set before the CLI says anything.
    redactor: OnceLock<Redactor>,
    /// Held for one partial message.
    delta_redactor: Mutex<DeltaRedactor>,
    /// What is told here is seen in its spans.
    trace: OnceLock<Arc<RunTrace>>,
}

/// A partial message: it has no number and is not kept.
#[derive(Debug, Clone)]
pub struct Delta {
    /// The event that it comes after.
    pub after: u64,
    /// The CLI's message.
    pub data: Arc<str>,
}

/// How a log has ended for this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// With the run's last event.
    Complete,
    /// The run is no longer in the hands of this server: it stops with the run still queued, or another one has it.
    LetGo,
}

#[derive(Debug)]
struct State {
    last_seq: u64,
    /// Events that fill no chunk yet.
    open: ChunkBuilder,
    /// Full chunks.
    full: VecDeque<Chunk>,
    /// Bytes of both, and of what is being compressed or stored.
    pending: usize,
    /// What the next commit says of the run.
    patch: RunPatch,
    /// It is to be stored also if no event comes.
    is_due: bool,
    /// What the run is charged, for the commit that ends it.
    charge: Charge,
    /// What its row tells of warnings.
    warnings: Vec<Warning>,
    /// What metrics tell of it, with the next commit.
    noted: Noted,
    known: Known,
    /// The CLI has said something.
    spoken: bool,
    /// The last event was appended.
    ended: bool,
    ring: VecDeque<Arc<Chunk>>,
    ring_bytes: usize,
    stored: u64,
    closed: Option<Closed>,
}

/// What is there for a follower.
#[derive(Debug)]
pub(super) enum Look {
    /// The chunk that holds the next event.
    Here(Arc<Chunk>),
    /// The next event is in the store only.
    Behind,
    /// There is none yet.
    Nothing,
    /// There will be none.
    Closed(Closed),
}

impl RunLog {
    /// The log of a run whose events up to `last_seq` are in the store.
    pub fn new(run: RunId, last_seq: u64, capacity: Capacity) -> Arc<Self> {
        let state = State {
            last_seq,
            open: ChunkBuilder::new(last_seq + 1),
            full: VecDeque::new(),
            pending: 0,
            patch: RunPatch::default(),
            is_due: false,
            charge: Charge::default(),
            warnings: Vec::new(),
            noted: Noted::default(),
            known: Known::default(),
            spoken: false,
            ended: false,
            ring: VecDeque::new(),
            ring_bytes: 0,
            stored: last_seq,
            closed: None,
        };
        Arc::new(Self {
            run,
            capacity,
            state: Mutex::new(state),
            stored: watch::Sender::new(last_seq),
            appended: Notify::new(),
            filled: Notify::new(),
            drained: Notify::new(),
            deltas: broadcast::Sender::new(DELTAS_KEPT),
            redactor: OnceLock::new(),
            delta_redactor: Mutex::default(),
            trace: OnceLock::new(),
        })
    }

    /// From now on its spans tell of what is appended. To be called once, before anything is.
    pub(super) fn be_traced(&self, trace: Arc<RunTrace>) {
        let kept = self.trace.set(trace);
        debug_assert!(kept.is_ok(), "a log has one trace");
    }

    /// Begins a span for a step of askd's own.
    pub(super) fn step(&self, name: &'static str) -> Span {
        self.trace.get().map(|trace| trace.step(name)).unwrap_or_default()
    }

    /// Where the run stands in a trace.
    pub(super) fn place(&self) -> Option<&Place> {
        self.trace.get().and_then(|trace| trace.place())
    }

    /// The run.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// Appends an event as soon as the store has taken enough of what came before. Safe to cancel: then nothing is
    /// appended.
    pub async fn append(&self, time: Timestamp, body: EventBody) {
        let mut body = body;
        loop {
            // Before the look, so that room made after it is noticed.
            let drained = self.drained.notified();
            match self.try_append(time, body) {
                Ok(()) => return,
                Err(back) => body = back,
            }
            drained.await;
        }
    }

    /// Appends an event if there is room for it, else gives it back.
    pub fn try_append(&self, time: Timestamp, body: EventBody) -> Result<(), EventBody> {
        if !self.lock().has_room(self.capacity.pending) {
            return Err(body);
        }
        self.append_now(time, &body);
        Ok(())
    }

    /// Appends a small event at once, whatever waits. After the end it does nothing.
    pub fn append_now(&self, time: Timestamp, body: &EventBody) {
        // Before the lock: it may take a moment.
        let told = self.redacted(body);
        self.append_to(self.lock(), time, told.as_ref().unwrap_or(body));
    }

    fn append_to(&self, mut state: MutexGuard<'_, State>, time: Timestamp, body: &EventBody) {
        if state.ended || state.closed.is_some() {
            return;
        }
        state.ended = matches!(body, EventBody::Finished(_));
        state.push(time.as_millisecond(), &body.kind(), &body.data());
        let (seq, filled) = (state.last_seq, !state.full.is_empty());
        if matches!(body, EventBody::Agent(_)) && !std::mem::replace(&mut state.spoken, true) {
            state.patch.first_event_at = Some(time.as_millisecond());
        }
        if state.ended {
            state.patch.charge = state.charge;
        }
        if let EventBody::Warning(warning) = body {
            state.keep_warning(warning);
        }
        patch::note(&mut state.patch, seq, time.as_millisecond(), body);
        let State { noted, known, .. } = &mut *state;
        noted.note(known, time.as_millisecond(), body);
        drop(state);
        self.appended.notify_one();
        if filled {
            self.filled.notify_one();
        }
        if let Some(trace) = self.trace.get() {
            trace.observe(time, body);
        }
    }

    /// Notes what the run's row says of warnings from before a restart.
    pub fn recall_warnings(&self, stored: &str) {
        self.lock().recall_warnings(stored);
    }

    /// Notes what the run has used so far. The next event tells; `at_once`, nobody waits for one.
    pub fn note_usage(&self, usage: &Usage, at_once: bool) {
        let mut state = self.lock();
        if state.ended || state.closed.is_some() {
            return;
        }
        state.keep_usage(usage);
        state.is_due |= at_once;
        drop(state);
        if let Some(trace) = self.trace.get() {
            trace.used(usage);
        }
        if at_once {
            self.appended.notify_one();
        }
    }

    /// Notes what the run is charged. Its end tells.
    pub fn note_charge(&self, charge: Charge) {
        self.lock().charge = charge;
    }

    /// Passes a partial message to those who follow live.
    pub fn pass_delta(&self, data: &str) {
        // Also when nobody listens: who comes in the middle of a credential must not get the rest of it.
        let told = self.redacted_deltas(data);
        if self.deltas.receiver_count() > 0 {
            let after = self.lock().last_seq;
            for data in told.into_iter().filter(|data| data.len() <= LARGEST_DELTA) {
                // Nobody listening any more is no failure.
                drop(self.deltas.send(Delta { after, data: data.into() }));
            }
        }
    }

    /// Waits until everything that was appended so far is stored; `false` when it never will be. Safe to cancel.
    pub async fn all_stored(&self) -> bool {
        let mut stored = self.stored.subscribe();
        let last = self.lock().last_seq;
        let reached = stored.wait_for(|stored| *stored >= last || self.lock().closed.is_some()).await.is_ok();
        reached && self.lock().stored >= last
    }

    /// Waits until nothing more comes: the last event is stored, or the log was let go. Safe to cancel.
    pub async fn closed(&self) {
        // An error would mean that the log is gone.
        drop(self.stored.subscribe().wait_for(|_| self.lock().closed.is_some()).await);
    }

    /// Whether the last event was appended.
    pub fn has_ended(&self) -> bool {
        self.lock().ended
    }

    /// Waits until the log is let go. Safe to cancel.
    pub(super) async fn was_let_go(&self) {
        let mut stored = self.stored.subscribe();
        let let_go = stored.wait_for(|_| self.lock().closed == Some(Closed::LetGo)).await.is_ok();
        if !let_go {
            // The log is gone, and with it whoever could let go.
            std::future::pending::<()>().await;
        }
    }

    /// Ends the log without an end of the run. What is pending is dropped.
    pub fn let_go(&self) {
        self.close(Closed::LetGo);
    }

    pub(super) fn deltas(&self) -> broadcast::Receiver<Delta> {
        self.deltas.subscribe()
    }

    pub(super) fn stored(&self) -> watch::Receiver<u64> {
        self.stored.subscribe()
    }

    /// What there is after number `after`.
    pub(super) fn look(&self, after: u64) -> Look {
        let state = self.lock();
        if after >= state.stored {
            return state.closed.map_or(Look::Nothing, Look::Closed);
        }
        let index = state.ring.partition_point(|chunk| chunk.last_seq() <= after);
        match state.ring.get(index) {
            Some(chunk) if chunk.first_seq() <= after + 1 => Look::Here(Arc::clone(chunk)),
            _ => Look::Behind,
        }
    }

    fn close(&self, how: Closed) {
        let mut state = self.lock();
        state.closed.get_or_insert(how);
        if how == Closed::Complete {
            state.empty_ring();
        }
        let (stored, closed) = (state.stored, state.closed);
        drop(state);
        if closed == Some(Closed::Complete)
            && let Some(trace) = self.trace.get()
        {
            trace.close();
        }
        self.stored.send_replace(stored);
        self.appended.notify_one();
        self.drained.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// One event may pass the bound: it is not known how large the next one is, and it has to fit when nothing waits.
    fn has_room(&self, capacity: usize) -> bool {
        self.pending < capacity || self.closed.is_some()
    }

    fn push(&mut self, time: i64, kind: &str, data: &str) {
        if !self.open.fits(kind, data.len()) {
            self.seal();
            // Where one chunk was filled, the next one will be.
            self.open.expect_full();
        }
        let before = self.open.size();
        self.open.push(time, kind, data);
        self.pending += self.open.size() - before;
        self.last_seq += 1;
    }

    fn seal(&mut self) {
        let next = ChunkBuilder::new(self.last_seq + 1);
        let sealed = std::mem::replace(&mut self.open, next);
        if !sealed.is_empty() {
            self.full.push_back(sealed.finish());
        }
    }

    /// Nothing comes any more: who is behind reads from the store, and what is live need not stay for it. Those at the
    /// tail still wait for the newest chunk.
    fn empty_ring(&mut self) {
        let newest = self.ring.pop_back();
        self.ring = newest.into_iter().collect();
        self.ring_bytes = self.ring.iter().map(|chunk| chunk.size()).sum();
    }

    fn keep(&mut self, chunk: Chunk, capacity: usize) {
        self.stored = chunk.last_seq();
        self.pending = self.pending.saturating_sub(chunk.size());
        self.ring_bytes += chunk.size();
        self.ring.push_back(Arc::new(chunk));
        // The newest stays, however large: those at the tail wait for just that one.
        while self.ring_bytes > capacity && self.ring.len() > 1 {
            if let Some(oldest) = self.ring.pop_front() {
                self.ring_bytes -= oldest.size();
            }
        }
    }
}

#[cfg(test)]
mod tests;
