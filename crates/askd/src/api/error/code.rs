//! The codes of errors on the routes of the Node server.

use axum::http::StatusCode;

/// What is wrong, for programs. Each has a page in `docs/errors/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// No key, or a wrong one.
    Unauthorized,
    /// The key may not do this.
    Forbidden,
    /// The request cannot be understood or is not allowed.
    RequestError,
    /// The working folder cannot be used.
    InvalidCwd,
    /// There is no such agent.
    AgentNotFound,
    /// No such route, run or session.
    NotFound,
    /// The key has sent too many requests.
    RateLimited,
    /// What the key or the run may cost is used up.
    BudgetExceeded,
    /// The queue is full, or the wait was too long.
    ServerBusy,
    /// The server takes no new work.
    ShuttingDown,
    /// Nothing can be kept now, and so nothing is begun.
    StoreUnavailable,
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
    pub const ALL: [Self; 17] = [
        Self::Unauthorized,
        Self::Forbidden,
        Self::RequestError,
        Self::InvalidCwd,
        Self::AgentNotFound,
        Self::NotFound,
        Self::RateLimited,
        Self::BudgetExceeded,
        Self::ServerBusy,
        Self::ShuttingDown,
        Self::StoreUnavailable,
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
            Self::Forbidden => ("FORBIDDEN", StatusCode::FORBIDDEN),
            Self::RequestError => ("REQUEST_ERROR", StatusCode::BAD_REQUEST),
            Self::InvalidCwd => ("INVALID_CWD", StatusCode::BAD_REQUEST),
            Self::AgentNotFound => ("AGENT_NOT_FOUND", StatusCode::BAD_REQUEST),
            Self::NotFound => ("NOT_FOUND", StatusCode::NOT_FOUND),
            Self::RateLimited => ("RATE_LIMITED", StatusCode::TOO_MANY_REQUESTS),
            Self::BudgetExceeded => ("BUDGET_EXCEEDED", StatusCode::PAYMENT_REQUIRED),
            Self::ServerBusy => ("SERVER_BUSY", StatusCode::TOO_MANY_REQUESTS),
            Self::ShuttingDown => ("SHUTTING_DOWN", StatusCode::SERVICE_UNAVAILABLE),
            Self::StoreUnavailable => ("STORE_UNAVAILABLE", StatusCode::SERVICE_UNAVAILABLE),
            Self::UpstreamError => ("UPSTREAM_ERROR", StatusCode::BAD_GATEWAY),
            Self::Timeout => ("TIMEOUT", StatusCode::GATEWAY_TIMEOUT),
            Self::TurnLimit => ("TURN_LIMIT", StatusCode::INTERNAL_SERVER_ERROR),
            Self::SchemaFailed => ("SCHEMA_FAILED", StatusCode::INTERNAL_SERVER_ERROR),
            Self::RunFailed => ("RUN_FAILED", StatusCode::INTERNAL_SERVER_ERROR),
            Self::InternalError => ("INTERNAL_ERROR", StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}
