//! Which web pages may call the server from a browser. A browser says in `Origin` which page asks, and lets that page
//! read the answer only if the answer says so (CORS).

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;

use crate::api::error::ApiError;
use crate::api::error::code::ErrorCode;
use crate::settings::network::{Host, Origin};

/// What pages may send. A name more does no harm: without a key nothing is done.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";

/// The headers that pages may send, besides those that need no leave.
const SENT: &str = "x-api-key, authorization, content-type, accept, idempotency-key, last-event-id, prefer, if-match, \
                    if-none-match, x-request-id, x-askd-on-disconnect, x-askd-executable";

/// The headers of answers that pages may read, besides those that need no leave.
pub(super) const READ: &str = "x-request-id, request-id, retry-after, ratelimit, ratelimit-policy, etag, location, allow, \
                               content-disposition, preference-applied, idempotency-replayed, x-askd-run-id, \
                               x-askd-session-id, x-askd-warning, x-askd-permission-denials, x-askd-executable, \
                               anthropic-ratelimit-requests-limit, anthropic-ratelimit-requests-remaining, \
                               anthropic-ratelimit-requests-reset, traceresponse";

/// How long a browser need not ask again. Chromium remembers it for no longer.
const MAX_AGE: Duration = Duration::from_hours(2);

/// The pages.
#[derive(Debug)]
pub(super) struct Origins(pub(super) Vec<Origin>);

/// Who asks.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asking {
    /// No web page, or one of the server's own host: it needs no leave.
    Own,
    /// A page of this origin, which is allowed. The value is the header, byte for byte.
    Page(HeaderValue),
}

impl Origins {
    /// Who sends a request with these headers to this host; an error if it may not.
    pub(super) fn check(&self, headers: &HeaderMap, host: Option<&Host>) -> Result<Asking, ApiError> {
        let mut values = headers.get_all(header::ORIGIN).iter();
        let Some(value) = values.next() else { return Ok(Asking::Own) };
        let origin = value.to_str().ok().and_then(|origin| Origin::read(origin).ok());
        match origin {
            Some(origin) if values.next().is_none() => {
                if self.0.contains(&origin) {
                    return Ok(Asking::Page(value.clone()));
                }
                if host.is_some_and(|host| origin.is_of(host)) {
                    return Ok(Asking::Own);
                }
            }
            // `null`, or several, or no origin at all: nobody of whom anything is known.
            _ => {}
        }
        let error = ApiError::new(ErrorCode::Forbidden, "web pages of this origin may not use this server");
        Err(error.with_param("origin").with_hint("its operator can allow them: ASKD_ALLOWED_ORIGINS"))
    }

    /// Whether answers differ by who asks.
    pub(super) fn matter(&self) -> bool {
        !self.0.is_empty()
    }
}

/// Whether it is the question that a browser asks first, before it sends the page's request. It comes without a key.
pub(super) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to that. It says nothing of which routes there are.
pub(super) fn preflight() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(SENT));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from(MAX_AGE.as_secs()));
    response
}

/// Lets the page read an answer. No credentials: a browser is not to send cookies, or anything else that the page did
/// not.
pub(super) fn open(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(READ));
}
