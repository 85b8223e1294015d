//! Every answer carries the request's id: the caller's own, if it is harmless, or a new one.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use serde_json::Value;
use uuid::Uuid;

use super::error::ErrorBody;

/// The header, in both directions.
pub const REQUEST_ID_HEADER: &str = "x-request-id";

/// The request's id, for handlers and for the log.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

const MAX_LENGTH: usize = 128;

/// Gives the request its id, and the answer too, in its header and in an error's body.
pub(super) async fn identify(mut request: Request, next: Next) -> Response {
    let id =
        request.headers().get(REQUEST_ID_HEADER).and_then(acceptable).unwrap_or_else(|| Uuid::new_v4().to_string());
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = next.run(request).await;
    if let Some(ErrorBody(mut body)) = response.extensions_mut().remove() {
        body["error"]["requestId"] = Value::String(id.clone());
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.body_mut() = Body::from(body.to_string());
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID_HEADER, value);
    }
    response
}

/// Visible ASCII only, so that an id can stand in a log line.
fn acceptable(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?;
    let fits = (1..=MAX_LENGTH).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| text.to_owned())
}
