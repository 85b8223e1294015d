//! The table of outcomes: what is known of an end, and what it means. The first row that fits counts.
//!
//! `docs/reference/outcomes.md` is made of it, and `docs/decisions/0035-outcomes-are-a-table.md` says why its rows are as
//! they are. Each row is reached by a recorded end in `tests/frames/`.

use super::ProblemKind as Kind;
use super::mark::Mark::{
    self, Aborted, Broken, Cancelled, Exited, Failure, How, Met, NoAnswer, NoResult, NoStatus, NoStructuredOutput,
    NoUsage, NotAsked, Reason, Refused, Says, SentBack, StartupFailure, Status, Stderr, StderrLine, Stop, Subtype,
    Success, TimedOut, Unreadable, UsedTools,
};
use super::{Deadline, Limit};

/// One line of the table.
#[derive(Debug)]
pub struct Row {
    /// Its name, for tests and for people who look for it.
    pub name: &'static str,
    /// All of this holds.
    pub when: &'static [Mark],
    /// What it means.
    pub then: Verdict,
    /// What people are told, if the CLI has no good words for it.
    pub message: Option<&'static str>,
    /// What can be done about it.
    pub hint: Option<&'static str>,
}

/// What a row says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It succeeded. Where there is a message, people are warned by it.
    Completed,
    /// A limit was reached, or somebody stopped it early; the work so far stands.
    Incomplete(Kind),
    /// It was ended on request.
    Cancelled,
    /// It failed.
    Failed(Kind),
}

impl Row {
    const fn new(name: &'static str, when: &'static [Mark], then: Verdict) -> Self {
        Self { name, when, then, message: None, hint: None }
    }

    const fn says(self, message: &'static str) -> Self {
        Self { message: Some(message), ..self }
    }

    const fn hint(self, hint: &'static str) -> Self {
        Self { hint: Some(hint), ..self }
    }
}

const fn completed(name: &'static str, when: &'static [Mark]) -> Row {
    Row::new(name, when, Verdict::Completed)
}

const fn incomplete(name: &'static str, when: &'static [Mark], kind: Kind) -> Row {
    Row::new(name, when, Verdict::Incomplete(kind))
}

const fn cancelled(name: &'static str, when: &'static [Mark]) -> Row {
    Row::new(name, when, Verdict::Cancelled)
}

const fn failed(name: &'static str, when: &'static [Mark], kind: Kind) -> Row {
    Row::new(name, when, Verdict::Failed(kind))
}

const LATER: &str = "try again later; the session can be continued";
const OPERATORS: &str = "it is the operator's matter: the credential that the server has, or the account behind it";
const SHORTER: &str = "begin a new session, or send and read less at once";
const GO_ON: &str = "continue the session with a further prompt";
const NETWORK: &str =
    "try again; if it lasts, the operator looks at ANTHROPIC_BASE_URL, proxies, certificates and the network";

