//! Reading a run's events: from where one was, without loss or repeat, live to the end.
//!
//! At the tail a follower reads the ring of the run's [`RunLog`]; further behind, or for a run that is not in the hands of
//! this server, the store. It holds nothing but its place, so a thousand that are slow cost a thousand numbers.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, watch};
use tokio::time::sleep;

use super::log::{Closed, Delta, Look, RunLog};
use super::readers::{ReaderKind, Reading};
use super::submit::Runs;
use super::{RunId, RunState, event};
use crate::metrics::kinds::Counter;
use crate::store::StoreError;
use crate::store::chunk::{Chunk, EventRef};
use crate::store::runs::RunRow;

/// How often a run that is in the hands of another server is looked at.
const POLL: Duration = Duration::from_millis(500);

/// One reader of a run's events.
#[derive(Debug)]
pub struct Follower {
    runs: Runs,
    run: RunId,
    after: u64,
    /// The first number of the chunk that comes next, where it is known.
    chunk: Option<u64>,
    source: Source,
    deltas: Option<Deltas>,
    ended: bool,
    /// Whether a client waits for what it gives.
    reading: Option<Reading>,
}

#[derive(Debug)]
enum Source {
    Live {
        log: Arc<RunLog>,
        stored: watch::Receiver<u64>,
    },
    Stored {
        /// The run's last number, once it is known to have ended.
        last: Option<u64>,
    },
}

/// What comes next.
#[derive(Debug)]
pub enum Next {
    /// Events in their order.
    Events(Batch),
    /// A partial message.
    Delta(Delta),
}

/// Some events of one chunk.
#[derive(Debug, Clone)]
pub struct Batch {
    chunk: Arc<Chunk>,
    after: u64,
    last: u64,
}

/// Why nothing more can be read, although the run has not ended.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// There is no such run.
    #[error("there is no run {0}")]
    Unknown(RunId),
    /// The events are older than is kept.
    #[error("the events of this run are no longer kept (ASKD_EVENT_RETENTION)")]
    Expired,
    /// The number is one that the run has not reached.
    #[error("the run has no event {after} yet; its last one is {last}")]
    Beyond {
        /// The number.
        after: u64,
        /// The last one.
        last: u64,
    },
    /// The server stops; the run does not end with that.
    #[error("the server is shutting down; the run is kept, follow it at /v1/runs/{0}/events after the restart")]
    Interrupted(RunId),
    /// The server could not reach its store for so long that it had to let the run go.
    #[error(
        "the server had to let the run go, for it could not reach its store; /v1/runs/{0} tells what becomes of it"
    )]
    LetGo(RunId),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Batch {
    /// All of a chunk.
    pub fn whole(chunk: Arc<Chunk>) -> Self {
        let last = chunk.last_seq();
        Self { chunk, after: 0, last }
    }

    /// The events.
    pub fn events(&self) -> impl Iterator<Item = EventRef<'_>> {
        self.chunk.events_after(self.after).take_while(|event| event.seq <= self.last)
    }

    /// About how many bytes they have.
    pub fn size(&self) -> usize {
        self.chunk.size_of_part(self.after, self.last)
    }

    /// The event of this number, held for as long as the caller wants.
    pub fn keep(&self, seq: u64) -> KeptEvent {
        KeptEvent { chunk: Arc::clone(&self.chunk), seq }
    }
}

/// One event, with the chunk that it lies in.
#[derive(Debug, Clone)]
pub struct KeptEvent {
    chunk: Arc<Chunk>,
    seq: u64,
}

impl KeptEvent {
    /// Its content, in JSON.
    pub fn data(&self) -> &str {
        self.chunk.events_after(self.seq - 1).next().map_or("null", |event| event.data)
    }
}

impl Runs {
    /// Follows the events after number `after` (0: from the first).
    pub async fn follow(&self, run: RunId, after: u64) -> Result<Follower, FollowError> {
        let live = self.live(run);
        if let Some(live) = live.as_ref().filter(|live| after <= *live.log.stored().borrow()) {
            return Ok(self.follow_log(live.log(), after));
        }
        let row = self.shared().store.run(&run.to_string()).await?.ok_or(FollowError::Unknown(run))?;
        if row.events_expired {
            return Err(FollowError::Expired);
        }
        if after > row.last_seq {
            return Err(FollowError::Beyond { after, last: row.last_seq });
        }
        // The store has an event a moment before the log shows it, and whoever reads the row may know of it.
        if let Some(live) = live {
            return Ok(self.follow_log(live.log(), after));
        }
        let source = Source::Stored { last: has_ended(&row).then_some(row.last_seq) };
        Ok(self.follower(run, after, source))
    }

    pub(super) fn follow_log(&self, log: &Arc<RunLog>, after: u64) -> Follower {
        let source = Source::Live { log: Arc::clone(log), stored: log.stored() };
        self.follower(log.run(), after, source)
    }

    fn follower(&self, run: RunId, after: u64, source: Source) -> Follower {
        let chunk = (after == 0).then_some(1);
        Follower { runs: self.clone(), run, after, chunk, source, deltas: None, ended: false, reading: None }
    }
}

impl Follower {
    /// Asks for partial messages as well, from now on. They come only while the run is live here, and only if it was
    /// started with them.
    #[must_use]
    pub fn with_deltas(mut self) -> Self {
        if let Source::Live { log, .. } = &self.source {
            let dropped = self.runs.shared().metrics.deltas_dropped.clone();
            self.deltas = Some(Deltas { receiver: log.deltas(), held: None, dropped });
        }
        self
    }

