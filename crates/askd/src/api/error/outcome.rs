//! Runs that did not complete: code of `/ask`, and status where `fail_http` asks for one. `docs/reference/outcomes.md` is made
//! of it.

use std::time::Duration;

use axum::http::StatusCode;
use jiff::Timestamp;

use super::code::ErrorCode;
use super::{ApiError, Work};
use crate::encode::fold::RunResult;
use crate::runs::{RunError, RunErrorKind};

/// A time to come back that is further away says nothing to a client that waits.
const LONGEST_WAIT: Duration = Duration::from_hours(31 * 24);

/// How `/ask` calls this. The provider's refusals are 502 and never the caller's 401 or 429.
pub fn code(kind: RunErrorKind) -> ErrorCode {
    match kind {
        RunErrorKind::Busy => ErrorCode::ServerBusy,
        RunErrorKind::ShuttingDown => ErrorCode::ShuttingDown,
        RunErrorKind::AgentNotFound => ErrorCode::AgentNotFound,
        RunErrorKind::Upstream
        | RunErrorKind::RateLimit
        | RunErrorKind::Overloaded
        | RunErrorKind::ServerError
        | RunErrorKind::Connection
        | RunErrorKind::Authentication
        | RunErrorKind::Billing
        | RunErrorKind::Permission
        | RunErrorKind::ModelNotFound
        | RunErrorKind::InvalidRequest
        | RunErrorKind::PromptTooLong
        | RunErrorKind::RequestTooLarge
        | RunErrorKind::Image
        | RunErrorKind::Refusal
        | RunErrorKind::MaxOutputTokens
        | RunErrorKind::ContextWindow
        | RunErrorKind::Paused
        | RunErrorKind::EmptyAnswer => ErrorCode::UpstreamError,
        RunErrorKind::Timeout | RunErrorKind::IdleTimeout | RunErrorKind::FirstOutputTimeout => ErrorCode::Timeout,
        RunErrorKind::TurnLimit => ErrorCode::TurnLimit,
        RunErrorKind::Budget => ErrorCode::BudgetExceeded,
        RunErrorKind::Schema => ErrorCode::SchemaFailed,
        RunErrorKind::HookStopped
        | RunErrorKind::Startup
        | RunErrorKind::SessionNotFound
        | RunErrorKind::SessionInUse
        | RunErrorKind::CliDied
        | RunErrorKind::OutputLimit
        | RunErrorKind::LineLimit
        | RunErrorKind::MemoryLimit
        | RunErrorKind::ProcessLimit
        | RunErrorKind::OpenFilesLimit
        | RunErrorKind::DiskLimit
        | RunErrorKind::Policy
        | RunErrorKind::Cancelled
        | RunErrorKind::Lost
        | RunErrorKind::Invalid
        | RunErrorKind::Run => ErrorCode::RunFailed,
    }
}

/// The status of `POST /v1/runs?fail_http=true`. 401 and 403 stay what they are everywhere else: about the caller's own key.
pub fn status(kind: RunErrorKind) -> u16 {
    match kind {
        RunErrorKind::AgentNotFound
        | RunErrorKind::ModelNotFound
        | RunErrorKind::InvalidRequest
        | RunErrorKind::PromptTooLong
        | RunErrorKind::Image => 400,
        RunErrorKind::Policy => 403,
        RunErrorKind::SessionNotFound => 404,
        RunErrorKind::SessionInUse | RunErrorKind::Cancelled | RunErrorKind::Invalid => 409,
        RunErrorKind::RequestTooLarge => 413,
        // It was done as asked, up to a limit: the same again would end the same.
        RunErrorKind::TurnLimit
        | RunErrorKind::Budget
        | RunErrorKind::Schema
        | RunErrorKind::MaxOutputTokens
        | RunErrorKind::ContextWindow
        | RunErrorKind::Paused
        | RunErrorKind::HookStopped
        | RunErrorKind::Refusal
        | RunErrorKind::OutputLimit
        | RunErrorKind::LineLimit
        | RunErrorKind::MemoryLimit
        | RunErrorKind::ProcessLimit
        | RunErrorKind::OpenFilesLimit
        | RunErrorKind::DiskLimit => 422,
        RunErrorKind::RateLimit => 429,
        RunErrorKind::Startup | RunErrorKind::CliDied | RunErrorKind::Lost | RunErrorKind::Run => 500,
        RunErrorKind::Upstream
        | RunErrorKind::ServerError
        | RunErrorKind::Connection
        | RunErrorKind::Authentication
        | RunErrorKind::Billing
        | RunErrorKind::Permission
        | RunErrorKind::EmptyAnswer => 502,
        RunErrorKind::Busy | RunErrorKind::ShuttingDown => 503,
        RunErrorKind::Timeout | RunErrorKind::IdleTimeout | RunErrorKind::FirstOutputTimeout => 504,
        RunErrorKind::Overloaded => 529,
    }
}

