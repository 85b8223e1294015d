//! What became of a run: never decided by a subtype or an exit code alone.
//!
//! The CLI says `subtype: "success"` with `is_error: true` when the provider failed, ends with code 0 after some of
//! its failures, and gives no `result` at all when it dies. [`judge`] turns all of this into an [`Outcome`], by a
//! [table](table::ROWS).

use self::details::Details;
use self::mark::Evidence;
use self::signs::Signs;
use self::table::{ROWS, Row, Verdict};
use crate::frame::Frame;

mod body;
pub mod details;
pub mod mark;
pub mod signs;
pub mod table;

/// The fields of a `result` message that decide the outcome.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ResultMessage {
    /// `success` or `error_…`.
    pub subtype: String,
    /// The first thing to look at.
    pub is_error: bool,
    /// With `is_error`, the provider's message. An answer, which may be long, is not kept here.
    pub result: Option<String>,
    /// Messages of a failed run.
    pub errors: Vec<String>,
    /// The HTTP status of the provider's refusal.
    pub api_error_status: Option<u16>,
    /// Why the last turn ended.
    pub terminal_reason: Option<String>,
    /// Why the CLI could not start its work.
    pub startup_failure_reason: Option<String>,
    /// How many tool calls were denied.
    pub denials: usize,
    /// The message as the CLI wrote it, if it holds a structured output.
    pub raw: Option<std::sync::Arc<str>>,
    /// Whether `structured_output` is there; its value is in `raw`.
    pub has_structured_output: bool,
    /// How its turn went.
    pub details: Details,
    /// What the messages before it said of a failure.
    pub signs: Signs,
    /// Whether its form is one that is not known.
    pub is_unreadable: bool,
}

impl ResultMessage {
    /// Reads a `result` frame; `None` for any other frame.
    pub fn parse(frame: &Frame) -> Option<Self> {
        if frame.kind != "result" {
            return None;
        }
        // A field of an unexpected type must not turn a failure into nothing: keep what says that it failed.
        Some(body::read(frame).unwrap_or_else(|| Self {
            is_error: true,
            errors: vec!["the CLI's result message has an unknown form".into()],
            is_unreadable: true,
            ..Self::default()
        }))
    }

    /// Whether it says that the process has cost as much as it may. Subagents may go on after it (checked).
    pub fn is_out_of_budget(&self) -> bool {
        self.subtype == "error_max_budget_usd" || self.terminal_reason.as_deref() == Some("budget_exhausted")
    }

    /// With what the messages before it said.
    #[must_use]
    pub fn after(self, signs: Signs) -> Self {
        Self { signs, ..self }
    }

    /// The CLI's own words for what went wrong.
    fn complaint(&self) -> String {
        // The interior of the CLI says nothing to anybody else.
        let errors: Vec<_> =
            self.errors.iter().filter(|error| !error.starts_with("[ede_diagnostic]")).map(String::as_str).collect();
        let words = if errors.is_empty() { self.details.answer.clone().unwrap_or_default() } else { errors.join("; ") };
        let words = if words.trim().is_empty() { format!("the CLI reported `{}`", self.subtype) } else { words };
        match &self.startup_failure_reason {
            Some(reason) => format!("the CLI could not start ({reason}): {words}"),
            None => words,
        }
    }
}

/// How the following of a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The CLI said that it is done.
    Done,
    /// Its output ended, or it exited, before that.
    Exited {
        /// In words, e.g. `exit code 1` or `signal 9`.
        how: String,
        /// The end of what it wrote on stderr.
        stderr: String,
    },
    /// A deadline passed.
    TimedOut {
        /// Which one.
        deadline: Deadline,
        /// The same in words.
        what: String,
    },
    /// It took more of something than a run may.
    LimitMet {
        /// Of what.
        limit: Limit,
        /// The same in words.
        what: String,
    },
    /// Somebody asked for the end: the client that left, a cancel, the server's shutdown.
    Cancelled {
        /// Who, in words.
        by: String,
    },
    /// The process could not be started, or could not be driven.
    Broken {
        /// What happened, in words for people.
        what: String,
    },
}

/// The deadlines of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deadline {
    /// From the start to the first output.
    FirstOutput,
    /// From one output to the next.
    Idle,
    /// From the start to the end.
    Total,
}

impl Deadline {
    /// In words of the reference.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FirstOutput => "first output",
            Self::Idle => "idle",
            Self::Total => "total",
        }
    }
}

/// What a run may not have without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// All lines together.
    Output,
    /// One line.
    Line,
    /// Memory.
    Memory,
    /// Processes and threads.
    Processes,
    /// Open files.
    OpenFiles,
    /// Disk.
    Disk,
    /// What it may cost.
    Budget,
}

impl Limit {
    /// In words of the reference.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Output => "output",
            Self::Line => "line",
            Self::Memory => "memory",
            Self::Processes => "processes",
            Self::OpenFiles => "open files",
            Self::Disk => "disk",
            Self::Budget => "budget",
        }
    }
}

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It succeeded.
    Completed,
    /// A limit was reached; the work so far stands.
    Incomplete(Problem),
    /// It was ended on request.
    Cancelled(Problem),
    /// It failed.
    Failed(Problem),
}

