//! What every request passes through, outermost first: log line, request id, headers, panics.

use std::any::Any;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;

use super::error::{ApiError, ErrorCode};
use super::request_id::{REQUEST_ID_HEADER, identify};

/// An API's answers are no pages: nothing in them may be guessed, framed, stored or run by a browser.
const SECURITY_HEADERS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
];

/// Puts the layers around the routes.
pub(super) fn wrap(routes: Router) -> Router {
    routes.layer(CatchPanicLayer::custom(panicked)).layer(from_fn(secure)).layer(from_fn(identify)).layer(from_fn(log))
}

fn panicked(_: Box<dyn Any + Send>) -> Response {
    // The panic hook has logged what happened.
    ApiError::new(ErrorCode::InternalError, "the server made a mistake; its log has the details").into_response()
}

async fn secure(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in SECURITY_HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// One line a request, when its answer begins. The route, not the path: a path may hold what a caller considers secret.
async fn log(request: Request, next: Next) -> Response {
    let start = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str).to_owned();
    let response = next.run(request).await;
    let id = response.headers().get(REQUEST_ID_HEADER).and_then(|id| id.to_str().ok()).unwrap_or("-");
    let milliseconds = start.elapsed().as_secs_f64() * 1000.0;
    tracing::info!(%method, route, status = response.status().as_u16(), ms = milliseconds.round(), request_id = id, "request");
    response
}
