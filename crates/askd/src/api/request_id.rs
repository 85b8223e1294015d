//! Every answer carries the request's id: the caller's own, if it is harmless, or a new one.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

use super::error::body::{ErrorBody, Surface};
use crate::app::App;

/// The header, in both directions.
pub const REQUEST_ID_HEADER: &str = "x-request-id";
/// Below `/v1` it also has the name that clients of the Messages API know.
const V1_HEADER: HeaderName = HeaderName::from_static("request-id");

/// The request's id, for handlers and for the log.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

const MAX_LENGTH: usize = 128;

/// Gives the request its id, and the answer too, in its header and in an error's body.
pub(super) async fn identify(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let given = request.headers().get(REQUEST_ID_HEADER).and_then(acceptable);
    let id = given.unwrap_or_else(|| app.runs().shared().ambient.uuid().to_string());
    request.extensions_mut().insert(RequestId(id.clone()));
    let surface = Surface::of(request.uri().path());
    let mut response = next.run(request).await;
    if let Some(error) = response.extensions_mut().remove::<ErrorBody>() {
        app.runs().shared().metrics.errors.of(error.words()).inc();
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.status_mut() = error.status(surface);
        *response.body_mut() = Body::from(error.to_json(surface, &id));
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        if surface == Surface::V1 {
            response.headers_mut().insert(V1_HEADER, value.clone());
        }
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
