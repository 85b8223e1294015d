//! What an event changes in the run's row.

use claude::frame::Frame;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::super::event::EventBody;
use super::super::{RunError, RunState};
use crate::store::append::RunPatch;

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
                let Sums { denials, cost } = Sums::of(frame);
                patch.result_seq = Some(seq);
                patch.denials = Some(denials);
                patch.session_cost = cost.or(patch.session_cost);
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
    cost: Option<f64>,
}

impl Sums {
    fn of(frame: &Frame) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Body {
            permission_denials: Vec<IgnoredAny>,
            total_cost_usd: Option<f64>,
        }
        let body = frame.body::<Body>().unwrap_or_default();
        Self { denials: body.permission_denials.len() as u64, cost: body.total_cost_usd }
    }
}
