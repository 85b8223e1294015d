//! A run: one piece of work for the CLI, from its submission to its end.
//!
//! Every route submits a [`request::RunRequest`] through [`submit::Runs`] and [follows](follow) the run's events; routes
//! differ only in how they encode what they follow.

pub mod alarm;
pub mod begin;
pub mod budget;
pub mod chunk_cache;
pub mod content;
pub mod conversation;
mod error;
pub mod event;
pub mod follow;
pub mod ground;
pub mod judge;
pub mod limits;
pub mod live;
pub mod log;
pub mod of_key;
pub mod own_config;
pub mod policy;
pub mod prepare;
pub mod queue;
pub mod readers;
pub mod recover;
pub mod redact;
pub mod request;
pub mod resolve;
pub mod schema;
pub mod seal;
mod secret_words;
pub mod secrets;
pub mod server_secrets;
pub mod shared;
pub mod spending;
pub mod submit;
pub mod traced;
pub mod uploads;
pub mod warning;
pub mod watch;
pub mod worker;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use claude::command::Session;
use claude::effort::Effort;
use claude::permission_mode::PermissionMode;
use claude::profile::Profile;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use self::content::Block;
use self::ground::Ground;
use self::policy::Terms;
use self::schema::AnswerSchema;
use self::secrets::RunSecrets;
use self::warning::Warning;
use crate::keys::Key;
use crate::store::chunk::EventRef;
use crate::usd::Usd;

/// The id of a run: `run_` and a UUID of version 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RunId(pub Uuid);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "run_{}", self.0)
    }
}

impl RunId {
    /// What every run's id begins with.
    pub const PREFIX: &str = "run_";

    /// The id that is written so, in the one form in which askd writes it.
    pub fn parse(text: &str) -> Option<Self> {
        let uuid = text.strip_prefix(Self::PREFIX)?;
        let id = Self(Uuid::try_parse(uuid).ok()?);
        (id.to_string() == text).then_some(id)
    }
}

/// What is asked of the CLI, resolved against this server.
#[derive(Debug)]
pub struct RunSpec {
    /// Whose it is.
    pub key: Arc<Key>,
    /// The user's message; empty if it is in `content`.
    pub prompt: String,
    /// The user's message in blocks; taken out when the run is put into the hands of its task.
    pub content: Vec<Block>,
    /// Its working folder, and what it may see and change of the workspaces.
    pub ground: Ground,
    /// Folders besides the working folder that the CLI is to treat as its own.
    pub additional_directories: Vec<PathBuf>,
    /// A new session or one taken up again.
    pub session: Session,
    /// What the policy of its key holds it to.
    pub terms: Terms,
    /// What happens to tool calls that no rule covers.
    pub permission_mode: PermissionMode,
    /// Tool rules that need no approval.
    pub allowed_tools: Vec<String>,
    /// The `name` in the frontmatter of the agent that answers.
    pub agent: Option<String>,
    /// `sonnet`, `opus`, `haiku` or an id that the operator allows.
    pub model: Option<String>,
    /// Models for the case that the first is overloaded or not there.
    pub fallback_models: Vec<String>,
    /// How much the model thinks.
    pub effort: Option<Effort>,
    /// How much of itself the CLI brings.
    pub profile: Profile,
    /// Agents besides those of the configuration, in the CLI's own form.
    pub agents: Map<String, Value>,
    /// Variables and MCP servers of its own.
    pub secrets: RunSecrets,
    /// Turns after which the run ends as incomplete.
    pub max_turns: Option<u32>,
    /// Replaces the CLI's own system prompt.
    pub system_prompt: Option<String>,
    /// Follows the system prompt.
    pub append_system_prompt: Option<String>,
    /// The schema that the answer must fit.
    pub schema: Option<AnswerSchema>,
    /// Whether `@path` and `/command` in the prompt are expanded.
    pub expand: bool,
    /// Whether the CLI sends partial messages.
    pub deltas: bool,
    /// How long it may take.
    pub timeout: Duration,
    /// How long the CLI may be silent.
    pub idle_timeout: Duration,
    /// How long it may wait for its turn; `None`: as the server's settings say.
    pub queue_timeout: Option<Duration>,
    /// What it may cost, by the CLI's estimate.
    pub budget: Option<Usd>,
    /// What is set aside for it of what its key may spend in a day.
    pub reserved: Option<Usd>,
    /// What a person should know of what is asked, before anything is done.
    pub doubts: Vec<Warning>,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// It waits for its turn.
    Queued,
    /// The CLI works on it.
    Running,
    /// It succeeded.
    Completed,
    /// A limit was reached.
    Incomplete,
    /// It was ended on request.
    Cancelled,
    /// It failed.
    Failed,
    /// The server that held it died. It is never silently run again.
    Lost,
}

