//! What happens in a run, in order, as it is logged: a kind, a time and JSON.
//!
//! `data` of an `agent.…` event is the CLI's message byte for byte. The kinds are an interface: `docs/reference/events.md`.

use std::borrow::Cow;

use claude::frame::Frame;
use serde_json::json;

use super::warning::Warning;
use super::{Finished, RunState};

/// The run was admitted and waits for its turn.
pub const QUEUED: &str = "run.queued";
/// The run's state has changed: it has its turn.
pub const STATE: &str = "run.state";
/// The CLI is ready and has been given the prompt.
pub const STARTED: &str = "run.started";
/// Something that a person wants to see, and that does not end the run.
pub const WARNING: &str = "run.warning";
/// What the kinds of the CLI's messages begin with.
pub const AGENT: &str = "agent.";
/// The CLI's answer. A run may have several; the last one counts.
pub const RESULT: &str = "agent.result";

/// What is to be logged.
#[derive(Debug)]
pub enum EventBody {
    /// See [`QUEUED`].
    Queued,
    /// See [`STATE`]. Stored before the CLI is started, so that after a crash nobody takes the run for one that waits.
    Turn {
        /// What confines the run, JSON. For its row; the event does not tell it.
        isolation: String,
    },
    /// See [`STARTED`].
    Started {
        /// The CLI's version.
        cli_version: String,
    },
    /// The CLI said something.
    Agent(Frame),
    /// See [`WARNING`].
    Warning(Warning),
    /// The end. Nothing comes after it.
    Finished(Box<Finished>),
}

impl EventBody {
    /// The event's type.
    pub fn kind(&self) -> Cow<'static, str> {
        match self {
            Self::Queued => QUEUED.into(),
            Self::Turn { .. } => STATE.into(),
            Self::Started { .. } => STARTED.into(),
            Self::Agent(frame) => agent_kind(&frame.kind),
            Self::Warning(_) => WARNING.into(),
            Self::Finished(finished) => finished.state.event().into(),
        }
    }

    /// The event's content, in JSON.
    pub fn data(&self) -> Cow<'_, str> {
        match self {
            Self::Queued => "{}".into(),
            Self::Turn { .. } => format!(r#"{{"state":"{}"}}"#, RunState::Running.as_str()).into(),
            Self::Started { cli_version } => json!({ "cli_version": cli_version }).to_string().into(),
            Self::Agent(frame) => frame.as_str().into(),
            Self::Warning(warning) => json!(warning).to_string().into(),
            Self::Finished(finished) => finished.to_json().into(),
        }
    }
}

/// Types are short words of the CLI; the few that come a thousand times a second need no allocation.
fn agent_kind(kind: &str) -> Cow<'static, str> {
    match kind {
        "assistant" => "agent.assistant".into(),
        "user" => "agent.user".into(),
        "system" => "agent.system".into(),
        "result" => RESULT.into(),
        // A type that is longer than any the CLI has is cut: it is stored with one byte of length.
        other => format!("{AGENT}{}", other.chars().take(50).collect::<String>()).into(),
    }
}

/// The end that an event of this kind tells, if it tells one.
pub fn end_of(kind: &str) -> Option<RunState> {
    RunState::FINAL.into_iter().find(|state| state.event() == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_the_cli_is_kept_byte_for_byte() {
        let line = r#"{"type":"from_the_future", "b" : 1}"#;
        let body = EventBody::Agent(Frame::parse(line.into()).unwrap());
        assert_eq!((&*body.kind(), &*body.data()), ("agent.from_the_future", line));
    }

    #[test]
    fn only_the_final_kinds_end_a_run() {
        assert_eq!(end_of("run.completed"), Some(RunState::Completed));
        assert_eq!(end_of("run.lost"), Some(RunState::Lost));
        assert_eq!(end_of("run.queued"), None);
        assert_eq!(end_of("agent.result"), None);
    }
}
