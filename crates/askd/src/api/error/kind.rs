//! The types of errors below `/v1`.

use axum::http::StatusCode;

/// What is wrong, for programs; follows from the status. Each has a page in `docs/errors/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorType {
    /// The request cannot be understood or is not allowed.
    InvalidRequest,
    /// No key, or a wrong one.
    Authentication,
    /// What the key or the run may cost is used up.
    Billing,
    /// The key may not do this.
    Permission,
    /// There is none, or it is no longer kept.
    NotFound,
    /// It contradicts the state that the run or document is in.
    Conflict,
    /// The body is too large.
    RequestTooLarge,
    /// The key has sent too many requests.
    RateLimit,
    /// It cannot be done now.
    Overloaded,
    /// A deadline of a run passed.
    Timeout,
    /// A mistake of this server, or of what it needs.
    Api,
}

impl ErrorType {
    /// All types.
    pub const ALL: [Self; 11] = [
        Self::InvalidRequest,
        Self::Authentication,
        Self::Billing,
        Self::Permission,
        Self::NotFound,
        Self::Conflict,
        Self::RequestTooLarge,
        Self::RateLimit,
        Self::Overloaded,
        Self::Timeout,
        Self::Api,
    ];

    /// The type as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request_error",
            Self::Authentication => "authentication_error",
            Self::Billing => "billing_error",
            Self::Permission => "permission_error",
            Self::NotFound => "not_found_error",
            Self::Conflict => "conflict_error",
            Self::RequestTooLarge => "request_too_large",
            Self::RateLimit => "rate_limit_error",
            Self::Overloaded => "overloaded_error",
            Self::Timeout => "timeout_error",
            Self::Api => "api_error",
        }
    }

    /// The type of an error with this status.
    pub fn of(status: StatusCode) -> Self {
        match status.as_u16() {
            401 => Self::Authentication,
            402 => Self::Billing,
            403 => Self::Permission,
            404 | 410 => Self::NotFound,
            409 | 412 => Self::Conflict,
            413 => Self::RequestTooLarge,
            429 => Self::RateLimit,
            503 | 529 => Self::Overloaded,
            504 => Self::Timeout,
            400..=499 => Self::InvalidRequest,
            _ => Self::Api,
        }
    }
}
