//! Request bodies: JSON, bounded in size and in time.

use std::error::Error;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use http_body_util::LengthLimitError;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::error::ApiError;
use crate::settings::groups::Server;

/// How many bodies may be JSON values at the same time: as values they take up to some thirty times their size.
const PARSED_AT_ONCE: usize = 8;

static PARSING: Semaphore = Semaphore::const_new(PARSED_AT_ONCE);

/// Reads a JSON object and makes of it what the caller needs.
pub(super) async fn json_object<T>(
    request: Request,
    bounds: &Server,
    make: impl FnOnce(Map<String, Value>) -> Result<T, ApiError>,
) -> Result<T, ApiError> {
    let (head, body) = request.into_parts();
    let kind = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        let message = "the request must have the header content-type: application/json";
        return Err(ApiError::request(message).with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    let announced = head.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > bounds.max_body as u64) {
        return Err(too_large(bounds));
    }
    let read_and_wait = async { Ok::<_, ApiError>((read(body, bounds).await?, PARSING.acquire().await)) };
    let Ok(arrived) = timeout(bounds.body_timeout, read_and_wait).await else {
        let message = format!("the request's body did not arrive within {:?} (ASKD_BODY_TIMEOUT)", bounds.body_timeout);
        return Err(ApiError::request(message).with_status(StatusCode::REQUEST_TIMEOUT));
    };
    let (bytes, _place) = arrived?;
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(object)) => make(object),
        Ok(_) => Err(ApiError::request("the request's body must be a JSON object")),
        Err(error) => Err(ApiError::request(format!("the request's body is not valid JSON: {error}"))),
    }
}

async fn read(body: Body, bounds: &Server) -> Result<axum::body::Bytes, ApiError> {
    to_bytes(body, bounds.max_body).await.map_err(|error| {
        let over = error.source().is_some_and(<dyn Error>::is::<LengthLimitError>);
        if over { too_large(bounds) } else { ApiError::request("the request's body could not be read") }
    })
}

fn too_large(bounds: &Server) -> ApiError {
    let message = format!("the request's body is larger than {} bytes (ASKD_MAX_BODY)", bounds.max_body);
    ApiError::request(message).with_status(StatusCode::PAYLOAD_TOO_LARGE)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::settings::Settings;

    async fn parsed(body_timeout: Duration) -> Result<usize, ApiError> {
        let bounds = Server { body_timeout, ..Settings::for_testing(std::path::Path::new("/nonexistent")).server };
        let request = Request::builder().header(header::CONTENT_TYPE, "application/json");
        let request = request.body(Body::from(r#"{"a":1,"b":2}"#)).unwrap();
        json_object(request, &bounds, |object| Ok(object.len())).await
    }

    #[tokio::test]
    async fn only_so_many_bodies_are_values_at_once_and_waiting_counts_as_time() {
        let all = PARSING.acquire_many(PARSED_AT_ONCE.try_into().unwrap()).await.unwrap();
        let error = parsed(Duration::from_millis(20)).await.unwrap_err();
        assert!(error.message().contains("ASKD_BODY_TIMEOUT"), "{error:?}");
        drop(all);
        assert_eq!(parsed(Duration::from_mins(1)).await.unwrap(), 2);
    }
}
