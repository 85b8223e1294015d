//! One connection, from its first byte to its last.

use std::future::{pending, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::answer::Answer;
use super::exchange::Exchange;
use super::places::Place;
use super::socket::{Socket, closed};
use super::tls::Certificates;
use super::{Bounds, Encrypted, Until};
use crate::metrics::kinds::Gauge;

/// How long a client may go on sending to a connection that was answered and ended.
const LINGER: Duration = Duration::from_secs(5);

/// As many headers hyper keeps on its stack; only another number costs memory of its own.
const USUAL_HEADER_COUNT: usize = 100;

/// What all connections share.
pub(super) struct Door {
    pub(super) routes: Router,
    pub(super) bounds: Bounds,
    /// `None`: connections are not encrypted.
    pub(super) certificates: Option<Arc<Certificates>>,
    /// Cancelled when every connection is to end after its current answer.
    pub(super) closing: CancellationToken,
}

/// A connection that counts as open.
struct Open(Gauge);

impl Open {
    fn begin(open: &Gauge) -> Self {
        open.inc();
        Self(open.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Door {
    /// Serves a connection until its client leaves, the door closes, or a new connection needs the place. Each request gets
    /// `peer` along, as [`ConnectInfo`], and [`Encrypted`] if it came so.
    pub(super) async fn serve(&self, stream: TcpStream, peer: SocketAddr, place: Place) {
        // Streams send small pieces, and Nagle's algorithm would hold each back for the acknowledgement of the last.
        drop(stream.set_nodelay(true));
        let _open = Open::begin(&self.bounds.counts.open);
        let exchange = Arc::new(Exchange::new(place));
        tokio::select! {
            biased;
            () = exchange.lost() => tracing::debug!("a connection that asked nothing made place for a new one"),
            () = self.greet(stream, peer, &exchange) => {}
        }
    }

    async fn greet(&self, stream: TcpStream, peer: SocketAddr, exchange: &Arc<Exchange>) {
        let stream = Arc::new(stream);
        let socket = Socket::new(
            Arc::clone(&stream),
            Arc::clone(exchange),
            self.bounds.server.write_timeout,
            self.bounds.counts.slow.clone(),
        );
        let Some(certificates) = &self.certificates else {
            return self.attend(socket, &stream, peer, exchange, None).await;
        };
        let until = Instant::now() + self.bounds.server.header_timeout;
        let greeted = tokio::select! {
            greeted = timeout_at(until, certificates.greet(&stream, socket, peer)) => greeted,
            () = self.closing.cancelled() => return,
        };
        match greeted {
            Ok(Ok(socket)) => Box::pin(self.attend(socket, &stream, peer, exchange, Some(until))).await,
            Ok(Err(error)) => tracing::debug!(%error, "a connection could not be encrypted"),
            Err(_) => tracing::debug!("a client took too long to agree on encryption"),
        }
    }

    /// Serves what comes over `socket`, which reads and writes `stream`. `first_head`: until when the first head must be
    /// complete, where the socket is encrypted; a plain one has hyper's own time.
    async fn attend(
        &self,
        socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        stream: &TcpStream,
        peer: SocketAddr,
        exchange: &Arc<Exchange>,
        first_head: Option<Instant>,
    ) {
        let (bounds, encrypted) = (&self.bounds.server, first_head.is_some());
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new());
        builder.header_read_timeout(bounds.header_timeout).max_buf_size(bounds.max_headers);
        if bounds.max_header_count != USUAL_HEADER_COUNT {
            builder.max_headers(bounds.max_header_count);
        }
        // Boxed: only a connection that can be moved gives its socket back.
        let service = service_fn(|mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            request.extensions_mut().insert(Until(Arc::clone(exchange)));
            if encrypted {
                request.extensions_mut().insert(Encrypted);
            }
            let (routes, exchange, last_byte) = (self.routes.clone(), Arc::clone(exchange), bounds.last_byte_timeout);
            let is_begun = exchange.begin(self.bounds.longest_run.get() + bounds.last_byte_timeout);
            let leaving = &self.bounds.leaving;
            Box::pin(async move {
                if !is_begun {
                    // The connection is dropped in a moment.
                    pending::<()>().await;
                }
                let answered = routes.oneshot(request).await;
                answered.map(|mut response| {
                    if leaving.is_cancelled() {
                        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                    }
                    response.map(|body| Answer { body, exchange, last_byte })
                })
            })
        });
        let mut served = builder.serve_connection(TokioIo::new(socket), service);
        let mut left = pin!(closed(stream));
        let mut too_late = pin!(sleep_until(first_head.unwrap_or_else(Instant::now)));
        let (mut last_answer, mut first_is_due) = (false, encrypted);
        loop {
            tokio::select! {
                ended = poll_fn(|context| served.poll_without_shutdown(context)) => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection ended early");
                    }
                    break;
                }
                () = &mut left => {
                    // Also one that has only said that it sends no more: hyper does not answer such clients either.
                    tracing::debug!("a client has left");
                    break;
                }
                () = &mut too_late, if first_is_due => {
                    first_is_due = false;
                    if !exchange.was_asked() {
                        tracing::debug!("a client took too long for its first request");
                        break;
                    }
                }
                () = self.closing.cancelled(), if !last_answer => {
                    last_answer = true;
                    std::pin::Pin::new(&mut served).graceful_shutdown();
                }
            }
        }
        // Whatever of a run was left goes here, before the socket is waited for.
        let socket = served.into_parts().io.into_inner();
        exchange.over();
        tokio::select! {
            _ = timeout(LINGER, see_off(socket)) => {}
            () = self.closing.cancelled() => {}
        }
    }
}

/// Ends our side and reads on. A socket that is closed while a body too large still comes in is reset by the system, and
/// its client would see that instead of the answer.
async fn see_off(mut socket: impl AsyncRead + AsyncWrite + Unpin) {
    let mut rest = vec![0; 16 * 1024];
    if socket.shutdown().await.is_ok() {
        while let Ok(1..) = socket.read(&mut rest).await {}
    }
}
