//! What an event changes in the run's row.

use claude::frame::Frame;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::super::event::EventBody;
use super::super::warning::Warning;
use super::super::{RunError, RunState};
use super::State;
use crate::store::append::RunPatch;
use crate::store::usage::Usage;

/// Notes it for the commit that stores the event.
pub(super) fn note(patch: &mut RunPatch, seq: u64, time_ms: i64, body: &EventBody) {
    match body {
        // Warnings: `State::keep_warning`.
        EventBody::Queued | EventBody::Warning(_) => {}
        EventBody::Turn { isolation } => {
            patch.isolation = Some(isolation.clone());
            patch.state = Some(RunState::Running.as_str());
            patch.started_at = Some(time_ms);
        }
        EventBody::Started { cli_version } => patch.cli_version = Some(cli_version.clone()),
        EventBody::Agent(frame) => {
            if is_answer(frame) {
                patch.answer_seq = Some(seq);
            }
            if frame.kind == "result" {
                patch.result_seq = Some(seq);
                patch.denials = Some(denials(frame));
            }
        }
        EventBody::Finished(finished) => {
            patch.state = Some(finished.state.as_str());
            patch.finished_at = Some(time_ms);
            patch.error = finished.error.as_ref().map(RunError::to_json);
        }
    }
}

impl State {
    /// Notes what the run has used so far, for the next commit.
    pub(super) fn keep_usage(&mut self, usage: &Usage) {
        self.patch.usage = Some(usage.to_json());
        self.patch.cost = Some(usage.sum().cost_micros);
    }
}

/// So many warnings, the first ones, stand in the run's row; all are among its events.
const MAX_WARNINGS: usize = 50;

/// How much of each text stands there, in characters.
const MAX_WARNING: usize = 1_000;

impl State {
    /// Adds a warning to those of the row. The list is written as a whole: it is short, and there are few.
    pub(super) fn keep_warning(&mut self, warning: &Warning) {
        if self.warnings.len() < MAX_WARNINGS {
            let message = warning.message.chars().take(MAX_WARNING).collect::<String>();
            self.warnings.push(Warning::new(warning.code, message));
            self.patch.warnings = serde_json::to_string(&self.warnings).ok();
        }
    }

    /// Puts what the row says before what came since.
    pub(super) fn recall_warnings(&mut self, stored: &str) {
        let mut warnings: Vec<Warning> = serde_json::from_str(stored).unwrap_or_default();
        let since = std::mem::take(&mut self.warnings);
        if !since.is_empty() {
            warnings.extend(since);
            warnings.truncate(MAX_WARNINGS);
            self.patch.warnings = serde_json::to_string(&warnings).ok();
        }
        self.warnings = warnings;
    }
}

/// Whether the model says something to its user with this message. Most messages are not read for that, since they come fast;
/// what is found in one may stand in the input of a tool.
fn is_answer(frame: &Frame) -> bool {
    #[derive(Deserialize)]
    struct Said<'a> {
        #[serde(borrow)]
        message: Message<'a>,
        parent_tool_use_id: Option<IgnoredAny>,
        #[serde(default)]
        is_api_error_message: bool,
    }
    #[derive(Deserialize)]
    struct Message<'a> {
        #[serde(borrow)]
        content: Vec<Block<'a>>,
    }
    #[derive(Deserialize)]
    struct Block<'a> {
        #[serde(borrow, rename = "type")]
        kind: &'a RawValue,
        #[serde(borrow)]
        text: Option<&'a RawValue>,
    }
    if frame.kind != "assistant" || !frame.as_str().contains(r#""type":"text""#) {
        return false;
    }
    let Ok(Said { message, parent_tool_use_id, is_api_error_message }) = serde_json::from_str(frame.as_str()) else {
        return false;
    };
    let says = |Block { kind, text }: &Block<'_>| {
        kind.get() == r#""text""# && text.is_some_and(|text| !matches!(text.get(), r#""""# | "null"))
    };
    parent_tool_use_id.is_none() && !is_api_error_message && message.content.iter().any(says)
}

/// How many calls of tools were denied, by a result.
fn denials(frame: &Frame) -> u64 {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Body {
        permission_denials: Vec<IgnoredAny>,
    }
    frame.body::<Body>().unwrap_or_default().permission_denials.len() as u64
}
