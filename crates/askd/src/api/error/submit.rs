//! Runs that were not taken in.

use axum::http::StatusCode;

use super::super::dialect::Dialect;
use super::ApiError;
use super::code::ErrorCode;
use crate::runs::queue::QueueFull;
use crate::runs::resolve::{Refusal, Why};
use crate::runs::submit::SubmitError;
use crate::runs::uploads::ContentError;
use crate::usd::Usd;

impl ApiError {
    /// Why a run was not taken in, with the names that the route has for the fields.
    pub(in crate::api) fn of_submit(error: SubmitError, dialect: &Dialect) -> Self {
        let message = error.to_string();
        match error {
            SubmitError::Refused(refusal) => Self::of_refusal(&refusal, dialect),
            SubmitError::Content(content) => Self::of_content(content),
            SubmitError::QueueFull(full) => {
                let code = match full {
                    QueueFull::Server { .. } => ErrorCode::ServerBusy,
                    // It is the key's own limit, and would be with nobody else there.
                    QueueFull::Key { .. } => ErrorCode::RateLimited,
                };
                Self::new(code, message).with_retry_after(full.wait())
            }
            SubmitError::Budget(exhausted) => {
                let mut hint =
                    format!("{} US dollars are left; the day ends at {} (UTC)", exhausted.left(), exhausted.resets_at);
                if let Some(most) = exhausted.would_do() {
                    hint = format!("{hint}; a run with a max_budget_usd of at most {most} may still be taken in");
                }
                if exhausted.reserved > Usd::ZERO {
                    hint.push_str("; what is set aside for runs may be free again when they end");
                }
                Self::new(ErrorCode::BudgetExceeded, message).with_hint(hint).with_retry_after(exhausted.wait)
            }
            SubmitError::ShuttingDown => Self::new(ErrorCode::ShuttingDown, message),
            SubmitError::DiskLow(_) => Self::new(ErrorCode::StoreUnavailable, message),
            SubmitError::KeyReused => {
                Self::request(message).with_status(StatusCode::UNPROCESSABLE_ENTITY).with_param("Idempotency-Key")
            }
            SubmitError::Store(error) => match Self::from(error) {
                unavailable if unavailable.code == ErrorCode::StoreUnavailable => Self { message, ..unavailable },
                other => other,
            },
            SubmitError::Mistake => Self::new(ErrorCode::InternalError, message),
        }
    }

    fn of_content(error: ContentError) -> Self {
        let refused = Self::request(error.to_string()).with_param(&error.field()).with_hint(error.hint());
        match error {
            ContentError::TooLarge { .. } => refused.with_status(StatusCode::PAYLOAD_TOO_LARGE),
            ContentError::NoUpload { id, is_of_others: true, .. } => refused.with_of_others("upload", id),
            ContentError::NoUpload { .. } | ContentError::Type { .. } | ContentError::TooMuch { .. } => refused,
        }
    }

    fn of_refusal(refusal: &Refusal, dialect: &Dialect) -> Self {
        let Refusal { field, part, why, message } = refusal;
        let name = &format!("{}{part}", dialect.name(field));
        let code = match why {
            Why::Value => ErrorCode::RequestError,
            Why::Policy => ErrorCode::Forbidden,
            Why::Folder => ErrorCode::InvalidCwd,
            Why::NoAgent => ErrorCode::AgentNotFound,
            Why::NoSession | Why::OthersSession(_) => ErrorCode::NotFound,
            Why::Busy => ErrorCode::ServerBusy,
            Why::Store => ErrorCode::StoreUnavailable,
            Why::Server => ErrorCode::InternalError,
        };
        let message = match why {
            // These texts name the field themselves.
            Why::Folder | Why::NoAgent => message.clone(),
            Why::Value | Why::Busy => format!("{name} {message}"),
            Why::Policy | Why::NoSession | Why::OthersSession(_) | Why::Store | Why::Server => {
                format!("{name}: {message}")
            }
        };
        let error = Self::new(code, message).with_param(name);
        match why {
            Why::OthersSession(session) => error.with_of_others("session", session.to_string()),
            _ => error,
        }
    }
}
