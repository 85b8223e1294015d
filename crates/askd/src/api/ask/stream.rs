//! The answer as a stream of server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures_util::stream;
use tokio::time::{Instant, sleep_until};

use super::super::error::ApiError;
use super::super::headers;
use super::super::standing::Standing;
use crate::ambient::Ambient;
use crate::encode::ask_stream::{self, HEARTBEAT};
use crate::runs::Finished;
use crate::runs::event::STARTED;
use crate::runs::follow::{Batch, FollowError, Follower};
use crate::runs::live::Holder;
use crate::runs::readers::ReaderKind;

/// Events that are there already are sent together, up to about this many bytes.
const BATCH: usize = 64 * 1024;

/// Answers with a status once the CLI has started, or with an error when it did not; then streams to the end. `unread`
/// makes an answer of what keeps the run from being read before that.
pub(super) async fn respond(
    events: Follower,
    holder: Option<Holder>,
    standing: Standing,
    heartbeat: Duration,
    ambient: &Ambient,
    unread: impl Fn(FollowError) -> ApiError,
) -> Result<Response, ApiError> {
    let mut early = Vec::new();
    let mut started = false;
    let events = events.read_as(ReaderKind::Ask);
    let mut reader = Reader { early: Vec::new(), events, heartbeat, over: false, standing, holder };
    while !started && let Some(batch) = reader.first().await?.map_err(&unread)? {
        for event in batch.events() {
            if !started && let Some(Finished { error: Some(error), .. }) = Finished::of_event(&event) {
                return Err(ApiError::of_run(error, None, ambient.now()));
            }
            started |= event.kind == STARTED;
            ask_stream::encode(&event, &mut early);
        }
    }
    reader.early = early;
    let chunks = stream::unfold(reader, async |mut reader| {
        let chunk = reader.chunk().await?;
        Some((Ok::<_, Infallible>(chunk), reader))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    headers::stream(response.headers_mut(), "text/event-stream");
    Ok(response)
}

/// One client's stream. Dropped when the client leaves.
struct Reader {
    early: Vec<u8>,
    events: Follower,
    heartbeat: Duration,
    over: bool,
    /// Whether its key may still see it.
    standing: Standing,
    holder: Option<Holder>,
}

impl Reader {
    /// The first events, for which the answer's status waits.
    async fn first(&mut self) -> Result<Result<Option<Batch>, FollowError>, ApiError> {
        tokio::select! {
            next = self.events.next_events(BATCH) => Ok(next),
            why = self.standing.lost() => {
                self.release();
                Err(why)
            }
        }
    }

    /// Whether the run ends with its key was decided when the key was revoked. It does not end because of this.
    fn release(&mut self) {
        if let Some(holder) = self.holder.take() {
            holder.release();
        }
    }

    /// The next bytes; `None` at the end.
    async fn chunk(&mut self) -> Option<Bytes> {
        let mut chunk = std::mem::take(&mut self.early);
        let silent_until = Instant::now() + self.heartbeat;
        while chunk.is_empty() && !self.over {
            tokio::select! {
                biased;
                why = self.standing.lost() => {
                    ask_stream::cut_off(why.message(), &mut chunk);
                    self.over = true;
                    self.release();
                }
                next = self.events.next_events(BATCH) => self.over = !take(next, &mut chunk),
                () = sleep_until(silent_until) => chunk.extend_from_slice(HEARTBEAT),
            }
        }
        (!chunk.is_empty()).then(|| chunk.into())
    }
}

/// Writes the next events; whether more may come.
fn take(next: Result<Option<Batch>, FollowError>, chunk: &mut Vec<u8>) -> bool {
    match next {
        Ok(Some(batch)) => {
            chunk.reserve(batch.size() + batch.size() / 16);
            for event in batch.events() {
                ask_stream::encode(&event, chunk);
            }
            true
        }
        Ok(None) => false,
        Err(error) => {
            ask_stream::cut_off(ApiError::from(error).message(), chunk);
            false
        }
    }
}
