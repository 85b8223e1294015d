//! What every request passes through, outermost first: its address, log line, request id, headers, host and origin,
//! panics. Then come the key and its rate limit ([`super::router`]), and the route.

use std::any::Any;
use std::net::IpAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;

use super::error::ApiError;
use super::error::code::ErrorCode;
use super::idempotency::pepper::Operators;
use super::request_id::{REQUEST_ID_HEADER, identify};
use crate::app::App;
use crate::http_server::Encrypted;
use crate::keys::KeyId;
use crate::settings::InForce;
use crate::settings::network::Host;
use crate::traces::Traces;
use crate::traces::place::{Place, ids};
use client_address::{ClientAddress, Proxies};
use failures::Failures;
use hosts::Hosts;
use origins::{Asking, Origins};
use rate::Rates;
use shares::Shares;
use shown_key::ForTheLog;
use trace::RequestSpan;

pub(super) mod client_address;
pub(super) mod failures;
mod hosts;
mod measure;
mod origins;
pub(super) mod rate;
pub(super) mod shares;
pub(super) mod shown_key;
pub(super) mod trace;

/// An API's answers are no pages: nothing in them may be guessed, framed, stored, run or embedded by a browser.
const SECURITY_HEADERS: [(HeaderName, &str); 7] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    // Pages that may read an answer ask with CORS, which this does not concern.
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// What stands before the routes: from where and how often they may be called.
#[derive(Debug)]
pub(super) struct Front {
    /// Where the limits come from that a reload changes.
    settings: InForce,
    hosts: Hosts,
    origins: Origins,
    proxies: Proxies,
    failures: Failures,
    rates: Rates,
    shares: Arc<Shares>,
    operators_pepper: Arc<Operators>,
}

impl Front {
    pub(super) fn new(in_force: &InForce) -> Self {
        let settings = in_force.now();
        let network = &settings.network;
        Self {
            settings: in_force.clone(),
            hosts: Hosts::new(network, &settings.server),
            origins: Origins(network.allowed_origins.clone()),
            proxies: Proxies {
                trusted: network.trusted_proxies.clone(),
                header: network.forwarded_header,
                told: AtomicBool::new(false),
            },
            failures: Failures::new(),
            rates: Rates::new(),
            shares: Arc::new(Shares::new(settings.server.max_connections)),
            operators_pepper: Arc::new(Operators::new(&settings.auth.api_key)),
        }
    }

    /// The addresses that wrong keys came from.
    pub(super) fn failures(&self) -> &Failures {
        &self.failures
    }

    /// What fingerprints of requests that show `API_KEY` are made with.
    pub(super) fn operators_pepper(&self) -> Arc<Operators> {
        Arc::clone(&self.operators_pepper)
    }
}

/// Puts the layers around the routes.
pub(super) fn wrap(routes: Router, app: Arc<App>, front: &Arc<Front>) -> Router {
    let traces = app.runs().shared().traces.clone();
    let routes = routes
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(Arc::clone(front), guard))
        .layer(from_fn(secure))
        .layer(from_fn_with_state(Arc::clone(&app), identify))
        .layer(from_fn_with_state(app, measure::measure))
        .layer(from_fn_with_state(traces, log))
        .layer(from_fn_with_state(Arc::clone(front), client_address::find));
    // From outside: the router adds `allow` after every layer of its own.
    Router::new().fallback_service(routes).layer(from_fn(hide_methods))
}

/// Without a key nobody learns which routes there are, and so not which methods they take. A 405 comes only behind the key,
/// or from routes that need none; whatever else the router adds this to was refused before.
async fn hide_methods(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().remove(header::ALLOW);
    }
    response
}

fn panicked(_: Box<dyn Any + Send>) -> Response {
    // The panic hook has logged what happened.
    ApiError::new(ErrorCode::InternalError, "the server made a mistake; its log has the details").into_response()
}

/// A year. Without subdomains: they may be somebody else's.
const STRICT: HeaderValue = HeaderValue::from_static("max-age=31536000");

