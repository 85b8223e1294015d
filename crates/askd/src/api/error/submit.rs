//! Runs that were not taken in.

use axum::http::StatusCode;

use super::super::dialect::Dialect;
use super::ApiError;
use super::code::ErrorCode;
use crate::runs::resolve::{Refusal, Why};
use crate::runs::submit::SubmitError;

impl ApiError {
    /// Why a run was not taken in, with the names that the route has for the fields.
    pub(in crate::api) fn of_submit(error: SubmitError, dialect: &Dialect) -> Self {
        let message = error.to_string();
        match error {
            SubmitError::Refused(refusal) => Self::of_refusal(&refusal, dialect),
            SubmitError::QueueFull(_) => Self::new(ErrorCode::ServerBusy, message),
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

    fn of_refusal(refusal: &Refusal, dialect: &Dialect) -> Self {
        let Refusal { field, why, message } = refusal;
        let name = dialect.name(field);
        let code = match why {
            Why::Value => ErrorCode::RequestError,
            Why::Folder => ErrorCode::InvalidCwd,
            Why::NoAgent => ErrorCode::AgentNotFound,
            Why::NoSession => ErrorCode::NotFound,
            Why::Busy => ErrorCode::ServerBusy,
            Why::Server => ErrorCode::InternalError,
        };
        let message = match why {
            // These texts name the field themselves.
            Why::Folder | Why::NoAgent => message.clone(),
            Why::Value if message.starts_with(name) => message.clone(),
            Why::Value | Why::Busy => format!("{name} {message}"),
            Why::NoSession | Why::Server => format!("{name}: {message}"),
        };
        Self::new(code, message).with_param(name)
    }
}
