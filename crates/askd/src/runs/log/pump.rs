//! Brings a log's pending events into the store, one commit after the other, and shows them to followers.

use std::sync::Arc;

use super::{Closed, RunLog, State};
use crate::store::append::{Append, Appended, RunPatch};
use crate::store::chunk::Chunk;
use crate::store::{Store, StoreError};

/// What goes into one commit: all that is pending, which [`super::Capacity`] bounds.
pub(super) struct Batch {
    pub(super) chunks: Vec<Chunk>,
    pub(super) patch: RunPatch,
    bytes: usize,
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
    loop {
        let Some(batch) = log.next_batch().await else { return Ok(Pumped::LetGo) };
        let Batch { chunks, patch, bytes, last } = batch;
        let stored = chunks.iter().map(|chunk| (chunk.first_seq(), chunk.last_seq(), chunk.compress())).collect();
        let append = Append { run_id: log.run.to_string(), epoch, chunks: stored, log_bytes: bytes as u64, patch };
        match store.write_patiently(append).await {
            Ok(Appended::Stored) => log.show(chunks),
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

impl RunLog {
    /// Waits for events; `None` when the log was let go.
    pub(super) async fn next_batch(&self) -> Option<Batch> {
        loop {
            {
                let mut state = self.lock();
                if state.closed.is_some() {
                    return None;
                }
                if let Some(batch) = state.take_batch() {
                    return Some(batch);
                }
            }
            self.appended.notified().await;
        }
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
    fn take_batch(&mut self) -> Option<Batch> {
        self.seal();
        if self.full.is_empty() {
            return None;
        }
        let chunks: Vec<_> = self.full.drain(..).collect();
        let bytes = chunks.iter().map(Chunk::size).sum();
        Some(Batch { chunks, patch: std::mem::take(&mut self.patch), bytes, last: self.ended })
    }
}
