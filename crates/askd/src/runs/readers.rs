//! Clients that follow runs, as metrics tell of them.

use crate::metrics::Metrics;
use crate::metrics::kinds::{Gauge, Histogram};

/// How a client follows a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReaderKind {
    /// By server-sent events of v1.
    Sse,
    /// By lines of JSON.
    Ndjson,
    /// By `/ask`, streamed or not.
    Ask,
    /// By waiting for the end.
    Wait,
}

impl ReaderKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Sse => "sse",
            Self::Ndjson => "ndjson",
            Self::Ask => "ask",
            Self::Wait => "wait",
        }
    }
}

/// One client that follows a run, until this is dropped.
#[derive(Debug)]
pub struct Reading {
    readers: Gauge,
    lag: Histogram,
}

impl Reading {
    /// Counts one more.
    pub fn begin(metrics: &Metrics, kind: ReaderKind) -> Self {
        let readers = metrics.readers.of([kind.as_str()]);
        readers.inc();
        Self { readers, lag: metrics.reader_lag.clone() }
    }

    /// It was given events, and so many more are stored.
    pub(super) fn is_behind(&self, events: u64) {
        #[expect(clippy::cast_precision_loss, reason = "no run has so many events")]
        self.lag.observe(events as f64);
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.readers.dec();
    }
}