async fn secure(request: Request, next: Next) -> Response {
    let strict = request.extensions().get::<Encrypted>().is_some() && !is_localhost(&request);
    let mut response = next.run(request).await;
    if strict {
        response.headers_mut().entry(header::STRICT_TRANSPORT_SECURITY).or_insert(STRICT);
    }
    for (name, value) in SECURITY_HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Whoever works at this machine has other things on `localhost`, and a browser would ask all of them for TLS.
fn is_localhost(request: &Request) -> bool {
    let host = request.headers().get(header::HOST).and_then(|host| Host::read(host.to_str().ok()?));
    host.is_none_or(|host| host.name == "localhost")
}

/// Lets a request through that is for this server and from no strange web page: also one without a key, for an
/// upgrade, or for the health of the server. Answers the browsers' own questions.
async fn guard(State(front): State<Arc<Front>>, request: Request, next: Next) -> Response {
    let asking = front.hosts.check(&request).and_then(|host| front.origins.check(request.headers(), host.as_ref()));
    let mut response = match asking {
        Err(error) => error.into_response(),
        Ok(Asking::Own) => next.run(request).await,
        Ok(Asking::Page(origin)) => {
            let preflight = origins::is_preflight(request.method(), request.headers());
            let mut response = if preflight { origins::preflight() } else { next.run(request).await };
            origins::open(response.headers_mut(), origin);
            response
        }
    };
    if front.origins.matter() {
        response.headers_mut().append(header::VARY, HeaderValue::from_static("origin"));
    }
    response
}

/// One line a request, when its answer begins, or when its client leaves before that (499). The route, not the path: a
/// path may hold what a caller considers secret.
async fn log(State(traces): State<Traces>, mut request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str).to_owned();
    let key = ForTheLog::default();
    let span = RequestSpan::begin(&traces, &mut request, &route, Arc::clone(&key.0));
    let mut line = LogLine {
        start: Instant::now(),
        method: request.method().clone(),
        route,
        address: request.extensions().get().map(|ClientAddress(address)| *address),
        key: Arc::clone(&key.0),
        place: span.place().cloned(),
        answer: None,
    };
    request.extensions_mut().insert(key);
    let response = next.run(request).await;
    let id = response.headers().get(REQUEST_ID_HEADER).and_then(|id| id.to_str().ok()).unwrap_or("-");
    line.answer = Some((response.status().as_u16(), id.to_owned()));
    span.answered(response)
}

/// Written when dropped, so also when the request's future is.
struct LogLine {
    start: Instant,
    method: Method,
    route: String,
    address: Option<IpAddr>,
    /// Filled once the key was found right.
    key: Arc<OnceLock<KeyId>>,
    /// Where it stands in a trace.
    place: Option<Place>,
    answer: Option<(u16, String)>,
}

/// What proxies write for a client that left; there is no official status for it.
const CLIENT_LEFT: u16 = 499;

impl Drop for LogLine {
    fn drop(&mut self) {
        let Self { start, method, route, address, key, place, answer } = self;
        let ms = (start.elapsed().as_secs_f64() * 1000.0).round();
        let (status, request_id) = answer.take().unwrap_or((CLIENT_LEFT, "-".to_owned()));
        // Without a right key there is no span that anybody gets, and what a stranger names is no trace.
        let (trace_id, span_id) = ids(place.as_ref().filter(|_| key.get().is_some()));
        let key = key.get().map_or("-", KeyId::as_str);
        let address = address.map_or_else(|| "-".to_owned(), |address| address.to_string());
        tracing::info!(%method, route, status, ms, request_id, key, address, trace_id, span_id, "request");
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn a_browser_is_bound_to_tls_by_an_encrypted_answer_and_never_for_all_of_localhost() {
        for (encrypted, host, strict) in [
            (true, "askd.example.com", true),
            (true, "askd.example.com:8443", true),
            (false, "askd.example.com", false),
            (true, "localhost:3000", false),
        ] {
            let routes: Router = Router::new().route("/", get(async || "")).layer(from_fn(secure));
            let mut request = Request::new(Body::empty());
            request.headers_mut().insert(header::HOST, HeaderValue::from_static(host));
            if encrypted {
                request.extensions_mut().insert(Encrypted);
            }
            let response = routes.oneshot(request).await.unwrap();
            assert_eq!(
                response.headers().contains_key(header::STRICT_TRANSPORT_SECURITY),
                strict,
                "{encrypted} {host}"
            );
        }
    }
}
