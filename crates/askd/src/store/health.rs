//! Whether the store works, cheap to ask.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::error::{Failure, FailureKind};
use crate::metrics::Metrics;

/// A batch that takes longer is worth a word.
pub(super) const SLOW: Duration = Duration::from_secs(2);

/// A lock that another holds may be given back in a moment; so many refusals in a row are a failure.
const BUSY_IS_A_FAILURE: u32 = 2;

/// How the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// The last commit succeeded, or nothing has been asked of it.
    Working,
    /// It does not take commits.
    Failing {
        /// Since when.
        since: Instant,
        /// Why.
        problem: Problem,
        /// The database's word on it, for the operator.
        message: String,
    },
    /// The commit at hand takes long.
    Slow {
        /// How long so far.
        lasting: Duration,
    },
}

/// Why a store fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The disk is full.
    Full,
    /// It does not answer, or another process holds it.
    Unavailable,
}

/// What the writer notes.
#[derive(Debug, Default)]
pub(super) struct Monitor {
    state: Mutex<State>,
    commits: AtomicU64,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct State {
    busy_since: Option<Instant>,
    refusals: u32,
    failing: Option<(Instant, Problem, String)>,
}

impl Monitor {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self { state: Mutex::default(), commits: AtomicU64::default(), metrics }
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(super) fn health(&self) -> Health {
        let state = self.lock();
        if let Some((since, problem, message)) = &state.failing {
            return Health::Failing { since: *since, problem: *problem, message: message.clone() };
        }
        match state.busy_since.map(|since| since.elapsed()) {
            Some(lasting) if lasting > SLOW => Health::Slow { lasting },
            _ => Health::Working,
        }
    }

    /// Commits so far.
    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    pub(super) fn is_failing(&self) -> bool {
        self.lock().failing.is_some()
    }

    /// A batch with a mistake in it was not committed; each of it is tried again alone, and only what fails then counts.
    pub(super) fn parted(&self) {
        self.lock().busy_since = None;
    }

    pub(super) fn begin(&self) {
        self.lock().busy_since = Some(Instant::now());
    }

    /// A batch was committed, or did nothing wrong to the store.
    pub(super) fn committed(&self) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        let mut state = self.lock();
        let lasted = state.busy_since.take().map(|since| since.elapsed());
        state.refusals = 0;
        let failing = state.failing.take();
        drop(state);
        if let Some(lasted) = lasted {
            self.metrics.store_commit.observe(lasted.as_secs_f64());
        }
        if let Some((since, ..)) = failing {
            tracing::info!(failed_ms = millis(since.elapsed()), "the store works again");
        } else if let Some(lasted) = lasted.filter(|lasted| *lasted > SLOW) {
            tracing::warn!(took_ms = millis(lasted), "a commit took long");
        }
    }

    /// A batch was not committed, and its callers hear of it.
    pub(super) fn failed(&self, failure: &Failure) {
        self.metrics.store_failures.of([failure.kind.as_str()]).inc();
        let mut state = self.lock();
        state.busy_since = None;
        let problem = match failure.kind {
            FailureKind::Mistake => return,
            FailureKind::Full => Problem::Full,
            FailureKind::Unavailable => Problem::Unavailable,
            FailureKind::Busy => {
                state.refusals += 1;
                if state.refusals < BUSY_IS_A_FAILURE {
                    return;
                }
                Problem::Unavailable
            }
        };
        let since = state.failing.as_ref().map(|(since, ..)| *since);
        let changed = state.failing.as_ref().is_none_or(|(_, before, _)| *before != problem);
        state.failing = Some((since.unwrap_or_else(Instant::now), problem, failure.message.clone()));
        drop(state);
        if changed {
            let problem = failure.kind.as_str();
            tracing::error!(problem, error = failure.message, "the store does not take commits; runs wait for it");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(kind: FailureKind) -> Failure {
        Failure { kind, message: "a word".to_owned() }
    }

    #[test]
    fn a_store_fails_until_a_commit_succeeds() {
        let monitor = Monitor::default();
        assert_eq!(monitor.health(), Health::Working);
        monitor.failed(&failure(FailureKind::Mistake));
        assert_eq!(monitor.health(), Health::Working);
        monitor.failed(&failure(FailureKind::Full));
        assert!(matches!(monitor.health(), Health::Failing { problem: Problem::Full, .. }));
        monitor.committed();
        assert_eq!((monitor.health(), monitor.commits()), (Health::Working, 1));
    }

    #[test]
    fn one_lock_of_another_is_no_failure_and_two_in_a_row_are() {
        let monitor = Monitor::default();
        monitor.failed(&failure(FailureKind::Busy));
        assert_eq!(monitor.health(), Health::Working);
        monitor.failed(&failure(FailureKind::Busy));
        assert!(matches!(monitor.health(), Health::Failing { problem: Problem::Unavailable, .. }));
    }
}
