//! Configuration that cannot be read or changed.

use axum::http::StatusCode;

use super::ApiError;
use super::code::ErrorCode;
use crate::config::archive::ArchiveError;
use crate::config::change::Condition;
use crate::config::error::ConfigError;
use crate::config::kind::Kind;
use crate::config::name::{DocumentId, NameError};
use crate::config::problem::{Problem, Report};

/// The most problems that an answer names. Whoever has more mends these first.
const MAX_PROBLEMS: usize = 100;

impl ApiError {
    /// There is no such document.
    pub(in crate::api) fn no_document(id: &DocumentId) -> Self {
        Self::new(ErrorCode::NotFound, format!("there is no {}", named(id)))
    }

    /// A name that no document can have; with the one that was probably meant.
    pub(in crate::api) fn of_name(kind: Kind, name: &str, error: &NameError) -> Self {
        let wrong = Self::param("name", error);
        let plain = name.strip_suffix(".md").unwrap_or(name).to_lowercase().replace(['_', ' ', '.'], "-");
        match DocumentId::new(kind, Some(&plain)) {
            Ok(_) if *error == NameError::Form => wrong.with_hint(format!("did you mean `{plain}`?")),
            _ => wrong,
        }
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

/// A document as a person calls it.
fn named(id: &DocumentId) -> String {
    let what = match id.kind() {
        Kind::Agent => "agent",
        Kind::Skill => "skill",
        Kind::Rule => "rule",
        Kind::Command => "command",
        Kind::OutputStyle => "output style",
        Kind::ClaudeMd => "CLAUDE.md",
        Kind::Settings => "settings.json",
        Kind::McpServers => "file of MCP servers",
        Kind::Policy => "policy",
    };
    match id.name() {
        Some(name) => format!("{what} `{name}`"),
        None => what.to_owned(),
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
            ConfigError::TooLarge { .. } => Self::request(message).with_status(StatusCode::PAYLOAD_TOO_LARGE),
            ConfigError::Precondition { current, condition } => {
                let header = if matches!(condition, Condition::IfAbsent) { "If-None-Match" } else { "If-Match" };
                let now = current.map_or("there is none now".to_owned(), |etag| format!("its tag is now \"{etag}\""));
                Self::request(message).with_status(StatusCode::PRECONDITION_FAILED).with_param(header).with_hint(now)
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
            | ConfigError::Outside { .. }
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
            ArchiveError::Invalid(problems) | ArchiveError::Foreign(problems, _) => {
                Self::request(message).with_hint_of_text().with_all(problems)
            }
            ArchiveError::TooLarge(_) => Self::request(message).with_status(StatusCode::PAYLOAD_TOO_LARGE),
        }
    }
}
