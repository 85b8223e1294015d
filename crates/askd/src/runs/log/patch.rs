//! What an event changes in the run's row.

use claude::frame::Frame;
use claude::usage::model_costs;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::super::event::EventBody;
use super::super::{RunError, RunState};
use crate::store::append::RunPatch;
use crate::usd::Usd;

/// Notes it for the commit that stores the event.
pub(super) fn note(patch: &mut RunPatch, seq: u64, time_ms: i64, body: &EventBody) {
    match body {
        EventBody::Queued | EventBody::Warning(_) => {}
        EventBody::Turn { isolation } => {
            patch.isolation = Some(isolation.clone());
            patch.state = Some(RunState::Running.as_str());
            patch.started_at = Some(time_ms);
        }
        EventBody::Started { cli_version } => patch.cli_version = Some(cli_version.clone()),
        EventBody::Agent(frame) => {
            if frame.kind == "result" {
                let Sums { denials, session_cost, cost } = Sums::of(frame);
                patch.result_seq = Some(seq);
                patch.denials = Some(denials);
                patch.session_cost = session_cost.or(patch.session_cost);
                patch.cost_more = match (patch.cost_more, cost) {
                    (before, None) => before,
                    (before, Some(cost)) => Some(before.unwrap_or(0).saturating_add(cost.micros())),
                };
            }
        }
        EventBody::Finished(finished) => {
            patch.state = Some(finished.state.as_str());
            patch.finished_at = Some(time_ms);
            patch.error = finished.error.as_ref().map(RunError::to_json);
        }
    }
}

/// What of a result is kept in the rows of the run and of its session. The answer itself may be long.
struct Sums {
    denials: u64,
    session_cost: Option<f64>,
    /// Since the result before.
    cost: Option<Usd>,
}

impl Sums {
    fn of(frame: &Frame) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Body {
            permission_denials: Vec<IgnoredAny>,
            total_cost_usd: Option<f64>,
            #[serde(deserialize_with = "model_costs")]
            model_usage_since_last_result: Option<f64>,
        }
        let body = frame.body::<Body>().unwrap_or_default();
        let denials = body.permission_denials.len() as u64;
        let cost = body.model_usage_since_last_result.and_then(Usd::from_dollars);
        Self { denials, session_cost: body.total_cost_usd, cost }
    }
}