    /// A client follows with it, in this way.
    #[must_use]
    pub fn read_as(mut self, kind: ReaderKind) -> Self {
        self.reading = Some(Reading::begin(&self.runs.shared().metrics, kind));
        self
    }

    /// The number of the last event that was given.
    pub fn after(&self) -> u64 {
        self.after
    }

    /// The next events, about `most` bytes of them, or one; `None` after the run's last. Safe to cancel.
    pub async fn next(&mut self, most: usize) -> Result<Option<Next>, FollowError> {
        if self.ended {
            return Ok(None);
        }
        loop {
            let chunk = match self.look().await? {
                Found::Chunk(chunk) => chunk,
                Found::Delta(delta) => return Ok(Some(Next::Delta(delta))),
                Found::End => return Ok(None),
                Found::Again => continue,
            };
            let last = chunk.end_of_part(self.after, most);
            let batch = Batch { after: self.after, last, chunk };
            self.after = last;
            if let (Some(reading), Source::Live { stored, .. }) = (&self.reading, &self.source) {
                reading.is_behind(stored.borrow().saturating_sub(last));
            }
            let at_its_end = last == batch.chunk.last_seq();
            self.chunk = Some(if at_its_end { last + 1 } else { batch.chunk.first_seq() });
            let event = batch.chunk.event_with(last);
            self.ended = event.is_some_and(|event| event::end_of(event.kind).is_some());
            return Ok(Some(Next::Events(batch)));
        }
    }

    /// [`Self::next`] for those who want events only.
    pub async fn next_events(&mut self, most: usize) -> Result<Option<Batch>, FollowError> {
        loop {
            match self.next(most).await? {
                Some(Next::Events(batch)) => return Ok(Some(batch)),
                Some(Next::Delta(_)) => {}
                None => return Ok(None),
            }
        }
    }

    async fn look(&mut self) -> Result<Found, FollowError> {
        let (log, stored) = match &mut self.source {
            Source::Live { log, stored } => (log, stored),
            Source::Stored { last: Some(last) } if self.after >= *last => return Ok(Found::End),
            Source::Stored { last: Some(_) } => return self.stored_chunk().await,
            Source::Stored { last: None } => return self.look_at_store().await,
        };
        // Before the look, so that what is stored after it is noticed by `changed`.
        stored.mark_unchanged();
        match log.look(self.after) {
            Look::Here(chunk) => Ok(Found::Chunk(chunk)),
            Look::Behind => self.stored_chunk().await,
            Look::Closed(Closed::Complete) => Ok(Found::End),
            Look::Closed(Closed::LetGo) => Err(self.let_go()),
            Look::Nothing => {
                tokio::select! {
                    biased;
                    // The log outlives its sender's use; an error means just another look.
                    _ = stored.changed() => Ok(Found::Again),
                    delta = next_delta(&mut self.deltas, self.after) => Ok(Found::Delta(delta)),
                }
            }
        }
    }

    fn let_go(&self) -> FollowError {
        let draining = self.runs.shared().lifecycle.draining().is_cancelled();
        if draining { FollowError::Interrupted(self.run) } else { FollowError::LetGo(self.run) }
    }

    /// A run that another server has, or that has just come from one to the other.
    async fn look_at_store(&mut self) -> Result<Found, FollowError> {
        let runs = &self.runs;
        let row = runs.shared().store.run(&self.run.to_string()).await?.ok_or(FollowError::Unknown(self.run))?;
        if row.events_expired {
            return Err(FollowError::Expired);
        }
        if has_ended(&row) {
            self.source = Source::Stored { last: Some(row.last_seq) };
            return Ok(Found::Again);
        }
        if row.last_seq > self.after {
            return self.stored_chunk().await;
        }
        tokio::select! {
            () = sleep(POLL) => {}
            () = runs.shared().lifecycle.stopping().cancelled() => return Err(FollowError::Interrupted(self.run)),
        }
        if let Some(live) = runs.live(self.run) {
            self.source = Source::Live { stored: live.log.stored(), log: Arc::clone(live.log()) };
        }
        Ok(Found::Again)
    }

    async fn stored_chunk(&self) -> Result<Found, FollowError> {
        self.runs.chunk_with(self.run, self.after + 1, self.chunk).await.map(Found::Chunk)
    }
}

fn has_ended(row: &RunRow) -> bool {
    RunState::from_word(&row.state).is_some_and(RunState::is_final)
}

enum Found {
    Chunk(Arc<Chunk>),
    Delta(Delta),
    End,
    Again,
}

/// Partial messages, in their place among the events.
#[derive(Debug)]
struct Deltas {
    receiver: broadcast::Receiver<Delta>,
    /// Received, but its turn is after events that are not stored yet.
    held: Option<Delta>,
    dropped: Counter,
}

impl Deltas {
    /// The next one that comes right after event `after`. One from before is out of date: the full message was given.
    /// Safe to cancel.
    async fn next(&mut self, after: u64) -> Option<Delta> {
        loop {
            match self.held.take() {
                Some(delta) if delta.after == after => return Some(delta),
                Some(delta) if delta.after > after => {
                    self.held = Some(delta);
                    return std::future::pending().await;
                }
                _ => {}
            }
            match self.receiver.recv().await {
                Ok(delta) => self.held = Some(delta),
                Err(broadcast::error::RecvError::Lagged(count)) => drop(self.dropped.inc_by(count)),
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

async fn next_delta(deltas: &mut Option<Deltas>, after: u64) -> Delta {
    if let Some(live) = deltas {
        if let Some(delta) = live.next(after).await {
            return delta;
        }
        *deltas = None;
    }
    std::future::pending().await
}
