//! The listener and its connections: bounded in number, head, time, and patience with slow clients.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::settings::groups::Server;

mod connection;
mod socket;

/// After an accept failed for want of descriptors: trying again at once would only burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long connections may take to end after the server has closed them.
const CLOSING_GRACE: Duration = Duration::from_secs(5);

/// How long and how large everything may be.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// The operator's options.
    pub server: Server,
    /// How long an answer may be in the making. A client that takes its answer so slowly that this passes, and
    /// `last_byte_timeout` after it, is dropped.
    pub longest_run: Duration,
}

/// Serves until `closing` is cancelled; then every connection ends after its current answer.
pub async fn serve(listener: TcpListener, routes: Router, bounds: &Bounds, closing: &CancellationToken) {
    let connections = TaskTracker::new();
    let places = Arc::new(Semaphore::new(bounds.server.max_connections));
    loop {
        let accepted = tokio::select! {
            () = closing.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((socket, peer, place)) => {
                let connection = connection::serve(socket, peer, routes.clone(), bounds.clone(), closing.clone());
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

/// A connection, who is at its other end, and its place.
type Accepted = (TcpStream, SocketAddr, OwnedSemaphorePermit);

/// The next connection, as soon as there is a place for it. Until then it waits in the kernel's backlog.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<Accepted> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (socket, peer) = listener.accept().await?;
    Ok((socket, peer, place))
}

#[cfg(test)]
mod tests;