/// All rows, in the order in which they are tried.
pub static ROWS: &[Row] = &[
    // What askd itself has done or seen goes before anything that the CLI says: a result may be older than that.
    cancelled("cancelled", &[Cancelled]),
    failed("timeout.total", &[TimedOut(Deadline::Total)], Kind::Timeout(Deadline::Total)),
    failed("timeout.idle", &[TimedOut(Deadline::Idle)], Kind::Timeout(Deadline::Idle)),
    failed("timeout.first_output", &[TimedOut(Deadline::FirstOutput)], Kind::Timeout(Deadline::FirstOutput)),
    incomplete("limit.budget", &[Met(Limit::Budget)], Kind::Budget),
    failed("limit.output", &[Met(Limit::Output)], Kind::Limit(Limit::Output)),
    failed("limit.line", &[Met(Limit::Line)], Kind::Limit(Limit::Line)),
    failed("limit.memory", &[Met(Limit::Memory)], Kind::Limit(Limit::Memory)),
    failed("limit.processes", &[Met(Limit::Processes)], Kind::Limit(Limit::Processes)),
    failed("limit.open_files", &[Met(Limit::OpenFiles)], Kind::Limit(Limit::OpenFiles)),
    failed("limit.disk", &[Met(Limit::Disk)], Kind::Limit(Limit::Disk)),
    failed("broken", &[Broken], Kind::Run),
    // Without a result there is only the exit. What stands on stderr is looked at, and not repeated.
    failed("no_result.session_in_use", &[NoResult, Exited, StderrLine(&["Session ID", "is already in use"])], Kind::SessionInUse)
        .says("another process has this session")
        .hint("wait for it to end, or fork the session"),
    failed(
        "no_result.startup",
        &[
            NoResult,
            Exited,
            Stderr(&["cannot be used with root", "Configuration error", "error: unknown option", "Error: --"]),
        ],
        Kind::Startup,
    )
    .hint("the server's log has what the CLI wrote on stderr"),
    failed("no_result.killed", &[NoResult, Exited, How(&["signal 9", "exit code 137"])], Kind::CliDied)
        .hint("it was killed, e.g. by the kernel for want of memory; the session can be continued"),
    failed("no_result.exited", &[NoResult, Exited], Kind::CliDied),
    failed("no_result", &[NoResult], Kind::Run).says("the CLI said it was done but gave no result"),
    failed("unreadable", &[Unreadable], Kind::Run),
    // It did not begin.
    failed("startup", &[StartupFailure], Kind::Startup).hint("the operator finds the reason in the server's log"),
    failed(
        "session_not_found",
        &[Failure, Subtype(&["error_during_execution"]), Says(&["No conversation found"])],
        Kind::SessionNotFound,
    )
    .hint("begin a new session"),
    // It was ended, or reached a limit that it was given.
    cancelled("interrupted", &[Aborted]).says("the run was interrupted"),
    incomplete("turn_limit", &[Subtype(&["error_max_turns"])], Kind::TurnLimit).hint(GO_ON),
    incomplete("turn_limit.reason", &[Reason(&["max_turns"])], Kind::TurnLimit).hint(GO_ON),
    incomplete("budget", &[Subtype(&["error_max_budget_usd"])], Kind::Budget),
    incomplete("budget.reason", &[Reason(&["budget_exhausted"])], Kind::Budget),
    incomplete("schema", &[Subtype(&["error_max_structured_output_retries"])], Kind::Schema),
    incomplete("schema.reason", &[Reason(&["structured_output_retry_exhausted"])], Kind::Schema),
    // The model did not say all, or nothing. Some of this comes as a success.
    failed("refusal", &[Stop(&["refusal"])], Kind::Refusal).hint("ask otherwise, or another model"),
    incomplete("context_window.thrashing", &[Reason(&["rapid_refill_breaker"])], Kind::ContextWindow).hint(SHORTER),
    incomplete("context_window.text", &[Failure, Refused(&["max_output_tokens"]), Says(&["context window"])], Kind::ContextWindow)
        .hint(SHORTER),
    incomplete("context_window", &[Stop(&["model_context_window_exceeded"])], Kind::ContextWindow).hint(SHORTER),
    incomplete("max_output_tokens", &[Failure, Refused(&["max_output_tokens"])], Kind::MaxOutputTokens).hint(GO_ON),
    incomplete("max_output_tokens.stop", &[Stop(&["max_tokens"])], Kind::MaxOutputTokens)
        .says("the model's answer reached its longest length")
        .hint(GO_ON),
    // The provider takes the request for one that it cannot do.
    failed("request_too_large", &[Failure, Status(413, 413)], Kind::RequestTooLarge).hint(SHORTER),
    failed("image", &[Reason(&["image_error"])], Kind::Image).hint("send another image or document, or begin a new session"),
    failed("prompt_too_long", &[Reason(&["prompt_too_long", "blocking_limit"])], Kind::PromptTooLong).hint(SHORTER),
    failed("billing.credit", &[Failure, Refused(&["billing_error"])], Kind::Billing).hint(OPERATORS),
    failed("billing", &[Failure, Status(402, 402)], Kind::Billing).hint(OPERATORS),
    failed("billing.limits", &[Failure, Status(400, 400), Says(&["usage limits"])], Kind::Billing).hint(OPERATORS),
    failed("rate_limit", &[Failure, Status(429, 429)], Kind::RateLimit).hint(LATER),
    failed("rate_limit.word", &[Failure, Refused(&["rate_limit"])], Kind::RateLimit).hint(LATER),
    failed("permission", &[Failure, Status(403, 403)], Kind::Permission).hint(OPERATORS),
    failed(
        "permission.account",
        &[Failure, Refused(&["oauth_org_not_allowed", "account_on_hold", "org_disabled_credential"])],
        Kind::Permission,
    )
    .hint(OPERATORS),
    failed("authentication", &[Failure, Status(401, 401)], Kind::Authentication).hint(OPERATORS),
    failed("authentication.missing", &[Failure, Refused(&["authentication_failed"]), Says(&["Not logged in"])], Kind::Authentication)
        .says("the server has no credential for the model: its operator sets ANTHROPIC_API_KEY, or another one")
        .hint("`askd doctor` says which credentials there are"),
    failed(
        "authentication.word",
        &[Failure, Refused(&["authentication_failed", "verification_required", "cloud_credential_error"])],
        Kind::Authentication,
    )
    .hint(OPERATORS),
    failed("model_not_found", &[Failure, Refused(&["model_not_found"])], Kind::ModelNotFound).hint("ask for another model"),
    // It failed, or could not be reached.
    failed("overloaded", &[Failure, Status(529, 529)], Kind::Overloaded).hint(LATER),
    failed("overloaded.word", &[Failure, Refused(&["overloaded"])], Kind::Overloaded).hint(LATER),
    failed("connection.timeout", &[Failure, Status(408, 408)], Kind::Connection).hint(NETWORK),
    failed("server_error", &[Failure, Status(500, 599)], Kind::ServerError).hint(LATER),
    failed("invalid_request", &[Failure, Status(400, 499)], Kind::InvalidRequest),
    failed(
        "connection.word",
        &[Failure, NoStatus, Refused(&["connection_failed", "stream_idle_timeout", "no_response", "gateway_content_type"])],
        Kind::Connection,
    )
    .hint(NETWORK),
    failed("connection", &[Failure, NoStatus, Refused(&["server_error"])], Kind::Connection).hint(NETWORK),
    failed("connection.malformed", &[Failure, NoStatus, Says(&["empty or malformed response"])], Kind::Connection)
        .hint(NETWORK),
    failed("invalid_request.word", &[Failure, Refused(&["invalid_request"])], Kind::InvalidRequest),
    failed("upstream.status", &[Failure, Status(100, 999)], Kind::Upstream).hint(LATER),
    failed("upstream", &[Reason(&["api_error", "model_error", "malformed_tool_use_exhausted"])], Kind::Upstream).hint(LATER),
    // A failure that is none of these. Below this line nothing says that it failed.
    failed("failure", &[Failure], Kind::Run),
    // The CLI calls it a success, and the model's work was not done.
    failed("blocked_by_hook", &[NotAsked, Says(&["operation blocked by hook", "Operation stopped by hook"])], Kind::HookStopped)
        .says("a UserPromptSubmit hook of the configuration did not let the prompt pass"),
    failed("not_asked.refused", &[NotAsked, Says(&["Blank prompt", "Unknown command"])], Kind::InvalidRequest),
    incomplete("not_asked.schema", &[NotAsked, NoStructuredOutput], Kind::Schema)
        .says("the CLI worked on this prompt itself and gave no structured output; the model was not asked"),
    completed("not_asked.silent", &[NotAsked, NoAnswer])
        .says("the CLI worked on this prompt itself and said nothing; the model was not asked"),
    completed("not_asked", &[NotAsked]),
    failed("cut_off", &[Stop(&["null"]), NoUsage], Kind::Connection)
        .says("the answer was cut off: the connection to the provider was lost, and the CLI took what it had for an answer")
        .hint(NETWORK),
    incomplete("paused", &[Stop(&["pause_turn"])], Kind::Paused)
        .says("the provider paused in the middle of its answer, and the CLI did not ask it to go on")
        .hint(GO_ON),
    incomplete("deferred_by_hook", &[Reason(&["tool_deferred"])], Kind::HookStopped)
        .says("a PreToolUse hook put a tool call off; it was not made")
        .hint("continue the session: the call is then made"),
    incomplete("stopped_by_hook", &[Reason(&["hook_stopped"])], Kind::HookStopped)
        .says("a hook of the configuration stopped the run before its answer"),
    // From here on there is a whole turn.
    incomplete("schema.missing", &[NoStructuredOutput], Kind::Schema).says("the model gave no structured output"),
    incomplete("held_up_by_hook", &[Success, NoAnswer, SentBack], Kind::HookStopped)
        .says("a Stop hook of the configuration sent the model back until the CLI gave up; there is no answer"),
    completed("empty.tools", &[Success, NoAnswer, UsedTools]).says("the model called tools and gave no answer"),
    failed("empty", &[Success, NoAnswer], Kind::EmptyAnswer)
        .says("the model gave no answer, and called no tool")
        .hint("ask again, or otherwise"),
    completed("stop_hook", &[Success, Reason(&["stop_hook_prevented"])])
        .says("a Stop hook of the configuration ended the run; the answer is whole"),
    completed("unexplained", &[Success, Stop(&["null"])])
        .says("nobody says why the model stopped: the answer may be cut off"),
    completed("completed", &[Success]),
    // There is nothing left that is known. It did not succeed.
    failed("unknown", &[], Kind::Run),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_the_last_row_takes_everything() {
        let names: BTreeSet<_> = ROWS.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), ROWS.len());
        let (last, others) = ROWS.split_last().unwrap();
        assert!(last.when.is_empty() && matches!(last.then, Verdict::Failed(_)));
        assert!(others.iter().all(|row| !row.when.is_empty()), "a row hides those after it");
    }

    #[test]
    fn nothing_completes_that_does_not_say_so() {
        for row in ROWS.iter().filter(|row| row.then == Verdict::Completed) {
            assert!(row.when.iter().any(|mark| matches!(mark, Success | NotAsked)), "{}", row.name);
        }
    }

    #[test]
    fn what_people_are_told_is_a_sentence_without_an_end() {
        for text in ROWS.iter().flat_map(|row| row.message.into_iter().chain(row.hint)) {
            assert!(!text.ends_with('.') && text.len() < 200, "{text}");
        }
    }
}
