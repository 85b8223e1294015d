//! One connection, from its first byte to its last.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::Bounds;
use super::socket::{Pace, Socket, closed};

/// How long a client may go on sending to a connection that was answered and ended.
const LINGER: Duration = Duration::from_secs(5);

/// Serves it, until the client leaves or `closing` is cancelled. Each request gets `peer` along, as [`ConnectInfo`].
pub(super) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    routes: Router,
    bounds: Bounds,
    closing: CancellationToken,
) {
    // Streams send small pieces, and Nagle's algorithm would hold each back for the acknowledgement of the last.
    drop(stream.set_nodelay(true));
    let (stream, pace) = (Arc::new(stream), Arc::new(Pace::default()));
    let io = TokioIo::new(Socket::new(Arc::clone(&stream), Arc::clone(&pace), bounds.server.write_timeout));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new());
    builder.header_read_timeout(bounds.server.header_timeout).max_buf_size(bounds.server.max_headers);
    // Boxed: only a connection that can be moved gives its socket back.
    let service = service_fn(|mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        let (routes, pace, last_byte) = (routes.clone(), Arc::clone(&pace), bounds.server.last_byte_timeout);
        pace.allow(bounds.longest_run + last_byte);
        Box::pin(async move {
            let answered = routes.oneshot(request).await;
            answered.map(|response| response.map(|body| Answer { body, pace, last_byte }))
        })
    });
    let mut served = builder.serve_connection(io, service);
    let mut left = pin!(closed(&stream));
    let mut last_answer = false;
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
            () = closing.cancelled(), if !last_answer => {
                last_answer = true;
                Pin::new(&mut served).graceful_shutdown();
            }
        }
    }
    // Whatever of a run was left goes here, before the socket is waited for.
    let socket = served.into_parts().io.into_inner();
    tokio::select! {
        _ = timeout(LINGER, see_off(socket)) => {}
        () = closing.cancelled() => {}
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

/// An answer's body. hyper drops it when it has all of it; from then on the client has so long to take the rest.
struct Answer {
    body: Body,
    pace: Arc<Pace>,
    last_byte: Duration,
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.pace.allow(self.last_byte);
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
