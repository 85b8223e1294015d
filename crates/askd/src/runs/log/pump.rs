//! Brings a log's pending events into the store, one commit after the other, and shows them to followers.
//!
//! While a commit is under way, the chunks that fill meanwhile are compressed, so that processors and disk work at the same
//! time. What fills no chunk yet is taken at the last moment: an event that comes during one commit is in the next.

use std::sync::Arc;

use super::noted::Noted;
use super::{Closed, RunLog, State};
use crate::metrics::Metrics;
use crate::store::append::{Append, Appended, RunPatch};
use crate::store::chunk::{Chunk, Effort};
use crate::store::usage::Receipt;
use crate::store::{Store, StoreError};

/// Up to so much that waits besides, in bytes, there is time to make a chunk small.
const SMALL: usize = 128 << 10;

/// With more than this, in bytes, the run writes faster than it can be compressed and stored.
const MUCH: usize = 512 << 10;

/// What goes into one commit.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) chunks: Vec<Chunk>,
    /// The stored form of as many of them, from the first.
    packed: Vec<Vec<u8>>,
    pub(super) patch: RunPatch,
    pub(super) noted: Noted,
    pub(super) last: bool,
}

/// Why a pump has ended.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::runs) enum Pumped {
    /// The run's last event is stored.
    Complete,
    /// The log was let go.
    LetGo,
    /// The run belongs to another server now: nothing may be written for it.
    Stale,
}

/// Runs until the log is complete or let go. Patient: a store that fails is tried again until it works.
pub(in crate::runs) async fn pump(log: &Arc<RunLog>, epoch: i64, store: &Store) -> Result<Pumped, StoreError> {
    // Whoever writes over a network, and through another process, pays more for a byte than for its compression.
    let hasty = if store.is_shared() { Effort::Less } else { Effort::Least };
    let mut ready = Batch::default();
    loop {
        let Some(mut batch) = log.next_batch(ready).await else { return Ok(Pumped::LetGo) };
        batch.pack(log.pending(), hasty);
        let Batch { chunks, packed, patch, noted, last } = batch;
        let receipt = Receipt::default();
        let sizes = Sizes::of(&chunks, &packed);
        ready = Batch::default();
        let log_bytes = chunks.iter().map(Chunk::size).sum::<usize>() as u64;
        let stored = chunks.iter().zip(packed).map(|(chunk, bytes)| (chunk.first_seq(), chunk.last_seq(), bytes));
        let chunks_to_store = stored.collect();
        let run_id = log.run.to_string();
        let append = Append { run_id, epoch, chunks: chunks_to_store, log_bytes, patch, receipt: receipt.clone() };
        // Boxed, for whoever awaits this in a future of their own.
        let mut commit = Box::pin(store.write_patiently(append));
        let stored = loop {
            tokio::select! {
                biased;
                stored = &mut commit => break stored,
                chunk = log.next_full() => ready.add(chunk, log.pending(), hasty),
            }
        };
        match stored {
            Ok(Appended::Stored) => {
                // Before anybody sees the run's end: who asks after that finds it counted.
                noted.count(receipt.take(), store.metrics());
                sizes.count(store.metrics());
                log.show(chunks);
            }
            Ok(Appended::Stale) => {
                log.let_go();
                return Ok(Pumped::Stale);
            }
            Err(error) => {
                log.let_go();
                return Err(error);
            }
        }
        if last {
            log.close(Closed::Complete);
            return Ok(Pumped::Complete);
        }
    }
}

/// How large the chunks of a commit are, for metrics.
struct Sizes {
    raw: Vec<usize>,
    stored: usize,
}

impl Sizes {
    fn of(chunks: &[Chunk], packed: &[Vec<u8>]) -> Self {
        Self { raw: chunks.iter().map(Chunk::size).collect(), stored: packed.iter().map(Vec::len).sum() }
    }

    fn count(&self, metrics: &Metrics) {
        for raw in &self.raw {
            #[expect(clippy::cast_precision_loss, reason = "a chunk is far smaller")]
            metrics.store_chunk.observe(*raw as f64);
        }
        metrics.store_events.of(["raw"]).inc_by(self.raw.iter().sum::<usize>() as u64);
        metrics.store_events.of(["stored"]).inc_by(self.stored as u64);
    }
}

/// How much is done to make a chunk small while so many other bytes of its run wait.
fn effort(others: usize, hasty: Effort) -> Effort {
    if others <= SMALL {
        Effort::Most
    } else if others <= MUCH {
        Effort::Less
    } else {
        hasty
    }
}

impl Batch {
    /// Adds a chunk and makes it ready, for a run of which so many bytes wait.
    pub(super) fn add(&mut self, chunk: Chunk, pending: usize, hasty: Effort) {
        self.chunks.push(chunk);
        self.pack(pending, hasty);
    }

    /// Makes ready what is not.
    fn pack(&mut self, pending: usize, hasty: Effort) {
        for chunk in &self.chunks[self.packed.len()..] {
            let effort = effort(pending.saturating_sub(chunk.size()), hasty);
            self.packed.push(chunk.compress_with(effort));
        }
    }
}

impl RunLog {
    /// Waits for events, and adds them to what is ready; `None` when the log was let go.
    pub(super) async fn next_batch(&self, ready: Batch) -> Option<Batch> {
        let mut batch = ready;
        loop {
            {
                let mut state = self.lock();
                if state.closed.is_some() {
                    return None;
                }
                state.fill(&mut batch);
            }
            if !batch.chunks.is_empty() || !batch.patch.is_empty() {
                return Some(batch);
            }
            self.appended.notified().await;
        }
    }

    /// Waits for a full chunk. Safe to cancel.
    pub(super) async fn next_full(&self) -> Chunk {
        loop {
            if let Some(chunk) = self.lock().full.pop_front() {
                return chunk;
            }
            self.filled.notified().await;
        }
    }

    /// Bytes that wait to be stored, or are being stored.
    pub(super) fn pending(&self) -> usize {
        self.lock().pending
    }

    /// Lets followers see what is stored.
    pub(super) fn show(&self, chunks: Vec<Chunk>) {
        let mut state = self.lock();
        for chunk in chunks {
            state.keep(chunk, self.capacity.ring);
        }
        let stored = state.stored;
        drop(state);
        self.stored.send_replace(stored);
        self.drained.notify_one();
    }
}

impl State {
    /// Adds all that is pending, unless the batch has something already and much more is still to be compressed: then the
    /// store is to have work meanwhile. What changes in the run's row goes with the events that say so,
    /// unless it is due.
    fn fill(&mut self, batch: &mut Batch) {
        if !batch.chunks.is_empty() && self.full.len() > 1 {
            return;
        }
        self.seal();
        batch.chunks.extend(self.full.drain(..));
        if !batch.chunks.is_empty() || std::mem::take(&mut self.is_due) {
            self.is_due = false;
            batch.patch = std::mem::take(&mut self.patch);
            batch.noted.add(std::mem::take(&mut self.noted));
            batch.last = self.ended;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_the_store_cannot_keep_up_with_is_compressed_less() {
        let table = [
            (0, Effort::Most, Effort::Most),
            (SMALL + 1, Effort::Less, Effort::Less),
            (MUCH + 1, Effort::Least, Effort::Less),
        ];
        for (others, on_sqlite, on_postgres) in table {
            assert_eq!(effort(others, Effort::Least), on_sqlite, "{others}");
            assert_eq!(effort(others, Effort::Less), on_postgres, "{others}");
        }
    }
}
