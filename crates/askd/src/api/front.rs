//! What every request passes through, outermost first: log line, request id, headers, panics.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;

use super::error::ApiError;
use super::error::code::ErrorCode;
use super::request_id::{REQUEST_ID_HEADER, identify};
use crate::app::App;

/// An API's answers are no pages: nothing in them may be guessed, framed, stored or run by a browser.
const SECURITY_HEADERS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
];

/// Puts the layers around the routes.
pub(super) fn wrap(routes: Router, app: Arc<App>) -> Router {
    let routes = routes
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(secure))
        .layer(from_fn_with_state(app, identify))
        .layer(from_fn(log));
    // From outside: the router adds `allow` after every layer of its own.
    Router::new().fallback_service(routes).layer(from_fn(hide_methods))
}

/// Without a key nobody learns which routes there are, and so not which methods they take.
async fn hide_methods(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().remove(header::ALLOW);
    }
    response
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

/// One line a request, when its answer begins, or when its client leaves before that (499). The route, not the path: a
/// path may hold what a caller considers secret.
async fn log(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str).to_owned();
    let mut line = LogLine { start: Instant::now(), method: request.method().clone(), route, answer: None };
    let response = next.run(request).await;
    let id = response.headers().get(REQUEST_ID_HEADER).and_then(|id| id.to_str().ok()).unwrap_or("-");
    line.answer = Some((response.status().as_u16(), id.to_owned()));
    response
}

/// Written when dropped, so also when the request's future is.
struct LogLine {
    start: Instant,
    method: Method,
    route: String,
    answer: Option<(u16, String)>,
}

/// What proxies write for a client that left; there is no official status for it.
const CLIENT_LEFT: u16 = 499;

impl Drop for LogLine {
    fn drop(&mut self) {
        let Self { start, method, route, answer } = self;
        let ms = (start.elapsed().as_secs_f64() * 1000.0).round();
        let (status, request_id) = answer.take().unwrap_or((CLIENT_LEFT, "-".to_owned()));
        tracing::info!(%method, route, status, ms, request_id, "request");
    }
}
