//! Answers of the routes that the Node server had.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// An error of the routes of the Node server, and of those that need no key.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct LegacyError {
    /// The error.
    error: LegacyErrorBody,
    /// The CLI's result, of a run that had begun; `null` if it gave none.
    result: Option<Value>,
}

/// What is wrong.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::api) struct LegacyErrorBody {
    /// For programs.
    code: String,
    /// For people.
    message: String,
    /// The request's id, as in the header.
    request_id: String,
}

/// The CLI's own `result` message.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct CliResult {
    /// What this is.
    r#type: String,
    /// How it ended, in the CLI's words.
    #[schema(nullable = false)]
    subtype: Option<String>,
    /// Whether it failed; here it did not.
    #[schema(nullable = false)]
    is_error: Option<bool>,
    /// The answer.
    #[schema(nullable = false)]
    result: Option<String>,
    /// The session, for `resume`.
    #[schema(nullable = false)]
    session_id: Option<String>,
}

/// A part of a list, as the Node server had it.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct LegacyList {
    /// What there is.
    items: Vec<LegacyItem>,
    /// How many these are.
    count: u64,
    /// How many there are.
    total: u64,
    /// How many were asked for at most.
    limit: u64,
    /// How many were passed over.
    offset: u64,
}

/// One of a list.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct LegacyItem {
    /// Its name.
    name: String,
    /// What it is for; empty if it does not say.
    description: String,
}

/// A document, as the Node server had it.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct LegacyDocument {
    /// Its name.
    name: String,
    /// Its text.
    content: String,
}

/// What was put.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct LegacyWritten {
    /// Its name.
    name: String,
}

/// The text of `CLAUDE.md`.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct LegacyText {
    /// It; empty if there is none.
    content: String,
}

/// `CLAUDE.md` was put.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct LegacyUpdated {
    /// Always.
    updated: bool,
}

/// The server is there.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Health {
    /// Always `ok`.
    status: String,
    /// The server's version.
    version: String,
    /// How busy it is.
    concurrency: Concurrency,
}

/// How busy a server is.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Concurrency {
    /// Runs at work.
    active: u64,
    /// How many there may be.
    max: u64,
    /// Runs that wait.
    queued: u64,
}

/// One block of the stream of `/ask`. Comments are signs of life and warnings.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct StreamBlock {
    /// Absent: `data` is a line of the CLI. `error`: it says what went wrong. `done`: the end, with `code` 0 or 1.
    #[schema(nullable = false)]
    event: Option<String>,
    /// JSON.
    data: String,
}
