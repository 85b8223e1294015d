//! Request bodies: JSON or bytes, bounded in size and in time.

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::BytesMut;
use http_body_util::BodyExt as _;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use self::depth::too_deep;
use self::large::Large;
use super::again::{self, Seen};
use super::error::ApiError;
use crate::settings::groups::Server;

mod depth;
mod large;

/// How many bodies may be JSON values at the same time: as values they take up to some thirty times their size.
const PARSED_AT_ONCE: usize = 8;

static PARSING: Semaphore = Semaphore::const_new(PARSED_AT_ONCE);

/// How large a body may be.
#[derive(Debug, Clone, Copy)]
struct Limit {
    bytes: usize,
    setting: &'static str,
    /// Of a change of the configuration.
    is_of_config: bool,
}

impl Limit {
    fn usual(bounds: &Server) -> Self {
        Self { bytes: bounds.max_body, setting: "ASKD_MAX_BODY", is_of_config: false }
    }

    fn of_config(bounds: &Server) -> Self {
        Self { bytes: bounds.max_config_body, setting: "ASKD_MAX_CONFIG_BODY", is_of_config: true }
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

/// The same for a request that need not say anything: without a body it is an empty object.
pub(super) async fn optional_object<T>(
    request: Request,
    bounds: &Server,
    make: impl FnOnce(Map<String, Value>) -> Result<T, ApiError>,
) -> Result<T, ApiError> {
    // Many clients send the header content-type with every POST, also without a body.
    let headers = request.headers();
    let has_length = headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    if has_length || headers.contains_key(header::TRANSFER_ENCODING) {
        json_object(request, bounds, make).await
    } else {
        make(Map::new())
    }
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
pub(super) async fn config_bytes(request: Request, bounds: &Server) -> Result<(Bytes, Option<Large>), ApiError> {
    let (head, body) = request.into_parts();
    let limit = Limit::of_config(bounds);
    let until = Instant::now() + bounds.body_timeout;
    let read = in_time(bounds, until, read(&head, body, bounds, limit)).await?;
    look_again(&head, limit).await?;
    Ok(read)
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
    let until = Instant::now() + bounds.body_timeout;
    let (bytes, _large) = in_time(bounds, until, read(&head, body, bounds, limit)).await?;
    // Before the place is taken: a store that stalls must not hold up those who do not need it.
    look_again(&head, limit).await?;
    let _place = in_time(bounds, until, async { Ok(PARSING.acquire().await) }).await?;
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(object)) => make(object),
        Ok(_) => Err(ApiError::request("the request's body must be a JSON object")),
        Err(error) => Err(match too_deep(&bytes) {
            Some((field, what)) => ApiError::param(&field, what),
            None => ApiError::request(format!("the request's body is not valid JSON: {error}")),
        }),
    }
}

async fn in_time<T>(
    bounds: &Server,
    until: Instant,
    work: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    timeout_at(until, work).await.unwrap_or_else(|_| {
        let message = format!("the request's body did not arrive within {:?} (ASKD_BODY_TIMEOUT)", bounds.body_timeout);
        Err(ApiError::request(message).with_status(StatusCode::REQUEST_TIMEOUT))
    })
}

/// The key may have been revoked or changed while the body came in. For a change of the configuration that it is let in again
/// is not enough: what it may reach was looked at before.
async fn look_again(head: &Parts, limit: Limit) -> Result<(), ApiError> {
    match again::look(head).await? {
        Seen::Changed if limit.is_of_config => Err(ApiError::conflict(
            "the scopes or the policy of the key were changed while the request's body came in; send the request again",
        )),
        Seen::Changed | Seen::Same => Ok(()),
    }
}

/// Reads a body, and takes a place for large ones when it turns out to be one.
async fn read(head: &Parts, body: Body, bounds: &Server, limit: Limit) -> Result<(Bytes, Option<Large>), ApiError> {
    let announced = head.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit.bytes as u64) {
        return Err(limit.exceeded());
    }
    let (mut body, mut bytes, mut large) = (body, BytesMut::new(), None);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::request("the request's body could not be read"))?;
        let Ok(piece) = frame.into_data() else { continue };
        if piece.len() > limit.bytes.saturating_sub(bytes.len()) {
            return Err(limit.exceeded());
        }
        if large.is_none() && bytes.len() + piece.len() > bounds.max_body {
            large = Some(Large::of(head).await);
        }
        bytes.extend_from_slice(&piece);
    }
    Ok((bytes.freeze(), large))
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
