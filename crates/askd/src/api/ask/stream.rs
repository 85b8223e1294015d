//! The answer as a stream of server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use futures_util::{FutureExt, stream};
use tokio::time::{Instant, sleep_until};

use super::super::error::ApiError;
use super::Client;
use crate::encode::sse;
use crate::runs::event::{Event, EventBody};
use crate::runs::log::Follower;

/// Events that are there already are sent together, up to about this many bytes.
const BATCH: usize = 64 * 1024;

/// Answers with a status once the CLI has started, or with an error when it did not; then streams to the end.
pub(super) async fn respond(mut events: Follower, client: Client, heartbeat: Duration) -> Result<Response, ApiError> {
    let mut early = VecDeque::new();
    while let Some(event) = events.next().await {
        let started = matches!(*event.body, EventBody::Started);
        if let EventBody::Finished(finished) = &*event.body
            && let Some(error) = finished.error.clone()
        {
            return Err(ApiError::of_run(error, None));
        }
        early.push_back(event);
        if started {
            break;
        }
    }
    let reader = Reader { early, events, heartbeat, _client: client };
    let chunks = stream::unfold(reader, async |mut reader| {
        let chunk = reader.chunk().await?;
        Some((Ok::<_, Infallible>(chunk), reader))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    // Reverse proxies of nginx's kind hold answers back until they are complete, unless told.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// One client's stream. Dropped when the client leaves.
struct Reader {
    early: VecDeque<Event>,
    events: Follower,
    heartbeat: Duration,
    _client: Client,
}

impl Reader {
    /// The next bytes; `None` at the end.
    async fn chunk(&mut self) -> Option<Bytes> {
        let mut chunk = Vec::new();
        let silent_until = Instant::now() + self.heartbeat;
        while chunk.is_empty() {
            let event = tokio::select! {
                biased;
                event = Self::next(&mut self.early, &mut self.events) => event,
                () = sleep_until(silent_until) => {
                    chunk.extend_from_slice(sse::HEARTBEAT);
                    break;
                }
            };
            sse::encode(&event?, &mut chunk);
        }
        while chunk.len() < BATCH
            && let Some(Some(event)) = Self::next(&mut self.early, &mut self.events).now_or_never()
        {
            sse::encode(&event, &mut chunk);
        }
        Some(chunk.into())
    }

    async fn next(early: &mut VecDeque<Event>, events: &mut Follower) -> Option<Event> {
        match early.pop_front() {
            Some(event) => Some(event),
            None => events.next().await,
        }
    }
}
