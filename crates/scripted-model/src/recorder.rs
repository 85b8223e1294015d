//! Keeps the newest requests, counts faults, and wakes whoever waits for a request.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::bill::Bills;
use crate::faults::FaultCounts;
use crate::record::{Arrival, Ending, RecordedRequest};
use crate::wire::Usage;

/// The newest requests, and who waits for them.
#[derive(Debug)]
pub(crate) struct Recorder {
    state: Mutex<State>,
    /// Changes with every arrival and every ending.
    changed: watch::Sender<()>,
    keep: usize,
    keep_bytes: usize,
}

#[derive(Debug, Default)]
struct State {
    requests: VecDeque<RecordedRequest>,
    bytes: usize,
    total: u64,
    faults: FaultCounts,
    bills: Bills,
}

impl Recorder {
    pub(crate) fn new(keep: usize, keep_bytes: usize) -> Self {
        Self { state: Mutex::default(), changed: watch::Sender::new(()), keep, keep_bytes }
    }

    pub(crate) fn add(&self, arrival: Arrival) -> RecordedRequest {
        let mut state = self.lock();
        state.total += 1;
        let request = RecordedRequest::new(state.total, arrival);
        state.bytes += request.raw_body().len();
        state.requests.push_back(request.clone());
        while state.requests.len() > self.keep || (state.bytes > self.keep_bytes && state.requests.len() > 1) {
            if let Some(oldest) = state.requests.pop_front() {
                state.bytes -= oldest.raw_body().len();
            }
        }
        drop(state);
        self.changed.send_replace(());
        request
    }

    pub(crate) fn end(&self, request: &RecordedRequest, ending: Ending) {
        if request.set_ending(ending) {
            self.changed.send_replace(());
        }
    }

    pub(crate) fn requests(&self) -> Vec<RecordedRequest> {
        self.lock().requests.iter().cloned().collect()
    }

    pub(crate) fn with_faults<T>(&self, use_them: impl FnOnce(&mut FaultCounts) -> T) -> T {
        use_them(&mut self.lock().faults)
    }

    pub(crate) fn bill(&self, model: &str, usage: &Usage) {
        self.lock().bills.entry(model.to_owned()).or_default().add(usage);
    }

    pub(crate) fn bills(&self) -> Bills {
        self.lock().bills.clone()
    }

    /// Forgets the requests, the faults' strikes and the bill; numbers go on.
    pub(crate) fn clear(&self) {
        let mut state = self.lock();
        state.requests.clear();
        state.bytes = 0;
        state.faults = FaultCounts::default();
        state.bills.clear();
    }

    pub(crate) async fn wait_for(
        &self,
        matches: impl Fn(&RecordedRequest) -> bool,
        timeout: Duration,
    ) -> Option<RecordedRequest> {
        // Subscribed before the first look, so no arrival falls between looking and waiting.
        let mut changed = self.changed.subscribe();
        let search = async {
            loop {
                if let Some(found) = self.requests().into_iter().find(&matches) {
                    return Some(found);
                }
                changed.changed().await.ok()?;
            }
        };
        tokio::time::timeout(timeout, search).await.ok().flatten()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
