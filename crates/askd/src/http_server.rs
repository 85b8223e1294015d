//! The listener and its connections: bounded in number, head, time, and patience with slow clients.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::settings::groups::Server;

/// After an accept failed for want of descriptors: trying again at once would only burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a client may go on sending to a connection that was answered and ended.
const LINGER: Duration = Duration::from_secs(5);

/// How long connections may take to end after the server has closed them.
const CLOSING_GRACE: Duration = Duration::from_secs(5);

/// Serves until `closing` is cancelled; then every connection ends after its current answer.
pub async fn serve(listener: TcpListener, routes: Router, bounds: &Server, closing: &CancellationToken) {
    let connections = TaskTracker::new();
    let places = Arc::new(Semaphore::new(bounds.max_connections));
    loop {
        let accepted = tokio::select! {
            () = closing.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((socket, place)) => {
                let connection = connection(socket, routes.clone(), bounds, closing.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    if timeout(CLOSING_GRACE, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "connections are cut off");
    }
}

/// The next connection, as soon as there is a place for it. Until then it waits in the kernel's backlog.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (socket, _) = listener.accept().await?;
    Ok((socket, place))
}

/// One connection, to its end.
fn connection(
    socket: TcpStream,
    routes: Router,
    bounds: &Server,
    closing: CancellationToken,
) -> impl Future<Output = ()> + Send + 'static {
    // Streams send small pieces, and Nagle's algorithm would hold each back for the acknowledgement of the last.
    drop(socket.set_nodelay(true));
    let mut socket = TimeoutStream::new(socket);
    // Counts only while bytes wait to be taken. An error here drops the answer, and with it the client's run.
    socket.set_write_timeout(Some(bounds.write_timeout));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(bounds.header_timeout).max_buf_size(bounds.max_headers);
    async move {
        let io = TokioIo::new(Box::pin(socket));
        // Boxed: only a connection that can be moved gives its socket back.
        let service = service_fn(move |request| Box::pin(routes.clone().oneshot(request)));
        let mut served = builder.serve_connection(io, service);
        let ended = tokio::select! {
            ended = poll_fn(|context| served.poll_without_shutdown(context)) => ended,
            () = closing.cancelled() => {
                std::pin::Pin::new(&mut served).graceful_shutdown();
                poll_fn(|context| served.poll_without_shutdown(context)).await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
        // Whatever of a run was left goes here, before the socket is waited for.
        let socket = served.into_parts().io.into_inner();
        tokio::select! {
            _ = timeout(LINGER, see_off(socket)) => {}
            () = closing.cancelled() => {}
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
