//! The answer in one piece: the CLI's `result` object, or an error.

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::super::error::{ApiError, ErrorCode};
use super::Client;
use crate::encode::fold::{Fold, Folded, RunResult};
use crate::runs::Finished;
use crate::runs::log::Follower;

/// How many tool calls were denied; the result lists them.
const DENIALS_HEADER: HeaderName = HeaderName::from_static("x-askd-permission-denials");
/// What a person wants to know of a run besides its answer; one header a warning.
const WARNING_HEADER: HeaderName = HeaderName::from_static("x-askd-warning");

/// Follows the run to its end. Dropped with the connection, it drops the client and so cancels the run.
pub(super) async fn respond(mut events: Follower, client: Client) -> Response {
    let mut fold = Fold::default();
    while let Some(event) = events.next().await {
        fold.take(&event);
    }
    drop(client);
    let Folded { result, finished, warnings } = fold.finish();
    let denials = result.as_ref().map_or(0, RunResult::denials);
    let answered = match (finished, result) {
        (Some(Finished { error: Some(error), .. }), result) => Err(ApiError::of_run(error, result)),
        (Some(Finished { error: None, .. }), Some(result)) => Ok(success(result)),
        // A run without a result has failed, and every run says how it ended: these are mistakes of ours.
        (Some(_), None) => Err(ApiError::new(ErrorCode::InternalError, "the run completed without a result")),
        (None, _) => Err(ApiError::new(ErrorCode::InternalError, "the run ended without saying how")),
    };
    let mut response = answered.unwrap_or_else(ApiError::into_response);
    if denials > 0 {
        response.headers_mut().insert(DENIALS_HEADER, HeaderValue::from(denials));
    }
    for warning in &warnings {
        if let Ok(value) = HeaderValue::from_str(warning) {
            response.headers_mut().append(WARNING_HEADER, value);
        }
    }
    response
}

/// The body is the result itself and no copy: it may be tens of megabytes long.
fn success(result: RunResult) -> Response {
    let mut response = Response::new(Body::from(Bytes::from_owner(result)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
