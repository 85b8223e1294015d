//! What metrics tell of requests: how many there were, how long each took to the head of its answer, how many wait for that.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;

use super::CLIENT_LEFT;
use crate::app::App;
use crate::metrics::Metrics;
use crate::metrics::kinds::Word;

/// Counts a request when its answer begins, or when its client leaves before that.
pub(super) async fn measure(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str).to_owned();
    let metrics = app.runs().shared().metrics.clone();
    metrics.http_in_flight.inc();
    let method = word(request.method());
    let mut counted = Counted { metrics, begun: Instant::now(), method, route, status: CLIENT_LEFT };
    let response = next.run(request).await;
    counted.status = response.status().as_u16();
    response
}

/// Counted when dropped, so also when the request's future is.
struct Counted {
    metrics: Metrics,
    begun: Instant,
    method: &'static str,
    route: String,
    status: u16,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Self { metrics, begun, method, route, status } = self;
        let (method, route) = (*method, std::mem::take(route));
        metrics.http_in_flight.dec();
        metrics.http_duration.of([Word::from(method), route.clone().into()]).observe(begun.elapsed().as_secs_f64());
        metrics.http_requests.of([Word::from(method), route.into(), status.to_string().into()]).inc();
    }
}

/// A client may call its method anything.
fn word(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}
