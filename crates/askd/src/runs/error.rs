//! From what the table of outcomes says to the end that is stored and sent.

use std::fmt::Write as _;

use claude::outcome::{Deadline, Limit, Outcome, Problem, ProblemKind};
use jiff::Timestamp;

use super::{Finished, RunError, RunErrorKind, RunState};

impl From<Outcome> for Finished {
    fn from(outcome: Outcome) -> Self {
        let (state, problem) = match outcome {
            Outcome::Completed => return Self { state: RunState::Completed, error: None },
            Outcome::Incomplete(problem) => (RunState::Incomplete, problem),
            Outcome::Cancelled(problem) => (RunState::Cancelled, problem),
            Outcome::Failed(problem) => (RunState::Failed, problem),
        };
        Self { state, error: Some(problem.into()) }
    }
}

impl Finished {
    /// Says that the provider had not answered so often in a row when a deadline passed: more time would be no help.
    pub(super) fn after_silence(mut self, unanswered: u32) -> Self {
        if let Some(error) = &mut self.error
            && matches!(error.kind, RunErrorKind::Timeout | RunErrorKind::IdleTimeout)
            && unanswered > 0
        {
            let times = if unanswered == 1 { "once".to_owned() } else { format!("{unanswered} times in a row") };
            // Writing into a string cannot fail.
            let _ = write!(error.message, "; up to then the provider had not answered {times}");
            error.hint = Some(NO_ANSWER.to_owned());
        }
        self
    }
}

/// What helps a run that has waited for its provider.
const NO_ANSWER: &str = "try again later, and continue the session; if it lasts, the operator finds more with `askd doctor` \
    (upstream)";

impl From<Problem> for RunError {
    fn from(problem: Problem) -> Self {
        let message = match problem.upstream_status {
            Some(status) => format!("the provider answered {status}: {}", problem.message),
            None => problem.message,
        };
        let Problem { kind, upstream_status, terminal_reason, hint, retry_at, .. } = problem;
        // A time of no calendar is none.
        let retry_at = retry_at.and_then(|seconds| Timestamp::from_second(seconds).ok()).map(|time| time.to_string());
        let error = Self::new(kind.into(), message);
        let hint = hint.map(str::to_owned).or(error.hint);
        Self { upstream_status, terminal_reason, hint, retry_at, ..error }
    }
}

impl From<ProblemKind> for RunErrorKind {
    fn from(kind: ProblemKind) -> Self {
        match kind {
            ProblemKind::Upstream => Self::Upstream,
            ProblemKind::RateLimit => Self::RateLimit,
            ProblemKind::Overloaded => Self::Overloaded,
            ProblemKind::ServerError => Self::ServerError,
            ProblemKind::Connection => Self::Connection,
            ProblemKind::Authentication => Self::Authentication,
            ProblemKind::Billing => Self::Billing,
            ProblemKind::Permission => Self::Permission,
            ProblemKind::ModelNotFound => Self::ModelNotFound,
            ProblemKind::InvalidRequest => Self::InvalidRequest,
            ProblemKind::PromptTooLong => Self::PromptTooLong,
            ProblemKind::RequestTooLarge => Self::RequestTooLarge,
            ProblemKind::Image => Self::Image,
            ProblemKind::Refusal => Self::Refusal,
            ProblemKind::MaxOutputTokens => Self::MaxOutputTokens,
            ProblemKind::ContextWindow => Self::ContextWindow,
            ProblemKind::Paused => Self::Paused,
            ProblemKind::EmptyAnswer => Self::EmptyAnswer,
            ProblemKind::HookStopped => Self::HookStopped,
            ProblemKind::Startup => Self::Startup,
            ProblemKind::SessionNotFound => Self::SessionNotFound,
            ProblemKind::SessionInUse => Self::SessionInUse,
            ProblemKind::CliDied => Self::CliDied,
            ProblemKind::Timeout(Deadline::Total) => Self::Timeout,
            ProblemKind::Timeout(Deadline::Idle) => Self::IdleTimeout,
            ProblemKind::Timeout(Deadline::FirstOutput) => Self::FirstOutputTimeout,
            ProblemKind::Limit(Limit::Output) => Self::OutputLimit,
            ProblemKind::Limit(Limit::Line) => Self::LineLimit,
            ProblemKind::Limit(Limit::Memory) => Self::MemoryLimit,
            ProblemKind::Limit(Limit::Processes) => Self::ProcessLimit,
            ProblemKind::Limit(Limit::OpenFiles) => Self::OpenFilesLimit,
            ProblemKind::Limit(Limit::Disk) => Self::DiskLimit,
            ProblemKind::TurnLimit => Self::TurnLimit,
            ProblemKind::Budget | ProblemKind::Limit(Limit::Budget) => Self::Budget,
            ProblemKind::Schema => Self::Schema,
            ProblemKind::Cancelled => Self::Cancelled,
            ProblemKind::Run => Self::Run,
        }
    }
}