impl RunState {
    /// The states in which nothing more happens.
    pub const FINAL: [Self; 5] = [Self::Completed, Self::Incomplete, Self::Cancelled, Self::Failed, Self::Lost];

    /// All states.
    pub const ALL: [Self; 7] =
        [Self::Queued, Self::Running, Self::Completed, Self::Incomplete, Self::Cancelled, Self::Failed, Self::Lost];

    /// The state's name, in the store and for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Incomplete => "incomplete",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::Lost => "lost",
        }
    }

    /// The event that tells of it; for the states that are not final, the one that precedes it.
    pub fn event(self) -> &'static str {
        match self {
            Self::Queued => event::QUEUED,
            Self::Running => event::STARTED,
            Self::Completed => "run.completed",
            Self::Incomplete => "run.incomplete",
            Self::Cancelled => "run.cancelled",
            Self::Failed => "run.failed",
            Self::Lost => "run.lost",
        }
    }

    /// The state of this name.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Whether nothing more happens.
    pub fn is_final(self) -> bool {
        Self::FINAL.contains(&self)
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

/// Why a run did not complete. Stored and sent as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunError {
    /// For programs.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    pub kind: RunErrorKind,
    /// For people.
    pub message: String,
    /// The provider's HTTP status, where it refused.
    #[serde(default)]
    #[schema(required)]
    pub upstream_status: Option<u16>,
    /// The CLI's word for why the last turn ended.
    #[serde(default)]
    #[schema(required)]
    pub terminal_reason: Option<String>,
    /// What to do about it.
    #[serde(default)]
    #[schema(required)]
    pub hint: Option<String>,
    /// When the provider will take requests again, where it says so: RFC 3339, UTC.
    #[serde(default)]
    #[schema(required)]
    pub retry_at: Option<String>,
    /// What does not fit the schema, part by part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<Flaw>,
}

/// What of an answer does not fit its schema. Stored and sent as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Flaw {
    /// Which part, a JSON pointer; empty for the whole.
    pub path: String,
    /// What is wrong with it.
    pub message: String,
}

impl Flaw {
    /// Of the whole answer.
    pub fn of_whole(message: impl Into<String>) -> Self {
        Self { path: String::new(), message: message.into() }
    }
}

