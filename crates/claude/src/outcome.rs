//! What became of a run: never decided by a subtype or an exit code alone.
//!
//! The CLI says `subtype: "success"` with `is_error: true` when the provider failed, ends with code 0 after some of
//! its failures, and gives no `result` at all when it dies. [`judge`] is the one place that turns all of this into an
//! [`Outcome`].

use serde::Deserialize;

use crate::frame::Frame;
use crate::usage::model_costs;

/// The fields of a `result` message that decide the outcome.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
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
    /// What the session has cost so far by the CLI's estimate, in USD; in some versions only what this process has.
    pub total_cost_usd: Option<f64>,
    /// What the process has cost since its last result, or since its start; the sum over all is its cost (checked).
    #[serde(rename = "model_usage_since_last_result", deserialize_with = "model_costs")]
    pub cost_since_last: Option<f64>,
    /// How many tool calls were denied.
    #[serde(rename = "permission_denials", deserialize_with = "count")]
    pub denials: usize,
    /// The message as the CLI wrote it, if it holds a structured output.
    #[serde(skip)]
    pub raw: Option<std::sync::Arc<str>>,
    /// Whether `structured_output` is there; its value is in `raw`.
    #[serde(rename = "structured_output", deserialize_with = "present")]
    pub has_structured_output: bool,
}

impl ResultMessage {
    /// Reads a `result` frame; `None` for any other frame.
    pub fn parse(frame: &Frame) -> Option<Self> {
        if frame.kind != "result" {
            return None;
        }
        // A field of an unexpected type must not turn a failure into nothing: keep what says that it failed.
        let mut message = frame.body::<Self>().unwrap_or_else(|| Self {
            is_error: true,
            errors: vec!["the CLI's result message has an unknown form".into()],
            ..Self::default()
        });
        if !message.is_error {
            message.result = None;
        }
        message.raw = message.has_structured_output.then(|| frame.as_str().into());
        Some(message)
    }

    /// Whether it says that the process has cost as much as it may. Subagents may go on after it (checked).
    pub fn is_out_of_budget(&self) -> bool {
        self.subtype == "error_max_budget_usd" || self.terminal_reason.as_deref() == Some("budget_exhausted")
    }

    /// The CLI's own words for what went wrong.
    fn complaint(&self) -> String {
        let words =
            if self.errors.is_empty() { self.result.clone().unwrap_or_default() } else { self.errors.join("; ") };
        if words.trim().is_empty() { format!("the CLI reported `{}`", self.subtype) } else { words }
    }
}

fn count<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    Ok(Vec::<serde::de::IgnoredAny>::deserialize(deserializer)?.len())
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::<serde::de::IgnoredAny>::deserialize(deserializer)?.is_some())
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
    /// The provider's HTTP status, when the provider refused.
    pub upstream_status: Option<u16>,
    /// The CLI's word for why the last turn ended.
    pub terminal_reason: Option<String>,
}

/// The kinds of problems, coarse enough for a caller to act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// The provider refused or failed.
    Upstream,
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
    match (ending, result) {
        (Ending::Cancelled { by }, _) => Outcome::Cancelled(problem(ProblemKind::Cancelled, format!("ended by {by}"))),
        (Ending::TimedOut { deadline, what }, _) => {
            Outcome::Failed(problem(ProblemKind::Timeout(*deadline), what.clone()))
        }
        (Ending::LimitMet { limit: Limit::Budget, what }, _) => {
            Outcome::Incomplete(problem(ProblemKind::Budget, what.clone()))
        }
        (Ending::LimitMet { limit, what }, _) => Outcome::Failed(problem(ProblemKind::Limit(*limit), what.clone())),
        (Ending::Broken { what }, _) => Outcome::Failed(problem(ProblemKind::Run, what.clone())),
        (Ending::Done | Ending::Exited { .. }, Some(result)) => of_result(result, wants_schema),
        (Ending::Exited { how, stderr }, None) => Outcome::Failed(problem(ProblemKind::Run, died(how, stderr))),
        (Ending::Done, None) => {
            Outcome::Failed(problem(ProblemKind::Run, "the CLI said it was done but gave no result".into()))
        }
    }
}

fn of_result(result: &ResultMessage, wants_schema: bool) -> Outcome {
    // The turn was interrupted, and nothing that waited has followed it.
    if let Some(reason) = result.terminal_reason.as_deref().filter(|reason| reason.starts_with("aborted")) {
        let message = "the run was interrupted".to_owned();
        let terminal_reason = Some(reason.to_owned());
        return Outcome::Cancelled(Problem { terminal_reason, ..problem(ProblemKind::Cancelled, message) });
    }
    if !result.is_error && result.subtype == "success" {
        return if wants_schema && !result.has_structured_output {
            let message = "the model gave no structured output".to_owned();
            Outcome::Incomplete(problem(ProblemKind::Schema, message))
        } else {
            Outcome::Completed
        };
    }
    let terminal_reason = result.terminal_reason.clone();
    let limit = |kind| {
        let terminal_reason = terminal_reason.clone();
        Outcome::Incomplete(Problem { terminal_reason, ..problem(kind, result.complaint()) })
    };
    match result.subtype.as_str() {
        "error_max_turns" => return limit(ProblemKind::TurnLimit),
        "error_max_structured_output_retries" => return limit(ProblemKind::Schema),
        "error_max_budget_usd" => return limit(ProblemKind::Budget),
        _ => {}
    }
    let upstream = result.api_error_status.is_some() || result.terminal_reason.as_deref() == Some("api_error");
    let kind = if upstream { ProblemKind::Upstream } else { ProblemKind::Run };
    let message = match &result.startup_failure_reason {
        Some(reason) => format!("the CLI could not start ({reason}): {}", result.complaint()),
        None => result.complaint(),
    };
    Outcome::Failed(Problem { kind, message, upstream_status: result.api_error_status, terminal_reason })
}

/// The CLI's stderr may name files and hosts of the server: it goes to the log, not to the caller.
fn died(how: &str, stderr: &str) -> String {
    let hint = if stderr.trim().is_empty() { "it wrote nothing on stderr" } else { "the server's log has its stderr" };
    format!("the CLI ended without a result ({how}); {hint}")
}

fn problem(kind: ProblemKind, message: String) -> Problem {
    Problem { kind, message, upstream_status: None, terminal_reason: None }
}

#[cfg(test)]
mod tests;
