//! Plays an answer into an HTTP response.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;

use crate::play::{Action, Opening, Player, message};
use crate::record::{Ending, RecordedRequest};
use crate::recorder::Recorder;
use crate::script::{FaultKind, Part, Step, UpstreamError};
use crate::wire::{Event, Usage, error_envelope, to_json};

/// Records how the answer ended, also when it is dropped half-way.
pub(crate) struct Watch {
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) request: RecordedRequest,
}

impl Watch {
    fn end(&self, ending: Ending) {
        self.recorder.end(&self.request, ending);
    }

    /// An answer that is given in full costs something.
    fn bill(&self, model: &str, usage: &Usage) {
        self.recorder.bill(model, usage);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.end(Ending::ClientLeft);
    }
}

/// Plays `part`; the future itself may wait, fail or hang before the response exists.
pub(crate) async fn answer(part: Part, opening: Opening, streamed: bool, watch: Watch) -> Response {
    tokio::time::sleep(part.delay).await;
    let request_id = format!("req_{}", opening.id);
    if let Some(Step::Fault(fault)) = part.steps.first() {
        match &fault.kind {
            FaultKind::Cut | FaultKind::Short => return cut(watch, Bytes::new()),
            FaultKind::Hang => std::future::pending().await,
            FaultKind::Upstream(upstream) => {
                watch.end(Ending::Answered);
                return upstream_error(upstream, &request_id);
            }
        }
    }
    if streamed {
        stream_events(Player::new(part, opening), &request_id, watch)
    } else {
        collect(part, opening, request_id, watch).await
    }
}

fn stream_events(player: Player, request_id: &str, watch: Watch) -> Response {
    let frames = stream::unfold((player, watch), |(mut player, watch)| async move {
        loop {
            let frame = match player.next() {
                Some(Action::Emit(event)) => event.frame(),
                Some(Action::Wait(time)) => {
                    tokio::time::sleep(time).await;
                    continue;
                }
                Some(Action::Hang) => std::future::pending().await,
                Some(Action::Cut) => {
                    watch.end(Ending::Cut);
                    return Some((Err(cut_error().await), (player, watch)));
                }
                Some(Action::Fail(upstream)) => error_event(&upstream).frame(),
                Some(Action::Stop) => {
                    watch.end(Ending::Cut);
                    return None;
                }
                None => {
                    if let Some((model, usage)) = player.report() {
                        watch.bill(model, &usage);
                    }
                    watch.end(Ending::Answered);
                    return None;
                }
            };
            return Some((Ok(frame), (player, watch)));
        }
    });
    let body = Body::from_stream(frames);
    let mut response = respond(StatusCode::OK, "text/event-stream; charset=utf-8", request_id, body);
    let no_cache = HeaderValue::from_static("no-cache");
    response.headers_mut().insert(header::CACHE_CONTROL, no_cache);
    response
}

/// The same answer without streaming: waits and failures happen before the body.
async fn collect(part: Part, opening: Opening, request_id: String, watch: Watch) -> Response {
    let mut message = message(&opening, Usage::default());
    for action in Player::new(part, opening) {
        match action {
            Action::Emit(event) => message.absorb(event),
            Action::Wait(time) => tokio::time::sleep(time).await,
            Action::Hang => std::future::pending().await,
            Action::Cut | Action::Stop => {
                let mut json = to_json(&message).into_bytes();
                json.truncate(json.len() / 2);
                return cut(watch, Bytes::from(json));
            }
            Action::Fail(upstream) => {
                watch.end(Ending::Answered);
                return upstream_error(&upstream, &request_id);
            }
        }
    }
    watch.bill(&message.model, &message.usage);
    watch.end(Ending::Answered);
    json(StatusCode::OK, to_json(&message), &request_id)
}

/// Sends `start`, then drops the connection.
fn cut(watch: Watch, start: Bytes) -> Response {
    let pieces = stream::unfold(Some((start, watch)), |state| async move {
        let (start, watch) = state?;
        if start.is_empty() {
            watch.end(Ending::Cut);
            return Some((Err(cut_error().await), None));
        }
        Some((Ok(start), Some((Bytes::new(), watch))))
    });
    respond(StatusCode::OK, "application/json", "req_cut", Body::from_stream(pieces))
}

/// Gives the server one chance to flush what came before; then the error drops the connection.
async fn cut_error() -> io::Error {
    tokio::task::yield_now().await;
    io::Error::new(io::ErrorKind::ConnectionAborted, "the script cuts here")
}

fn error_event(upstream: &UpstreamError) -> Event {
    Event::Error { error: serde_json::json!({"type": upstream.kind, "message": upstream.message}) }
}

fn upstream_error(upstream: &UpstreamError, request_id: &str) -> Response {
    let status = StatusCode::from_u16(upstream.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = error(status, &upstream.kind, &upstream.message, request_id);
    if let Some(seconds) = upstream.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// An error in the service's envelope.
pub(crate) fn error(status: StatusCode, kind: &str, message: &str, request_id: &str) -> Response {
    json(status, error_envelope(kind, message, request_id), request_id)
}

/// A JSON response.
pub(crate) fn json(status: StatusCode, body: String, request_id: &str) -> Response {
    respond(status, "application/json", request_id, Body::from(body))
}

fn respond(status: StatusCode, kind: &'static str, request_id: &str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert("request-id", id);
    }
    response
}
