//! Configuration that cannot be read or changed.

use axum::http::StatusCode;

use super::ApiError;
use super::code::ErrorCode;
use crate::config::archive::ArchiveError;
use crate::config::error::ConfigError;
use crate::config::name::DocumentId;
use crate::config::problem::{Problem, Report};

/// The most problems that an answer names. Whoever has more mends these first.
const MAX_PROBLEMS: usize = 100;

impl ApiError {
    /// There is no such document.
    pub(in crate::api) fn no_document(id: &DocumentId) -> Self {
        Self::new(ErrorCode::NotFound, format!("there is no {id} in the configuration"))
    }

    /// A document that the CLI would skip, wholly or in part.
    pub(in crate::api) fn of_report(report: Report) -> Self {
        Self::request(first(&report.errors)).with_param("content").with_all(report.errors)
    }

    fn with_all(self, mut problems: Vec<Problem>) -> Self {
        problems.truncate(MAX_PROBLEMS);
        self.with_problems(problems)
    }

    /// With the text's own `; hint: …` as the hint.
    fn with_hint_of_text(mut self) -> Self {
        match self.message.split_once("; hint: ") {
            None => self,
            Some((message, hint)) => {
                let (message, hint) = (message.to_owned(), hint.to_owned());
                self.message = message;
                self.with_hint(hint)
            }
        }
    }
}

fn first(problems: &[Problem]) -> String {
    problems.first().map_or_else(|| "the content is not valid".to_owned(), ToString::to_string)
}

impl From<ConfigError> for ApiError {
    fn from(error: ConfigError) -> Self {
        let message = error.to_string();
        match error {
            ConfigError::Invalid(report) => Self::of_report(report),
            ConfigError::Secret => Self::request(message).with_param("content"),
            ConfigError::Outside => Self::request(message),
            ConfigError::TooLarge { .. } => Self::request(message).with_status(StatusCode::PAYLOAD_TOO_LARGE),
            ConfigError::Precondition { current } => {
                let now = current.map_or("there is none now".to_owned(), |etag| format!("its tag is now \"{etag}\""));
                Self::request(message).with_status(StatusCode::PRECONDITION_FAILED).with_hint(now)
            }
            ConfigError::NotFound => Self::new(ErrorCode::NotFound, message),
            ConfigError::NoWorkspace(_) => Self::new(ErrorCode::NotFound, message).with_param("workspace"),
            ConfigError::NeedsExec(_) => {
                let hint =
                    "it needs the permission config:exec, which the operator has taken away (ASKD_CONFIG_CHANGES)";
                Self::new(ErrorCode::Forbidden, message).with_hint(hint)
            }
            ConfigError::Forbidden(problems) => {
                let hint = "no setting that names a program or redirects the model is set over HTTP; the operator writes \
                    it into the file";
                Self::new(ErrorCode::Forbidden, first(&problems))
                    .with_param("content")
                    .with_all(problems)
                    .with_hint(hint)
            }
            ConfigError::ReadOnly(_)
            | ConfigError::Link { .. }
            | ConfigError::NotAFolder { .. }
            | ConfigError::TooMany(_)
            | ConfigError::Conflict(_) => Self::conflict(message).with_hint_of_text(),
            ConfigError::Busy => Self::new(ErrorCode::ServerBusy, message),
            ConfigError::Store(error) => match Self::from(error) {
                unavailable if unavailable.code == ErrorCode::StoreUnavailable => Self { message, ..unavailable },
                other => other,
            },
            ConfigError::Unnoted(_) | ConfigError::Io(_) => Self::new(ErrorCode::StoreUnavailable, message),
        }
    }
}

impl From<ArchiveError> for ApiError {
    fn from(error: ArchiveError) -> Self {
        let message = error.to_string();
        match error {
            ArchiveError::Invalid(problems) => Self::request(message).with_all(problems),
            ArchiveError::TooLarge(_) => Self::request(message).with_status(StatusCode::PAYLOAD_TOO_LARGE),
        }
    }
}
