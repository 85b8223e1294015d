//! Request bodies: JSON or bytes, bounded in size and in time.

use std::error::Error;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::LengthLimitError;
use serde_json::{Map, Value};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::error::ApiError;
use crate::settings::groups::Server;

/// How many bodies may be JSON values at the same time: as values they take up to some thirty times their size.
const PARSED_AT_ONCE: usize = 8;

static PARSING: Semaphore = Semaphore::const_new(PARSED_AT_ONCE);

/// How many bodies beyond `ASKD_MAX_BODY` may be in memory at the same time, or such as do not say how large they are.
const LARGE_AT_ONCE: usize = 4;

static LARGE: Semaphore = Semaphore::const_new(LARGE_AT_ONCE);

/// How large a body may be.
#[derive(Debug, Clone, Copy)]
struct Limit {
    bytes: usize,
    setting: &'static str,
}

impl Limit {
    fn usual(bounds: &Server) -> Self {
        Self { bytes: bounds.max_body, setting: "ASKD_MAX_BODY" }
    }

    fn of_config(bounds: &Server) -> Self {
        Self { bytes: bounds.max_config_body, setting: "ASKD_MAX_CONFIG_BODY" }
    }

    fn exceeded(self) -> ApiError {
        let message = format!("the request's body is larger than {} bytes ({})", self.bytes, self.setting);
        ApiError::request(message).with_status(StatusCode::PAYLOAD_TOO_LARGE)
    }
}

/// Reads a JSON object and makes of it what the caller needs.
pub(super) async fn json_object<T>(
    request: Request,
    bounds: &Server,
    make: impl FnOnce(Map<String, Value>) -> Result<T, ApiError>,
) -> Result<T, ApiError> {
    object(request, bounds, Limit::usual(bounds), make).await
}

/// The same for configuration, which may be larger.
pub(super) async fn config_object<T>(
    request: Request,
    bounds: &Server,
    make: impl FnOnce(Map<String, Value>) -> Result<T, ApiError>,
) -> Result<T, ApiError> {
    object(request, bounds, Limit::of_config(bounds), make).await
}

/// A body of configuration as it is, of whatever type. It counts as large until it is dropped.
pub(super) async fn config_bytes(
    request: Request,
    bounds: &Server,
) -> Result<(Bytes, Option<SemaphorePermit<'static>>), ApiError> {
    let (head, body) = request.into_parts();
    let limit = Limit::of_config(bounds);
    let place = in_time(bounds, place(&head.headers, bounds, limit)).await?;
    Ok((in_time(bounds, read(body, limit)).await?, place))
}

/// What is before the parameters of the type that a body is said to have; empty if it has none.
pub(super) fn media_type(headers: &HeaderMap) -> String {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

async fn object<T>(
    request: Request,
    bounds: &Server,
    limit: Limit,
    make: impl FnOnce(Map<String, Value>) -> Result<T, ApiError>,
) -> Result<T, ApiError> {
    let (head, body) = request.into_parts();
    if media_type(&head.headers) != "application/json" {
        let message = "the request must have the header content-type: application/json";
        return Err(ApiError::request(message).with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    let arrived = async {
        let large = place(&head.headers, bounds, limit).await?;
        Ok((read(body, limit).await?, large, PARSING.acquire().await))
    };
    let (bytes, _large, _place) = in_time(bounds, arrived).await?;
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(object)) => make(object),
        Ok(_) => Err(ApiError::request("the request's body must be a JSON object")),
        Err(error) => Err(ApiError::request(format!("the request's body is not valid JSON: {error}"))),
    }
}

async fn in_time<T>(bounds: &Server, work: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    timeout(bounds.body_timeout, work).await.unwrap_or_else(|_| {
        let message = format!("the request's body did not arrive within {:?} (ASKD_BODY_TIMEOUT)", bounds.body_timeout);
        Err(ApiError::request(message).with_status(StatusCode::REQUEST_TIMEOUT))
    })
}

/// A place for a large body, if this may be one; refuses what says that it is too large.
async fn place(
    headers: &HeaderMap,
    bounds: &Server,
    limit: Limit,
) -> Result<Option<SemaphorePermit<'static>>, ApiError> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit.bytes as u64) {
        return Err(limit.exceeded());
    }
    let usual = limit.bytes <= bounds.max_body || announced.is_some_and(|length| length <= bounds.max_body as u64);
    // It is never closed.
    Ok(if usual { None } else { LARGE.acquire().await.ok() })
}

async fn read(body: Body, limit: Limit) -> Result<Bytes, ApiError> {
    to_bytes(body, limit.bytes).await.map_err(|error| {
        let over = error.source().is_some_and(<dyn Error>::is::<LengthLimitError>);
        if over { limit.exceeded() } else { ApiError::request("the request's body could not be read") }
    })
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
