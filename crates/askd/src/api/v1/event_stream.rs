//! Events on a connection that stays open. It holds its client's place and nothing else: at most [`BATCH`] bytes are
//! taken from the log at a time, and only when the connection takes them.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::stream;
use tokio::time::{Instant, sleep_until};

use super::super::error::ApiError;
use super::super::headers;
use super::super::query::digits;
use super::super::request_id::RequestId;
use super::super::standing::Standing;
use super::accept::media_type;
use crate::encode::events::{Encoder, Wire};
use crate::encode::types::Types;
use crate::runs::follow::{FollowError, Follower, Next};
use crate::runs::live::Holder;
use crate::runs::readers::ReaderKind;

/// Taken and sent at once, in bytes, or one event.
const BATCH: usize = 64 * 1024;
/// The header that names a place in the events.
pub(super) const LAST_EVENT_ID: &str = "Last-Event-ID";

/// One client's stream. Dropped when the client leaves.
pub(super) struct EventStream {
    events: Follower,
    encoder: Encoder,
    types: Types,
    heartbeat: Duration,
    request_id: RequestId,
    /// What is to be sent before anything else.
    early: Vec<u8>,
    over: bool,
    holder: Option<Holder>,
    /// Whether its key may still see it.
    standing: Option<Standing>,
}

impl EventStream {
    pub(super) fn new(
        events: Follower,
        encoder: Encoder,
        types: Types,
        heartbeat: Duration,
        request_id: RequestId,
    ) -> Self {
        let mut early = Vec::new();
        encoder.beginning(&mut early);
        Self { events, encoder, types, heartbeat, request_id, early, over: false, holder: None, standing: None }
    }

    /// With partial messages as long as the run is live.
    pub(super) fn with_deltas(self, wanted: bool) -> Self {
        if wanted { Self { events: self.events.with_deltas(), ..self } } else { self }
    }

    /// With a first word for people.
    pub(super) fn with_comment(mut self, text: &str) -> Self {
        self.encoder.comment(text, &mut self.early);
        self
    }

    /// When the stream ends, so does the client's hold on the run.
    pub(super) fn held_by(self, holder: Option<Holder>) -> Self {
        Self { holder, ..self }
    }

    /// It ends when its key may not see the run any more.
    pub(super) fn while_it_may(self, standing: Standing) -> Self {
        Self { standing: Some(standing), ..self }
    }

    pub(super) fn into_response(mut self, wire: Wire) -> Response {
        self.events = self.events.read_as(match wire {
            Wire::Sse => ReaderKind::Sse,
            Wire::Ndjson => ReaderKind::Ndjson,
        });
        let chunks = stream::unfold(self, async |mut reader| {
            let chunk = reader.chunk().await?;
            Some((Ok::<_, Infallible>(chunk), reader))
        });
        let mut response = Response::new(Body::from_stream(chunks));
        headers::stream(response.headers_mut(), media_type(wire));
        response
    }

    /// The next bytes; `None` at the end.
    async fn chunk(&mut self) -> Option<Bytes> {
        let mut chunk = std::mem::take(&mut self.early);
        let silent_until = Instant::now() + self.heartbeat;
        while chunk.is_empty() && !self.over {
            // In no order: events that are not shown must not keep the heartbeat from its turn.
            tokio::select! {
                next = self.events.next(BATCH) => self.take(next, &mut chunk),
                why = lost(&mut self.standing) => self.cut_off(&why, &mut chunk),
                () = sleep_until(silent_until) => self.encoder.heartbeat(&mut chunk),
            }
        }
        (!chunk.is_empty()).then(|| chunk.into())
    }

    /// Whether the run ends with its key was decided when the key was revoked. It does not end because of this.
    fn cut_off(&mut self, why: &ApiError, chunk: &mut Vec<u8>) {
        self.encoder.error(&why.v1(&self.request_id.0), chunk);
        self.over = true;
        if let Some(holder) = self.holder.take() {
            holder.release();
        }
    }

    fn take(&mut self, next: Result<Option<Next>, FollowError>, chunk: &mut Vec<u8>) {
        match next {
            Ok(Some(Next::Events(batch))) => {
                for event in batch.events().filter(|event| self.types.want(event.kind)) {
                    self.encoder.event(&event, chunk);
                }
            }
            Ok(Some(Next::Delta(delta))) => self.encoder.delta(&delta.data, chunk),
            Ok(None) => self.over = true,
            Err(error @ (FollowError::Interrupted(_) | FollowError::LetGo(_))) => {
                // No error of the run: a client that reads on finds it again.
                self.encoder.comment(&error.to_string(), chunk);
                self.over = true;
            }
            Err(error) => {
                self.encoder.error(&ApiError::from(error).v1(&self.request_id.0), chunk);
                self.over = true;
            }
        }
    }
}

async fn lost(standing: &mut Option<Standing>) -> ApiError {
    match standing {
        Some(standing) => standing.lost().await,
        None => std::future::pending().await,
    }
}

/// `Last-Event-ID`: the number of the last event that the client has.
pub(super) fn after_header(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    let number = value.to_str().ok().and_then(digits);
    number.map(Some).ok_or_else(|| ApiError::param(LAST_EVENT_ID, "must be the id of an event, a whole number from 0"))
}
