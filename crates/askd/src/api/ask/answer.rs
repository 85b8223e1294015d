//! The answer in one piece: the CLI's `result` object, or an error.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;

use super::super::error::{ApiError, ErrorCode};
use super::Client;
use crate::encode::fold::{Fold, Folded};
use crate::runs::log::Follower;

/// How many tool calls were denied; the result lists them.
const DENIALS_HEADER: HeaderName = HeaderName::from_static("x-askd-permission-denials");
/// What a person wants to know of a run that succeeded all the same; one header a warning.
const WARNING_HEADER: HeaderName = HeaderName::from_static("x-askd-warning");

/// Follows the run to its end. Dropped with the connection, it drops the client and so cancels the run.
pub(super) async fn respond(mut events: Follower, client: Client) -> Result<Response, ApiError> {
    let mut fold = Fold::default();
    while let Some(event) = events.next().await {
        fold.take(&event);
    }
    drop(client);
    let Folded { result, finished, warnings } = fold.finish();
    let Some(finished) = finished else {
        return Err(ApiError::new(ErrorCode::InternalError, "the run ended without saying how"));
    };
    let raw = result.as_ref().map(|result| result.raw.clone());
    match (finished.error, raw) {
        (None, Some(raw)) => {
            let denials = result.map_or(0, |result| result.denials);
            Ok(success(raw.get().to_owned(), denials, &warnings))
        }
        // The outcome of a run without a result is a failure, so this is a mistake of ours.
        (None, None) => Err(ApiError::new(ErrorCode::InternalError, "the run completed without a result")),
        (Some(error), raw) => Err(ApiError::of_run(error, raw)),
    }
}

fn success(result: String, denials: usize, warnings: &[String]) -> Response {
    let mut response = Response::new(Body::from(result));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if denials > 0 {
        headers.insert(DENIALS_HEADER, HeaderValue::from(denials));
    }
    for warning in warnings {
        if let Ok(value) = HeaderValue::from_str(warning) {
            headers.append(WARNING_HEADER, value);
        }
    }
    response
}
