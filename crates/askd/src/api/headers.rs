//! Headers that more than one route answers with.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use uuid::Uuid;

use crate::encode::fold::{MAX_WARNINGS, ascii_line};
use crate::runs::RunId;

/// The run's id.
const RUN_ID_HEADER: HeaderName = HeaderName::from_static("x-askd-run-id");
/// The session's id, for `resume`, also where there is no result that names it.
const SESSION_ID_HEADER: HeaderName = HeaderName::from_static("x-askd-session-id");
/// On the answer to a request whose idempotency key was seen before.
const REPLAYED_HEADER: HeaderName = HeaderName::from_static("idempotency-replayed");

/// What a person wants to know besides the answer; one header a warning.
const WARNING_HEADER: HeaderName = HeaderName::from_static("x-askd-warning");

/// Says which run an answer is about.
pub(super) fn name_run(headers: &mut HeaderMap, id: RunId, session: Uuid, replayed: bool) {
    for (name, id) in [(RUN_ID_HEADER, id.to_string()), (SESSION_ID_HEADER, session.to_string())] {
        if let Ok(id) = HeaderValue::from_str(&id) {
            headers.insert(name, id);
        }
    }
    mark_replayed(headers, replayed);
}

/// Says that an earlier request with the same idempotency key has done it.
pub(super) fn mark_replayed(headers: &mut HeaderMap, replayed: bool) {
    if replayed {
        headers.insert(REPLAYED_HEADER, HeaderValue::from_static("true"));
    }
}

/// Adds warnings, as many as fit.
pub(in crate::api) fn warn(headers: &mut HeaderMap, warnings: impl IntoIterator<Item = impl AsRef<str>>) {
    for warning in warnings.into_iter().take(MAX_WARNINGS) {
        if let Ok(value) = HeaderValue::from_str(&ascii_line(warning.as_ref())) {
            headers.append(WARNING_HEADER, value);
        }
    }
}

/// What tells everything on the way that this answer comes piece by piece.
pub(super) fn stream(headers: &mut HeaderMap, media_type: &'static str) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    // Reverse proxies of nginx's kind hold answers back until they are complete, unless told.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
}