/// What went wrong, for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The kind, for programs.
    pub kind: ProblemKind,
    /// What happened.
    pub message: String,
    /// What can be done about it.
    pub hint: Option<&'static str>,
    /// The provider's HTTP status, when the provider refused.
    pub upstream_status: Option<u16>,
    /// The CLI's word for why the last turn ended.
    pub terminal_reason: Option<String>,
    /// When the provider will take requests again, where it says so: seconds since 1970.
    pub retry_at: Option<i64>,
}

/// The kinds of problems, fine enough for a caller to act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// The provider refused or failed, in a way that has no kind of its own.
    Upstream,
    /// The provider has had too many requests.
    RateLimit,
    /// The provider has too much to do.
    Overloaded,
    /// The provider does not know the server's credential.
    Authentication,
    /// The provider is not paid, or only up to here.
    Billing,
    /// The provider does not let the server's credential do this.
    Permission,
    /// The provider does not take the request, or the CLI the prompt.
    InvalidRequest,
    /// There is no such model, or not for the server's credential.
    ModelNotFound,
    /// The conversation does not fit into the model's context.
    PromptTooLong,
    /// The request has more bytes than the provider takes.
    RequestTooLarge,
    /// An image or document cannot be used.
    Image,
    /// The provider failed.
    ServerError,
    /// The provider was not reached, or the answer was cut off.
    Connection,
    /// The model's safeguards have declined.
    Refusal,
    /// The answer is longer than the model may write.
    MaxOutputTokens,
    /// The conversation has filled the model's context.
    ContextWindow,
    /// The provider paused in the middle of its answer.
    Paused,
    /// A hook of the configuration has stopped it.
    HookStopped,
    /// The model has answered nothing.
    EmptyAnswer,
    /// The CLI could not start its work.
    Startup,
    /// The CLI does not find the session.
    SessionNotFound,
    /// Another process has the session.
    SessionInUse,
    /// The CLI ended without a result.
    CliDied,
    /// A deadline passed.
    Timeout(Deadline),
    /// It took more of something than a run may.
    Limit(Limit),
    /// `max_turns` was reached.
    TurnLimit,
    /// It has cost as much as it may.
    Budget,
    /// The answer does not fit the schema, or there is none.
    Schema,
    /// Ended on request.
    Cancelled,
    /// Everything else.
    Run,
}

/// Decides the outcome from the last result and from how the process ended.
///
/// A result counts only if the CLI said it was done, or exited by itself after giving it: a run that was cancelled or
/// timed out while a subagent worked did not succeed, whatever its first result says.
pub fn judge(result: Option<&ResultMessage>, ending: &Ending, wants_schema: bool) -> Outcome {
    let evidence = Evidence { result, ending, wants_schema };
    let row = row_of(evidence);
    let problem = |kind| evidence.problem(row, kind);
    match row.then {
        Verdict::Completed => Outcome::Completed,
        Verdict::Incomplete(kind) => Outcome::Incomplete(problem(kind)),
        Verdict::Cancelled => Outcome::Cancelled(problem(ProblemKind::Cancelled)),
        Verdict::Failed(kind) => Outcome::Failed(problem(kind)),
    }
}

/// What a person is to be told of a run that [completed](Outcome::Completed) all the same.
pub fn caveat(result: Option<&ResultMessage>, ending: &Ending, wants_schema: bool) -> Option<&'static str> {
    let row = row_of(Evidence { result, ending, wants_schema });
    row.message.filter(|_| row.then == Verdict::Completed)
}

/// The name of the row that decides, for tests and for the log.
pub fn row_name(result: Option<&ResultMessage>, ending: &Ending, wants_schema: bool) -> &'static str {
    row_of(Evidence { result, ending, wants_schema }).name
}

fn row_of(evidence: Evidence<'_>) -> &'static Row {
    let fits = |row: &&Row| row.when.iter().all(|mark| evidence.has(*mark));
    // The last row has no marks, and so takes what is left (tested).
    ROWS.iter().find(fits).unwrap_or(&ROWS[ROWS.len() - 1])
}

impl Evidence<'_> {
    fn problem(self, row: &Row, kind: ProblemKind) -> Problem {
        let message = row.message.map_or_else(|| self.words(), str::to_owned);
        // What the provider said counts only if the run ended by it.
        let result = self.result.filter(|_| matches!(self.ending, Ending::Done | Ending::Exited { .. }));
        Problem {
            kind,
            message,
            hint: row.hint,
            upstream_status: result.and_then(|result| result.api_error_status),
            terminal_reason: result.and_then(|result| result.terminal_reason.clone()),
            retry_at: result.filter(|_| kind == ProblemKind::RateLimit).and_then(|result| result.signs.resets_at),
        }
    }

    /// In words, where the row has none.
    fn words(self) -> String {
        match (self.ending, self.result) {
            (Ending::Cancelled { by }, _) => format!("ended by {by}"),
            (Ending::TimedOut { what, .. } | Ending::LimitMet { what, .. } | Ending::Broken { what }, _) => {
                what.clone()
            }
            (Ending::Done | Ending::Exited { .. }, Some(result)) => result.complaint(),
            (Ending::Exited { how, stderr }, None) => died(how, stderr),
            (Ending::Done, None) => "the CLI gave no result".to_owned(),
        }
    }
}

/// The CLI's stderr may name files and hosts of the server: it goes to the log, not to the caller.
fn died(how: &str, stderr: &str) -> String {
    let hint = if stderr.trim().is_empty() { "it wrote nothing on stderr" } else { "the server's log has its stderr" };
    format!("the CLI ended without a result ({how}); {hint}")
}

#[cfg(test)]
mod tests;
