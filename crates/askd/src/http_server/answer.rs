//! The body of an answer, which says when hyper has all of it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};

use super::exchange::Exchange;

/// An answer's body. hyper drops it when it has all of it; from then on the client has so long to take the rest.
pub(super) struct Answer {
    pub(super) body: Body,
    pub(super) exchange: Arc<Exchange>,
    pub(super) last_byte: Duration,
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.exchange.answered(self.last_byte);
    }
}

impl hyper::body::Body for Answer {
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