impl RunErrorKind {
    /// All kinds.
    pub const ALL: [Self; 43] = [
        Self::Busy,
        Self::ShuttingDown,
        Self::AgentNotFound,
        Self::Upstream,
        Self::RateLimit,
        Self::Overloaded,
        Self::ServerError,
        Self::Connection,
        Self::Authentication,
        Self::Billing,
        Self::Permission,
        Self::ModelNotFound,
        Self::InvalidRequest,
        Self::PromptTooLong,
        Self::RequestTooLarge,
        Self::Image,
        Self::Refusal,
        Self::MaxOutputTokens,
        Self::ContextWindow,
        Self::Paused,
        Self::EmptyAnswer,
        Self::HookStopped,
        Self::Startup,
        Self::SessionNotFound,
        Self::SessionInUse,
        Self::CliDied,
        Self::Timeout,
        Self::IdleTimeout,
        Self::FirstOutputTimeout,
        Self::OutputLimit,
        Self::LineLimit,
        Self::MemoryLimit,
        Self::ProcessLimit,
        Self::OpenFilesLimit,
        Self::DiskLimit,
        Self::Policy,
        Self::TurnLimit,
        Self::Budget,
        Self::Schema,
        Self::Cancelled,
        Self::Lost,
        Self::Invalid,
        Self::Run,
    ];

    /// What can be done about it whatever the reason was; `None` where that depends on it.
    pub(super) fn hint(self) -> Option<&'static str> {
        Some(match self {
            Self::Busy => "it had not begun: submit it again later, or let it wait longer",
            Self::ShuttingDown => {
                "submit it again when the server is back; if it had begun, its session can be continued instead"
            }
            Self::Timeout => "continue the session with a further prompt, or give such a run more time",
            Self::IdleTimeout => {
                "continue the session with a further prompt; a command that says nothing for long needs a longer idle timeout"
            }
            Self::FirstOutputTimeout => "try again; if it lasts, the operator finds more in the server's log",
            Self::OutputLimit | Self::LineLimit => "continue the session, and let it write or read less at once",
            Self::MemoryLimit | Self::ProcessLimit | Self::OpenFilesLimit | Self::DiskLimit => {
                "continue the session with a task that needs less; the operator sets the limit"
            }
            Self::Budget => "what was done stands: continue the session with a run that may cost more",
            Self::Schema => "continue the session, and ask for the answer in the form of the schema once more",
            Self::Cancelled => "if it had begun, its session can be continued with a further prompt",
            Self::CliDied => "continue the session with a further prompt",
            Self::Invalid => "submit it again with what this server has and allows now",
            _ => return None,
        })
    }

    /// The kind's name, for logs and programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::ShuttingDown => "shutting_down",
            Self::AgentNotFound => "agent_not_found",
            Self::Upstream => "upstream",
            Self::RateLimit => "rate_limit",
            Self::Overloaded => "overloaded",
            Self::ServerError => "server_error",
            Self::Connection => "connection",
            Self::Authentication => "authentication",
            Self::Billing => "billing",
            Self::Permission => "permission",
            Self::ModelNotFound => "model_not_found",
            Self::InvalidRequest => "invalid_request",
            Self::PromptTooLong => "prompt_too_long",
            Self::RequestTooLarge => "request_too_large",
            Self::Image => "image",
            Self::Refusal => "refusal",
            Self::MaxOutputTokens => "max_output_tokens",
            Self::ContextWindow => "context_window",
            Self::Paused => "paused",
            Self::EmptyAnswer => "empty_answer",
            Self::HookStopped => "hook_stopped",
            Self::Startup => "startup",
            Self::SessionNotFound => "session_not_found",
            Self::SessionInUse => "session_in_use",
            Self::CliDied => "cli_died",
            Self::Timeout => "timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::FirstOutputTimeout => "first_output_timeout",
            Self::OutputLimit => "output_limit",
            Self::LineLimit => "line_limit",
            Self::MemoryLimit => "memory_limit",
            Self::ProcessLimit => "process_limit",
            Self::OpenFilesLimit => "open_files_limit",
            Self::DiskLimit => "disk_limit",
            Self::Policy => "policy",
            Self::TurnLimit => "turn_limit",
            Self::Budget => "budget",
            Self::Schema => "schema",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
            Self::Invalid => "invalid",
            Self::Run => "run",
        }
    }
}
