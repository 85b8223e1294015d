//! Request bodies: JSON, bounded in size and in time.

use std::error::Error;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use http_body_util::LengthLimitError;
use serde_json::{Map, Value};
use tokio::time::timeout;

use super::error::ApiError;
use crate::settings::groups::Server;

/// Reads a JSON object.
pub(super) async fn json_object(request: Request, bounds: &Server) -> Result<Map<String, Value>, ApiError> {
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
    let Ok(bytes) = timeout(bounds.body_timeout, read(body, bounds)).await else {
        let message = format!("the request's body did not arrive within {:?} (ASKD_BODY_TIMEOUT)", bounds.body_timeout);
        return Err(ApiError::request(message).with_status(StatusCode::REQUEST_TIMEOUT));
    };
    match serde_json::from_slice(&bytes?) {
        Ok(Value::Object(object)) => Ok(object),
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
