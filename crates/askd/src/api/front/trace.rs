//! The span of a request: from its head to the last byte of its answer.
//!
//! Only requests with a right key have one that a collector gets. Whoever has none can neither have traces recorded nor fill
//! the queue with them, and probes of health stay out. Paths, queries, addresses and headers are in none.

use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};

use super::CLIENT_LEFT;
use crate::http_server::Encrypted;
use crate::keys::KeyId;
use crate::runs::RunId;
use crate::runs::submit::Submitted;
use crate::settings::network::Host;
use crate::traces::place::{Place, TRACERESPONSE, brought, ids};
use crate::traces::span::Span;
use crate::traces::{SpanKind, Traces};

/// Asked again and again by machines: a span each would tell nothing.
const UNTRACED: &str = "/metrics";

/// Where a request stands in a trace, for its handler.
#[derive(Debug, Clone)]
pub(in crate::api) struct InTrace {
    place: Option<Place>,
    span: Arc<Mutex<Span>>,
}

impl InTrace {
    /// Of a request; `None`: there is no trace.
    pub(in crate::api) fn of(request: &Request) -> Option<&Self> {
        request.extensions().get()
    }

    /// For what the request begins.
    pub(in crate::api) fn place(&self) -> Option<Place> {
        self.place.clone()
    }

    /// Says that the request is about a run, whose span is not below that of the request.
    pub(in crate::api) fn is_about(&self, run: RunId, trace: Option<&Place>) {
        let mut span = lock(&self.span);
        span.set("askd.run.id", run.to_string());
        if let Some(trace) = trace.filter(|trace| trace.is_ours()) {
            span.link(trace);
        }
    }
}

/// Says that a request was given this run; where the run stands, for the log. That of an earlier request is in another
/// trace, or in another part of this one.
pub(in crate::api) fn about(trace: Option<&InTrace>, submitted: &Submitted) -> (Option<String>, Option<String>) {
    if let Some(trace) = trace {
        trace.is_about(submitted.id, submitted.trace.as_ref().filter(|_| submitted.replayed));
    }
    ids(submitted.trace.as_ref())
}

/// The span of a request under way. Ends when it is dropped.
pub(super) struct RequestSpan {
    place: Option<Place>,
    span: Arc<Mutex<Span>>,
    /// Filled once the key was found right.
    key: Arc<OnceLock<KeyId>>,
    status: u16,
}

impl RequestSpan {
    /// Begins it, and says to the handlers where the request stands.
    pub(super) fn begin(traces: &Traces, request: &mut Request, route: &str, key: Arc<OnceLock<KeyId>>) -> Self {
        let brought = brought(request.headers());
        let span = if route == UNTRACED {
            Span::default()
        } else {
            let method = known(request.method());
            let mut span = traces.begin(brought.as_ref(), method, SpanKind::Server);
            if span.is_recorded() {
                describe(&mut span, request, method, route);
            }
            span
        };
        let (place, span) = (span.place().cloned(), Arc::new(Mutex::new(span)));
        request.extensions_mut().insert(InTrace { place: place.clone(), span: Arc::clone(&span) });
        Self { place, span, key, status: CLIENT_LEFT }
    }

    /// For the log.
    pub(super) fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// The answer begins; the span goes with it to its end.
    pub(super) fn answered(mut self, mut response: Response) -> Response {
        self.status = response.status().as_u16();
        let ours = self.place.as_ref().filter(|place| place.is_ours() && self.key.get().is_some());
        if let Some(value) = ours.and_then(|place| HeaderValue::from_str(&place.traceparent()).ok()) {
            response.headers_mut().insert(HeaderName::from_static(TRACERESPONSE), value);
        }
        if lock(&self.span).is_recorded() {
            let body = mem::take(response.body_mut());
            *response.body_mut() = Body::new(Traced { body, _span: self });
        }
        response
    }
}

impl Drop for RequestSpan {
    fn drop(&mut self) {
        let mut span = mem::take(&mut *lock(&self.span));
        let Some(key) = self.key.get() else { return };
        span.set("askd.key.id", key.to_string());
        if self.status == CLIENT_LEFT {
            span.set("error.type", "client_left");
        } else {
            span.set("http.response.status_code", i64::from(self.status));
            if self.status >= 500 {
                span.fail(self.status.to_string());
            }
        }
        span.end();
    }
}

fn describe(span: &mut Span, request: &Request, method: &'static str, route: &str) {
    span.set("http.request.method", method);
    if route != "-" {
        span.rename(format!("{method} {route}"));
        span.set("http.route", route.to_owned());
    }
    span.set("url.scheme", if request.extensions().get::<Encrypted>().is_some() { "https" } else { "http" });
    let host = request.headers().get(header::HOST).and_then(|host| Host::read(host.to_str().ok()?));
    if let Some(host) = host {
        if let Some(port) = host.port {
            span.set("server.port", i64::from(port));
        }
        span.set("server.address", host.name);
    }
}

/// The method, if it is one of those that everybody knows.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "_OTHER",
    }
}

/// An answer with the span of its request, which ends when it is taken, or nobody is there to take it.
struct Traced {
    body: Body,
    _span: RequestSpan,
}

impl HttpBody for Traced {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn lock(span: &Mutex<Span>) -> MutexGuard<'_, Span> {
    span.lock().unwrap_or_else(PoisonError::into_inner)
}
