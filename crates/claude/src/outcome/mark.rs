//! By what an end is known: the columns of the table.

use std::fmt;

use super::details::StopReason;
use super::{Deadline, Ending, Limit, ResultMessage};

/// What is known when a run has ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Evidence<'a> {
    pub(super) result: Option<&'a ResultMessage>,
    pub(super) ending: &'a Ending,
    pub(super) wants_schema: bool,
}

/// Something that can be true of an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Somebody asked for it.
    Cancelled,
    /// A deadline passed.
    TimedOut(Deadline),
    /// It took more of something than a run may.
    Met(Limit),
    /// The process could not be started or driven.
    Broken,
    /// The process ended by itself.
    Exited,
    /// In one of these ways, in words.
    How(&'static [&'static str]),
    /// Its stderr has one of these texts.
    Stderr(&'static [&'static str]),
    /// One line of its stderr has all of these texts.
    StderrLine(&'static [&'static str]),
    /// There is no result.
    NoResult,
    /// The result has a form that nobody knows.
    Unreadable,
    /// Something in the result says that it failed.
    Failure,
    /// The CLI was done or has exited, and nothing in its result says that it failed.
    Success,
    /// The same, and the model was not asked: a hook or the CLI itself has answered.
    NotAsked,
    /// `subtype`.
    Subtype(&'static [&'static str]),
    /// `terminal_reason`.
    Reason(&'static [&'static str]),
    /// `terminal_reason` begins with `aborted`.
    Aborted,
    /// `startup_failure_reason` is there.
    StartupFailure,
    /// `api_error_status` is from the first to the last of them.
    Status(u16, u16),
    /// There is no `api_error_status`.
    NoStatus,
    /// The CLI's word for the provider's failure, of its last message or (`api_error`) of the result.
    Refused(&'static [&'static str]),
    /// `stop_reason`; `null` is the word for a field that is null.
    Stop(&'static [&'static str]),
    /// The result's texts hold one of these.
    Says(&'static [&'static str]),
    /// No token was counted.
    NoUsage,
    /// A schema was given, and there is no structured output.
    NoStructuredOutput,
    /// The answer is an empty text.
    NoAnswer,
    /// A tool was called.
    UsedTools,
    /// A Stop hook has sent the model back.
    SentBack,
}

/// The CLI's own list of reasons that are failures, besides `aborted_…` (checked), and those of its limits.
const FAILURES: &[&str] = &[
    "blocking_limit",
    "rapid_refill_breaker",
    "prompt_too_long",
    "image_error",
    "model_error",
    "api_error",
    "malformed_tool_use_exhausted",
    "max_turns",
    "budget_exhausted",
    "structured_output_retry_exhausted",
    "tool_deferred_unavailable",
    "turn_setup_failed",
];

impl Evidence<'_> {
    pub(super) fn has(&self, mark: Mark) -> bool {
        match mark {
            Mark::Cancelled => matches!(self.ending, Ending::Cancelled { .. }),
            Mark::TimedOut(which) => matches!(self.ending, Ending::TimedOut { deadline, .. } if *deadline == which),
            Mark::Met(which) => matches!(self.ending, Ending::LimitMet { limit, .. } if *limit == which),
            Mark::Broken => matches!(self.ending, Ending::Broken { .. }),
            Mark::Exited => matches!(self.ending, Ending::Exited { .. }),
            Mark::How(words) => matches!(self.ending, Ending::Exited { how, .. } if words.contains(&how.as_str())),
            Mark::Stderr(texts) => matches!(self.ending, Ending::Exited { stderr, .. } if holds(stderr, texts)),
            Mark::StderrLine(texts) => {
                let has_all = |line: &str| texts.iter().all(|text| line.contains(text));
                matches!(self.ending, Ending::Exited { stderr, .. } if stderr.lines().any(has_all))
            }
            Mark::NoResult => self.result.is_none(),
            _ => self.result.is_some_and(|result| self.says(result, mark)),
        }
    }

    fn says(&self, result: &ResultMessage, mark: Mark) -> bool {
        let details = &result.details;
        let is = |word: Option<&str>, words: &[&str]| word.is_some_and(|word| words.contains(&word));
        match mark {
            Mark::Unreadable => result.is_unreadable,
            Mark::Failure => is_failure(result),
            Mark::Success => self.is_success(result),
            Mark::NotAsked => self.is_success(result) && result.terminal_reason.is_none() && details.turns == Some(0),
            Mark::Subtype(words) => is(Some(&result.subtype), words),
            Mark::Reason(words) => is(result.terminal_reason.as_deref(), words),
            Mark::Aborted => is_aborted(result),
            Mark::StartupFailure => result.startup_failure_reason.is_some(),
            Mark::Status(first, last) => result.api_error_status.is_some_and(|it| (first..=last).contains(&it)),
            Mark::NoStatus => result.api_error_status.is_none(),
            Mark::Refused(words) => {
                is(result.signs.refusal.as_deref(), words) || is(details.api_error.as_deref(), words)
            }
            Mark::Stop(words) => match &details.stop_reason {
                StopReason::Absent => false,
                StopReason::Null => words.contains(&"null"),
                StopReason::Word(word) => words.contains(&word.as_str()),
            },
            Mark::Says(texts) => result.errors.iter().chain(&details.answer).any(|text| holds(text, texts)),
            Mark::NoUsage => details.has_no_usage,
            Mark::NoStructuredOutput => self.wants_schema && !result.has_structured_output,
            Mark::NoAnswer => details.is_empty() && !result.has_structured_output,
            Mark::UsedTools => result.signs.used_tools,
            Mark::SentBack => result.signs.sent_back,
            _ => false,
        }
    }

    fn is_success(&self, result: &ResultMessage) -> bool {
        let came_to_its_end = matches!(self.ending, Ending::Done | Ending::Exited { .. });
        came_to_its_end && !is_failure(result) && !is_aborted(result)
    }
}