/// Whether the CLI had not begun, so that there is no result to show.
fn is_before_the_start(kind: RunErrorKind) -> bool {
    matches!(
        kind,
        RunErrorKind::Busy | RunErrorKind::ShuttingDown | RunErrorKind::AgentNotFound | RunErrorKind::Invalid
    )
}

impl ApiError {
    /// A run that did not complete, with the CLI's result, if it gave one.
    pub fn of_run(error: RunError, result: Option<RunResult>, now: Timestamp) -> Self {
        let work = if is_before_the_start(error.kind) { Work::NotBegun } else { Work::Begun(result) };
        let wait = wait(&error, now);
        let answer = Self { work, ..Self::new(code(error.kind), error.message) };
        wait.into_iter().fold(answer, Self::with_retry_after)
    }

    /// The same below `/v1`, for a client that wants the status to tell; with the run, in JSON.
    pub(in crate::api) fn of_shown_run(error: &RunError, run: Vec<u8>, now: Timestamp) -> Self {
        let status = StatusCode::from_u16(status(error.kind)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let answer = Self::new(code(error.kind), error.message.as_str()).with_status(status);
        let answer = Self { work: Work::Shown(run), ..answer };
        let answer = error.hint.iter().fold(answer, Self::with_hint);
        wait(error, now).into_iter().fold(answer, Self::with_retry_after)
    }
}

/// How long it is until the provider will take requests again, where it says so.
fn wait(error: &RunError, now: Timestamp) -> Option<Duration> {
    let at: Timestamp = error.retry_at.as_ref()?.parse().ok()?;
    let wait = Duration::try_from(at.duration_since(now)).unwrap_or_default();
    (wait <= LONGEST_WAIT).then_some(wait)
}

#[cfg(test)]
mod tests {
    use super::super::kind::ErrorType;
    use super::*;

    fn limited(retry_at: &str) -> RunError {
        RunError { retry_at: Some(retry_at.into()), ..RunError::new(RunErrorKind::RateLimit, "too many") }
    }

    #[test]
    fn the_providers_refusals_are_never_the_callers_401_402_or_403() {
        for kind in RunErrorKind::ALL {
            let (name, usual) = code(kind).describe();
            assert!(!matches!(usual.as_u16(), 401 | 403), "{kind:?}: {name}");
            assert!(!matches!(status(kind), 401 | 402), "{kind:?}");
            assert!(status(kind) != 403 || kind == RunErrorKind::Policy, "{kind:?}");
        }
    }

    #[test]
    fn each_kind_has_a_code_of_the_ask_route_and_a_status_of_its_type() {
        // The codes that a run of `/ask` may end with.
        let codes = [
            "SERVER_BUSY",
            "SHUTTING_DOWN",
            "AGENT_NOT_FOUND",
            "UPSTREAM_ERROR",
            "TIMEOUT",
            "TURN_LIMIT",
            "BUDGET_EXCEEDED",
            "SCHEMA_FAILED",
            "RUN_FAILED",
        ];
        for kind in RunErrorKind::ALL {
            assert!(codes.contains(&code(kind).describe().0), "{kind:?}");
            assert!(status(kind) >= 400);
        }
        let of = |kind| ErrorType::of(StatusCode::from_u16(status(kind)).unwrap()).as_str();
        for (kind, expected) in [
            (RunErrorKind::RateLimit, "rate_limit_error"),
            (RunErrorKind::Overloaded, "overloaded_error"),
            (RunErrorKind::ServerError, "api_error"),
            (RunErrorKind::Authentication, "api_error"),
            (RunErrorKind::ModelNotFound, "invalid_request_error"),
            (RunErrorKind::RequestTooLarge, "request_too_large"),
            (RunErrorKind::TurnLimit, "invalid_request_error"),
            (RunErrorKind::Timeout, "timeout_error"),
            (RunErrorKind::Cancelled, "conflict_error"),
            (RunErrorKind::Startup, "api_error"),
        ] {
            assert_eq!(of(kind), expected, "{kind:?}");
        }
    }

    #[test]
    fn a_time_to_come_back_is_told_if_there_is_one() {
        let now: Timestamp = "2026-11-23T09:00:00Z".parse().unwrap();
        assert_eq!(wait(&RunError::new(RunErrorKind::RateLimit, "x"), now), None, "none is invented");
        assert_eq!(wait(&limited("2026-11-23T10:00:00Z"), now), Some(Duration::from_hours(1)));
        assert_eq!(wait(&limited("2026-11-23T08:00:00Z"), now), Some(Duration::ZERO), "it has passed");
        assert_eq!(wait(&limited("9999-01-01T00:00:00Z"), now), None);
    }
}