/// The kinds of [`RunError`]. Their names are an interface; `docs/reference/events.md` lists them. Those that the provider
/// is the cause of are told from the others by `docs/reference/outcomes.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunErrorKind {
    /// It waited too long for its turn.
    Busy,
    /// The server is going down.
    ShuttingDown,
    /// The CLI does not know the agent.
    AgentNotFound,
    /// The provider refused or failed, in a way that has no kind of its own.
    Upstream,
    /// The provider has had too many requests.
    RateLimit,
    /// The provider has too much to do.
    Overloaded,
    /// The provider failed.
    ServerError,
    /// The provider was not reached, or its answer was cut off.
    Connection,
    /// The provider does not know the server's credential.
    Authentication,
    /// The provider is not paid, or only up to here.
    Billing,
    /// The provider does not let the server's credential do this.
    Permission,
    /// There is no such model, or not for the server's credential.
    ModelNotFound,
    /// The provider does not take the request, or the CLI the prompt.
    InvalidRequest,
    /// The conversation does not fit into the model's context.
    PromptTooLong,
    /// The request has more bytes than the provider takes.
    RequestTooLarge,
    /// An image or document cannot be used.
    Image,
    /// The model's safeguards have declined.
    Refusal,
    /// The answer is longer than the model may write.
    MaxOutputTokens,
    /// The conversation has filled the model's context.
    ContextWindow,
    /// The provider paused in the middle of its answer.
    Paused,
    /// The model has answered nothing.
    EmptyAnswer,
    /// A hook of the configuration has stopped it.
    HookStopped,
    /// The CLI could not start its work.
    Startup,
    /// The CLI does not find the session.
    SessionNotFound,
    /// Another process has the session.
    SessionInUse,
    /// The CLI ended without a result.
    CliDied,
    /// It took too long.
    Timeout,
    /// The CLI wrote nothing for too long.
    IdleTimeout,
    /// The CLI wrote nothing after its start.
    FirstOutputTimeout,
    /// It wrote too much.
    OutputLimit,
    /// It wrote too long a line.
    LineLimit,
    /// It took too much memory.
    MemoryLimit,
    /// It had too many processes or threads.
    ProcessLimit,
    /// One of its processes had too many files open.
    OpenFilesLimit,
    /// Its home and its temporary files took too much disk.
    DiskLimit,
    /// It did what the policy of its key does not have.
    Policy,
    /// The turn limit was reached.
    TurnLimit,
    /// It has cost as much as it may.
    Budget,
    /// The answer does not fit the schema.
    Schema,
    /// Somebody asked for the end.
    Cancelled,
    /// The server that held it died.
    Lost,
    /// A queued run could not be taken up again after a restart.
    Invalid,
    /// Everything else.
    #[serde(other)]
    Run,
}

impl RunError {
    /// With a kind, its hint and a message only.
    pub fn new(kind: RunErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            upstream_status: None,
            terminal_reason: None,
            hint: kind.hint().map(str::to_owned),
            retry_at: None,
            details: Vec::new(),
        }
    }

    /// In JSON.
    pub fn to_json(&self) -> String {
        // Strings and numbers always serialise.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// From [`Self::to_json`]. What an older or newer server wrote and this one cannot read is an error all the same.
    pub fn from_json(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|_| Self::new(RunErrorKind::Run, "the stored error cannot be read"))
    }
}

impl Finished {
    /// A run that succeeded.
    pub fn completed() -> Self {
        Self { state: RunState::Completed, error: None }
    }

    /// A run that never reached the CLI's work.
    pub fn failed(kind: RunErrorKind, message: impl Into<String>) -> Self {
        Self { state: RunState::Failed, error: Some(RunError::new(kind, message)) }
    }

    /// A run that was ended on request.
    pub fn cancelled(kind: RunErrorKind, message: impl Into<String>) -> Self {
        Self { state: RunState::Cancelled, error: Some(RunError::new(kind, message)) }
    }

    /// Why it did not complete, in a word, or that it did.
    pub fn word(&self) -> &'static str {
        self.error.as_ref().map_or(self.state.as_str(), |error| error.kind.as_str())
    }

    /// The content of the last event.
    pub fn to_json(&self) -> String {
        let error = self.error.as_ref().map_or_else(|| "null".to_owned(), RunError::to_json);
        format!(r#"{{"state":"{}","error":{error}}}"#, self.state.as_str())
    }

    /// The end that an event tells; `None` if it tells none.
    pub fn of_event(event: &EventRef<'_>) -> Option<Self> {
        #[derive(Deserialize)]
        struct Data {
            error: Option<RunError>,
        }
        let state = event::end_of(event.kind)?;
        let error = match serde_json::from_str::<Data>(event.data) {
            Ok(data) => data.error,
            Err(_) => Some(RunError::from_json("")),
        };
        Some(Self { state, error })
    }
}