/// One sign is enough: the CLI contradicts itself, e.g. by `success` with `is_error` (checked).
fn is_failure(result: &ResultMessage) -> bool {
    result.is_unreadable
        || result.is_error
        || result.subtype != "success"
        || result.startup_failure_reason.is_some()
        || result.api_error_status.is_some()
        || !result.errors.is_empty()
        || result.terminal_reason.as_deref().is_some_and(|reason| FAILURES.contains(&reason))
}

fn is_aborted(result: &ResultMessage) -> bool {
    result.terminal_reason.as_deref().is_some_and(|reason| reason.starts_with("aborted"))
}

fn holds(text: &str, any: &[&str]) -> bool {
    any.iter().any(|part| text.contains(part))
}

/// As the reference writes it.
impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |words: &[&str]| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        match self {
            Self::Cancelled => f.write_str("ended on request"),
            Self::TimedOut(deadline) => write!(f, "deadline: {}", deadline.as_str()),
            Self::Met(limit) => write!(f, "limit: {}", limit.as_str()),
            Self::Broken => f.write_str("the process could not be started or driven"),
            Self::Exited => f.write_str("the process exited"),
            Self::How(ways) => write!(f, "by {}", words(ways)),
            Self::Stderr(texts) => write!(f, "stderr has {}", words(texts)),
            Self::StderrLine(texts) => write!(f, "a line of stderr has {}", words(texts).replace(", ", " and ")),
            Self::NoResult => f.write_str("no result"),
            Self::Unreadable => f.write_str("a result of unknown form"),
            Self::Failure => f.write_str("a failure"),
            Self::Success => f.write_str("a success"),
            Self::NotAsked => f.write_str("a success without a turn"),
            Self::Subtype(subtypes) => write!(f, "`subtype` {}", words(subtypes)),
            Self::Reason(reasons) => write!(f, "`terminal_reason` {}", words(reasons)),
            Self::Aborted => f.write_str("`terminal_reason` `aborted_…`"),
            Self::StartupFailure => f.write_str("`startup_failure_reason`"),
            Self::Status(first, last) if first == last => write!(f, "`api_error_status` {first}"),
            Self::Status(first, last) => write!(f, "`api_error_status` {first}–{last}"),
            Self::NoStatus => f.write_str("no `api_error_status`"),
            Self::Refused(errors) => write!(f, "`error` {}", words(errors)),
            Self::Stop(reasons) => write!(f, "`stop_reason` {}", words(reasons)),
            Self::Says(texts) => write!(f, "text has {}", words(texts)),
            Self::NoUsage => f.write_str("no tokens counted"),
            Self::NoStructuredOutput => f.write_str("a schema and no structured output"),
            Self::NoAnswer => f.write_str("an empty answer"),
            Self::UsedTools => f.write_str("tools were called"),
            Self::SentBack => f.write_str("a Stop hook sent the model back"),
        }
    }
}
