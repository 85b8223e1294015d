//! A run: one piece of work for the CLI, from its submission to its end.
//!
//! Every route submits a [`RunSpec`] through [`submit::Runs`] and follows the run's [`log`]; routes differ only in how
//! they encode what they follow.

pub mod conversation;
pub mod event;
pub mod log;
pub mod prepare;
pub mod queue;
pub mod redact;
pub mod schema;
pub mod submit;
pub mod worker;

use std::fmt;

use claude::command::Session;
use claude::outcome::{Outcome, Problem, ProblemKind};
use claude::permission_mode::PermissionMode;
use uuid::Uuid;

use self::schema::AnswerSchema;
use crate::workspaces::Folder;

/// The id of a run: `run_` and a UUID of version 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RunId(pub Uuid);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "run_{}", self.0)
    }
}

/// What is asked of the CLI, validated.
#[derive(Debug)]
pub struct RunSpec {
    /// The user's message.
    pub prompt: String,
    /// The working folder, held open since it was checked.
    pub folder: Folder,
    /// A new session or one taken up again.
    pub session: Session,
    /// What happens to tool calls that no rule covers.
    pub permission_mode: PermissionMode,
    /// Tool rules that need no approval.
    pub allowed_tools: Vec<String>,
    /// The `name` in the frontmatter of the agent that answers.
    pub agent: Option<String>,
    /// `sonnet`, `opus`, `haiku` or an id that the operator allows.
    pub model: Option<String>,
    /// Turns after which the run ends as incomplete.
    pub max_turns: Option<u32>,
    /// Replaces the CLI's own system prompt.
    pub system_prompt: Option<String>,
    /// The schema that the answer must fit.
    pub schema: Option<AnswerSchema>,
    /// Whether `@path` and `/command` in the prompt are expanded.
    pub expand: bool,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// It succeeded.
    Completed,
    /// A limit was reached.
    Incomplete,
    /// It was ended on request.
    Cancelled,
    /// It failed.
    Failed,
}

impl RunState {
    /// The state's name, for logs and programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Incomplete => "incomplete",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
}

/// The end of a run, the content of its last event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Where it ended.
    pub state: RunState,
    /// Why, unless it completed.
    pub error: Option<RunError>,
}

/// Why a run did not complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunError {
    /// For programs.
    pub kind: RunErrorKind,
    /// For people.
    pub message: String,
}

/// The kinds of [`RunError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunErrorKind {
    /// It waited too long for its turn.
    Busy,
    /// The server is going down.
    ShuttingDown,
    /// The CLI does not know the agent.
    AgentNotFound,
    /// The provider refused or failed.
    Upstream,
    /// A deadline passed.
    Timeout,
    /// The turn limit was reached.
    TurnLimit,
    /// The answer does not fit the schema.
    Schema,
    /// Somebody asked for the end.
    Cancelled,
    /// Everything else.
    Run,
}

impl RunErrorKind {
    /// The kind's name, for logs and programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::ShuttingDown => "shutting_down",
            Self::AgentNotFound => "agent_not_found",
            Self::Upstream => "upstream",
            Self::Timeout => "timeout",
            Self::TurnLimit => "turn_limit",
            Self::Schema => "schema",
            Self::Cancelled => "cancelled",
            Self::Run => "run",
        }
    }
}

impl Finished {
    /// A run that never reached the CLI's work.
    pub fn failed(kind: RunErrorKind, message: impl Into<String>) -> Self {
        Self { state: RunState::Failed, error: Some(RunError { kind, message: message.into() }) }
    }

    /// A run that was ended on request.
    pub fn cancelled(kind: RunErrorKind, message: impl Into<String>) -> Self {
        Self { state: RunState::Cancelled, error: Some(RunError { kind, message: message.into() }) }
    }
}

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

impl From<Problem> for RunError {
    fn from(problem: Problem) -> Self {
        let kind = match problem.kind {
            ProblemKind::Upstream => RunErrorKind::Upstream,
            ProblemKind::Timeout => RunErrorKind::Timeout,
            ProblemKind::TurnLimit => RunErrorKind::TurnLimit,
            ProblemKind::Schema => RunErrorKind::Schema,
            ProblemKind::Cancelled => RunErrorKind::Cancelled,
            ProblemKind::Run => RunErrorKind::Run,
        };
        let message = match problem.upstream_status {
            Some(status) => format!("the provider answered {status}: {}", problem.message),
            None => problem.message,
        };
        Self { kind, message }
    }
}
