//! The listener and its connections: bounded in number, head, time, and patience with slow clients.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::connection::Door;
use self::exchange::Exchange;
use self::places::{Place, Places};
use self::tls::Certificates;
use crate::metrics::Metrics;
use crate::metrics::kinds::{Counters, Gauge};
use crate::settings::groups::Server;

mod answer;
mod connection;
mod exchange;
mod places;
mod refusals;
mod socket;
pub mod tls;

/// What a request carries as an extension if its connection is encrypted.
#[derive(Debug, Clone, Copy)]
pub struct Encrypted;

/// What a request carries as an extension: it keeps something until the client has taken the whole answer, or has left.
/// The answer's body goes before that, when it is in the socket's hands.
#[derive(Debug, Clone)]
pub struct Until(Arc<Exchange>);

impl Until {
    /// Keeps this, in place of what was kept for this request before.
    pub fn answered(&self, held: impl Send + 'static) {
        self.0.hold(Some(Box::new(held)));
    }
}

/// After an accept failed for want of descriptors: trying again at once would only burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long connections may take to end after the server has closed them.
const CLOSING_GRACE: Duration = Duration::from_secs(5);

/// Connections that the kernel keeps for us. The more, the longer a flood lasts until it drops a client's first packet, which
/// that client then repeats only after a second; `net.core.somaxconn` may allow fewer.
const BACKLOG: u32 = 4096;

/// How long and how large everything may be.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// The operator's options.
    pub server: Server,
    /// How long an answer may be in the making. A client that takes its answer so slowly that this passes, and
    /// `last_byte_timeout` after it, is dropped.
    pub longest_run: LongestRun,
    /// Cancelled when the server wants no further requests: each answer then says that its connection ends with it.
    pub leaving: CancellationToken,
    /// What counts connections.
    pub counts: Counts,
}

/// What metrics tell of the connections of an address.
#[derive(Debug, Clone)]
pub struct Counts {
    /// Those that are open.
    pub open: Gauge,
    /// Those that were cut since their client took nothing, or too little.
    pub slow: Counters<1>,
}

impl Counts {
    /// Those of the address for clients.
    pub fn of(metrics: &Metrics) -> Self {
        Self { open: metrics.http_connections.clone(), slow: metrics.slow_clients.clone() }
    }
}

/// How long an answer may be in the making, which a reload may change. Clones are the same.
#[derive(Debug, Clone)]
pub struct LongestRun(Arc<AtomicU64>);

impl LongestRun {
    /// So long, until it is set.
    pub fn new(time: Duration) -> Self {
        let longest = Self(Arc::default());
        longest.set(time);
        longest
    }

    /// So long from the next request on.
    pub fn set(&self, time: Duration) {
        self.0.store(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn get(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// Takes the address. Who connects from now on waits for [`serve`].
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A server that is started anew need not wait for the last one's connections to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until `closing` is cancelled; then every connection ends after its current answer. With `certificates` all
/// connections are encrypted.
pub async fn serve(
    listener: TcpListener,
    routes: Router,
    bounds: &Bounds,
    certificates: Option<Arc<Certificates>>,
    closing: &CancellationToken,
) {
    let connections = TaskTracker::new();
    let places = Places::new(bounds.server.max_connections);
    let door = Arc::new(Door { routes, bounds: bounds.clone(), certificates, closing: closing.clone() });
    loop {
        let (socket, peer, place) = tokio::select! {
            () = closing.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let door = Arc::clone(&door);
        connections.spawn(async move { door.serve(socket, peer, place).await });
    }
    drop(listener);
    connections.close();
    if timeout(CLOSING_GRACE, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "connections are cut off");
    }
}

/// The next connection, as soon as there is a place for it. While all connections are at work it waits, and those behind it
/// in the kernel's backlog.
async fn accept(listener: &TcpListener, places: &Arc<Places>) -> (TcpStream, SocketAddr, Place) {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => return (socket, peer, places.take().await),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
