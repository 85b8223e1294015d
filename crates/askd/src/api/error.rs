//! Errors as clients see them: `{"error":{"code","message","requestId"}}`.

use std::sync::Arc;

use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::encode::fold::RunResult;
use crate::runs::submit::SubmitError;
use crate::runs::{RunError, RunErrorKind};

/// What is wrong, for programs. Each has a page in `docs/errors/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// No key, or a wrong one.
    Unauthorized,
    /// The request cannot be understood or is not allowed.
    RequestError,
    /// The working folder cannot be used.
    InvalidCwd,
    /// There is no such agent.
    AgentNotFound,
    /// No such route or session.
    NotFound,
    /// The queue is full, or the wait was too long.
    ServerBusy,
    /// The server takes no new work.
    ShuttingDown,
    /// The provider refused or failed.
    UpstreamError,
    /// A deadline passed.
    Timeout,
    /// The turn limit was reached.
    TurnLimit,
    /// The answer does not fit the schema.
    SchemaFailed,
    /// The run failed.
    RunFailed,
    /// A mistake of this server.
    InternalError,
}

impl ErrorCode {
    /// All codes.
    pub const ALL: [Self; 13] = [
        Self::Unauthorized,
        Self::RequestError,
        Self::InvalidCwd,
        Self::AgentNotFound,
        Self::NotFound,
        Self::ServerBusy,
        Self::ShuttingDown,
        Self::UpstreamError,
        Self::Timeout,
        Self::TurnLimit,
        Self::SchemaFailed,
        Self::RunFailed,
        Self::InternalError,
    ];

    /// The code as it is written, and the status it comes with unless a case says otherwise.
    pub fn describe(self) -> (&'static str, StatusCode) {
        match self {
            Self::Unauthorized => ("UNAUTHORIZED", StatusCode::UNAUTHORIZED),
            Self::RequestError => ("REQUEST_ERROR", StatusCode::BAD_REQUEST),
            Self::InvalidCwd => ("INVALID_CWD", StatusCode::BAD_REQUEST),
            Self::AgentNotFound => ("AGENT_NOT_FOUND", StatusCode::BAD_REQUEST),
            Self::NotFound => ("NOT_FOUND", StatusCode::NOT_FOUND),
            Self::ServerBusy => ("SERVER_BUSY", StatusCode::TOO_MANY_REQUESTS),
            Self::ShuttingDown => ("SHUTTING_DOWN", StatusCode::SERVICE_UNAVAILABLE),
            Self::UpstreamError => ("UPSTREAM_ERROR", StatusCode::BAD_GATEWAY),
            Self::Timeout => ("TIMEOUT", StatusCode::GATEWAY_TIMEOUT),
            Self::TurnLimit => ("TURN_LIMIT", StatusCode::INTERNAL_SERVER_ERROR),
            Self::SchemaFailed => ("SCHEMA_FAILED", StatusCode::INTERNAL_SERVER_ERROR),
            Self::RunFailed => ("RUN_FAILED", StatusCode::INTERNAL_SERVER_ERROR),
            Self::InternalError => ("INTERNAL_ERROR", StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}

/// An error on its way to a client.
#[derive(Debug)]
pub struct ApiError {
    code: ErrorCode,
    status: StatusCode,
    message: String,
    work: Work,
}

/// What the error of a run carries besides.
#[derive(Debug)]
enum Work {
    /// The CLI had not begun, or there is no run at all.
    NotBegun,
    /// The CLI's result, if it gave one.
    Begun(Option<RunResult>),
}

impl ApiError {
    /// An error with the code's usual status.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, status: code.describe().1, message: message.into(), work: Work::NotBegun }
    }

    /// A request that cannot be understood.
    pub fn request(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::RequestError, message)
    }

    /// A run that did not complete, with the CLI's result, if it gave one.
    pub fn of_run(error: RunError, result: Option<RunResult>) -> Self {
        let (code, begun) = match error.kind {
            RunErrorKind::Busy => (ErrorCode::ServerBusy, false),
            RunErrorKind::ShuttingDown => (ErrorCode::ShuttingDown, false),
            RunErrorKind::AgentNotFound => (ErrorCode::AgentNotFound, false),
            RunErrorKind::Upstream => (ErrorCode::UpstreamError, true),
            RunErrorKind::Timeout => (ErrorCode::Timeout, true),
            RunErrorKind::TurnLimit => (ErrorCode::TurnLimit, true),
            RunErrorKind::Schema => (ErrorCode::SchemaFailed, true),
            RunErrorKind::Cancelled | RunErrorKind::Run => (ErrorCode::RunFailed, true),
        };
        let work = if begun { Work::Begun(result) } else { Work::NotBegun };
        Self { work, ..Self::new(code, error.message) }
    }

    /// What happened, for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// With a status of its own.
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        let code = match error {
            SubmitError::QueueFull(_) => ErrorCode::ServerBusy,
            SubmitError::ShuttingDown => ErrorCode::ShuttingDown,
        };
        Self::new(code, error.to_string())
    }
}

/// The error itself; [`super::request_id`] writes it, with the request's id.
#[derive(Debug, Clone)]
pub(super) struct ErrorBody(Arc<ApiError>);

impl ErrorBody {
    /// The body, in JSON. A run's result is passed on byte for byte.
    pub(super) fn to_json(&self, request_id: &str) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Error<'a> {
            code: &'a str,
            message: &'a str,
            request_id: &'a str,
        }
        let ApiError { code, message, work, .. } = &*self.0;
        let error = Error { code: code.describe().0, message, request_id };
        let result = match work {
            Work::NotBegun => None,
            Work::Begun(result) => Some(result.as_ref().map_or("null", RunResult::as_str)),
        };
        // Put together by hand and in one allocation: the result may be tens of megabytes long, and is valid JSON.
        let mut body = Vec::with_capacity(256 + message.len() + result.map_or(0, str::len));
        body.extend_from_slice(b"{\"error\":");
        // Only strings are serialised here, which cannot fail.
        drop(serde_json::to_writer(&mut body, &error));
        if let Some(result) = result {
            body.extend_from_slice(b",\"result\":");
            body.extend_from_slice(result.as_bytes());
        }
        body.push(b'}');
        body
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, [(header::CONTENT_TYPE, "application/json")]).into_response();
        if matches!(self.code, ErrorCode::ServerBusy | ErrorCode::ShuttingDown) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response.extensions_mut().insert(ErrorBody(Arc::new(self)));
        response
    }
}

pub(super) async fn no_such_route(method: Method, uri: Uri) -> ApiError {
    ApiError::new(ErrorCode::NotFound, format!("there is no route {method} {}", uri.path()))
}

pub(super) async fn no_such_method(method: Method, uri: Uri) -> ApiError {
    ApiError::request(format!("{} does not take {method}", uri.path())).with_status(StatusCode::METHOD_NOT_ALLOWED)
}
