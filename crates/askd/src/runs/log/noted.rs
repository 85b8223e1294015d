//! What metrics tell of events: counted when a commit has stored them, so that what was counted is what readers can see, and
//! each once.

use std::time::Duration;

use super::super::event::EventBody;
use super::super::warning::WarningCode;
use super::super::{RunErrorKind, RunState};
use crate::metrics::Metrics;
use crate::metrics::money::Money;
use crate::store::usage::Settled;

/// What is to be counted with the next commit.
#[derive(Debug, Default)]
pub(super) struct Noted {
    /// From the run's turn to the first message of its CLI.
    first_event: Option<Duration>,
    warnings: Vec<WarningCode>,
    end: Option<(i64, RunState, Option<RunErrorKind>)>,
}

/// What is known of a run from one event to the next.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// When it had its turn, for as long as its CLI has said nothing; in milliseconds since 1970.
    turn: Option<i64>,
    /// The provider was asked again: told at once, and with the end how often.
    is_retried: bool,
}

impl Noted {
    /// Notes an event.
    pub(super) fn note(&mut self, known: &mut Known, time_ms: i64, body: &EventBody) {
        match body {
            EventBody::Queued | EventBody::Started { .. } => {}
            EventBody::Turn { .. } => known.turn = Some(time_ms),
            EventBody::Agent(_) => {
                if let Some(turn) = known.turn.take() {
                    self.first_event = Some(between(turn, time_ms));
                }
            }
            EventBody::Warning(warning) => {
                let is_retry = warning.code == WarningCode::UpstreamRetried;
                if !(is_retry && known.is_retried) {
                    self.warnings.push(warning.code);
                }
                known.is_retried |= is_retry;
            }
            EventBody::Finished(end) => {
                self.end = Some((time_ms, end.state, end.error.as_ref().map(|error| error.kind)));
            }
        }
    }

    /// Adds what came since.
    pub(super) fn add(&mut self, later: Self) {
        self.first_event = self.first_event.or(later.first_event);
        self.warnings.extend(later.warnings);
        self.end = self.end.or(later.end);
    }

    /// Counts it. `settled` is what the commit has counted itself, for a run that has ended.
    pub(super) fn count(self, settled: Option<Settled>, metrics: &Metrics) {
        if let Some(took) = self.first_event {
            metrics.run_first_event.observe(took.as_secs_f64());
        }
        for code in self.warnings {
            metrics.run_warnings.of([code.as_str()]).inc();
        }
        let (Some((ended_at, state, reason)), Some(settled)) = (self.end, settled) else { return };
        metrics.runs_ended.of([state.as_str(), reason.map_or("none", RunErrorKind::as_str)]).inc();
        // Of a run that was lost nobody knows when.
        if let Some(started_at) = settled.started_at.filter(|_| state != RunState::Lost) {
            metrics.run_duration.of([state.as_str()]).observe(between(started_at, ended_at).as_secs_f64());
        }
        count_usage(&settled, metrics);
    }
}

fn count_usage(settled: &Settled, metrics: &Metrics) {
    if settled.models.is_empty() {
        return;
    }
    let key = metrics.key(&settled.key_id);
    for (model, used) in &settled.models {
        let model = metrics.model(model);
        for (kind, tokens) in [
            ("input", used.input_tokens),
            ("output", used.output_tokens),
            ("cache_read", used.cache_read_input_tokens),
            ("cache_write", used.cache_creation_input_tokens),
        ] {
            if tokens > 0 {
                metrics.tokens.of([model.clone(), key.clone(), kind.into()]).inc_by(tokens);
            }
        }
        if used.web_search_requests > 0 {
            metrics.web_searches.of([model.clone(), key.clone()]).inc_by(used.web_search_requests);
        }
        if used.cost_micros > 0 {
            metrics.cost.of([model, key.clone()]).inc_by(Money(used.cost_micros));
        }
    }
}

/// The clock may have been set back meanwhile.
fn between(since_ms: i64, until_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(until_ms.saturating_sub(since_ms)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::super::super::warning::Warning;
    use super::*;

    #[test]
    fn a_provider_that_was_asked_again_counts_once_a_run_and_other_warnings_as_often_as_they_are_told() {
        let (metrics, mut known) = (Metrics::default(), Known::default());
        let told = [WarningCode::UpstreamRetried, WarningCode::Other, WarningCode::Other, WarningCode::UpstreamRetried];
        for code in told {
            // Each with a commit of its own.
            let mut noted = Noted::default();
            noted.note(&mut known, 0, &EventBody::Warning(Warning::new(code, "")));
            noted.count(None, &metrics);
        }
        let counted = |code: WarningCode| metrics.run_warnings.of([code.as_str()]).get();
        assert_eq!((counted(WarningCode::UpstreamRetried), counted(WarningCode::Other)), (1, 2));
    }
}
