//! Errors as clients see them. One type; it is written as the request's route wants it: on the routes of the Node server
//! `{"error":{"code","message","requestId"}}`, below `/v1` `{"type":"error","error":{"type","message"},"request_id"}`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use crate::config::problem::Problem;
use crate::encode::fold::RunResult;
use crate::runs::RunId;
use crate::runs::follow::FollowError;
use crate::runs::live::CommandError;
use crate::store::StoreError;

pub(super) mod body;
pub mod code;
mod config;
pub mod kind;
pub mod outcome;
mod submit;

use self::body::ErrorBody;
use self::code::ErrorCode;

/// What names a place in the events of a run.
const AFTER: &str = "after";

/// After how many seconds to try again what will pass, nobody knows when.
const USUAL_WAIT: u64 = 5;

/// An error on its way to a client.
#[derive(Debug)]
pub struct ApiError {
    code: ErrorCode,
    status: StatusCode,
    message: String,
    /// The field, query parameter or header at fault.
    param: Option<String>,
    /// Boxed: most errors have none, and an error is passed on by value.
    advice: Option<Box<Advice>>,
    work: Work,
}

/// What else there is to say.
#[derive(Debug, Default)]
struct Advice {
    /// What to do.
    hint: Option<String>,
    /// What is wrong with a document, and where.
    problems: Vec<Problem>,
    /// The methods that the path takes, of a 405.
    allow: Option<&'static str>,
    /// When to try again, in seconds from now.
    retry_after: Option<u64>,
    /// What it is about is there, and belongs to another key: `run` or `session`, and its id. It is in no answer.
    of_others: Option<(&'static str, String)>,
}

/// What the error of a run carries besides.
#[derive(Debug)]
enum Work {
    /// The CLI had not begun, or there is no run at all.
    NotBegun,
    /// The CLI's result, if it gave one.
    Begun(Option<RunResult>),
    /// The run as clients see it, in JSON.
    Shown(Vec<u8>),
}

impl ApiError {
    /// An error with the code's usual status.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let status = code.describe().1;
        Self { code, status, message: message.into(), param: None, advice: None, work: Work::NotBegun }
    }

    /// A request that cannot be understood.
    pub fn request(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::RequestError, message)
    }

    /// The same, for one field, query parameter or header: what is wrong with it follows its name.
    pub fn param(name: &str, what: impl fmt::Display) -> Self {
        Self::request(format!("{name} {what}")).with_param(name)
    }

    /// Something that contradicts the state which the run is in.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::request(message).with_status(StatusCode::CONFLICT)
    }

    /// What happened, for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The field, query parameter or header at fault.
    pub fn at_fault(&self) -> Option<&str> {
        self.param.as_deref()
    }

    /// With a status of its own.
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// With the field, query parameter or header at fault.
    #[must_use]
    pub fn with_param(self, name: &str) -> Self {
        // It may be a name of the client's own making.
        Self { param: Some(name.chars().take(100).collect()), ..self }
    }

    /// With what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.advice.get_or_insert_default().hint = Some(hint.into());
        self
    }

    /// With what is wrong with a document, and where.
    #[must_use]
    pub fn with_problems(mut self, problems: Vec<Problem>) -> Self {
        self.advice.get_or_insert_default().problems = problems;
        self
    }

    /// With the methods that would be taken.
    #[must_use]
    pub fn with_allow(mut self, methods: &'static str) -> Self {
        self.advice.get_or_insert_default().allow = Some(methods);
        self
    }

    /// With the time after which it may be tried again.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.advice.get_or_insert_default().retry_after = Some(whole_seconds(wait));
        self
    }

    /// With what is not there for this key alone. The answer does not say so; the audit does.
    #[must_use]
    pub(super) fn with_of_others(mut self, kind: &'static str, id: String) -> Self {
        self.advice.get_or_insert_default().of_others = Some((kind, id));
        self
    }

    /// What belongs to another key, if that is why it is not there: `run` or `session`, and its id.
    pub(super) fn of_others(&self) -> Option<(&'static str, &str)> {
        let (kind, id) = self.advice.as_ref()?.of_others.as_ref()?;
        Some((kind, id))
    }

    /// The same for a place that was named by another parameter or header than `after`.
    #[must_use]
    pub(super) fn with_place(self, name: &str) -> Self {
        if self.at_fault() == Some(AFTER) { self.with_param(name) } else { self }
    }

    /// Something that failed when the run had been taken in: it is there, whatever became of its answer.
    #[must_use]
    pub(super) fn after_submit(self, id: RunId) -> Self {
        let Self { message, .. } = self;
        Self { message: format!("run {id} was taken in; {message}"), ..self }
    }

    /// The status below `/v1`: there 429 is for limits of a key, and a full queue is 529.
    pub(super) fn v1_status(&self) -> StatusCode {
        match self.code {
            // The run says what its status is.
            _ if matches!(self.work, Work::Shown(_)) => self.status,
            ErrorCode::ServerBusy => StatusCode::from_u16(529).unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
            _ => self.status,
        }
    }
}

/// A wait as `Retry-After` says it. A client that comes a moment too early is refused again, so it is told a moment too
/// much.
pub(super) fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, [(header::CONTENT_TYPE, "application/json")]).into_response();
        let usual = || {
            let passes =
                matches!(self.code, ErrorCode::ServerBusy | ErrorCode::ShuttingDown | ErrorCode::StoreUnavailable);
            passes.then_some(USUAL_WAIT)
        };
        if let Some(seconds) = self.advice.as_ref().and_then(|advice| advice.retry_after).or_else(usual) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(methods) = self.advice.as_ref().and_then(|advice| advice.allow) {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
        }
        response.extensions_mut().insert(ErrorBody(Arc::new(self)));
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            // What the database says of a statement is for the log.
            StoreError::Mistake(_) => {
                tracing::error!(%error, "the store refused a statement");
                Self::new(ErrorCode::InternalError, "the server made a mistake; its log has the details")
            }
            StoreError::Closed => Self::new(ErrorCode::ShuttingDown, "the server is shutting down"),
            StoreError::Full | StoreError::Unavailable | StoreError::Late => {
                Self::new(ErrorCode::StoreUnavailable, format!("{error}; try again later"))
            }
        }
    }
}

impl From<FollowError> for ApiError {
    fn from(error: FollowError) -> Self {
        let message = error.to_string();
        match error {
            FollowError::Unknown(_) => Self::new(ErrorCode::NotFound, message),
            FollowError::Expired => Self::new(ErrorCode::NotFound, message).with_status(StatusCode::GONE),
            FollowError::Beyond { .. } => Self::request(message).with_param(AFTER),
            FollowError::Interrupted(_) => Self::new(ErrorCode::ShuttingDown, message),
            FollowError::LetGo(_) => Self::new(ErrorCode::StoreUnavailable, message),
            FollowError::Store(error) => error.into(),
        }
    }
}

impl From<CommandError> for ApiError {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::NotStarted | CommandError::Ended | CommandError::TooMany => Self::conflict(error.to_string()),
            CommandError::Busy => Self::new(ErrorCode::ServerBusy, error.to_string()),
        }
    }
}

pub(super) async fn no_such_route(method: Method, uri: Uri) -> ApiError {
    ApiError::new(ErrorCode::NotFound, format!("there is no route {method} {}", uri.path()))
}

pub(super) async fn no_such_method(method: Method, uri: Uri) -> ApiError {
    ApiError::request(format!("{} does not take {method}", uri.path())).with_status(StatusCode::METHOD_NOT_ALLOWED)
}
