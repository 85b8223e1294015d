//! The address at which monitoring is answered without a key: metrics and health, nothing else (`ASKD_METRICS_LISTEN`).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::StartError;
use crate::app::App;
use crate::http_server::{self, Bounds, Counts, LongestRun};
use crate::metrics::kinds::Gauge;
use crate::settings::groups::Server;
use crate::settings::{InForce, Settings};

/// No answer there is in the making for longer.
const LONGEST: Duration = Duration::from_secs(10);

/// Takes the address, if there is to be one.
pub(super) fn listen(settings: &Settings) -> Result<Option<TcpListener>, StartError> {
    let Some(address) = settings.metrics.listen else { return Ok(None) };
    warn(address);
    let listener = http_server::listen(address).map_err(|source| StartError::ListenForMetrics { address, source })?;
    Ok(Some(listener))
}

fn warn(address: SocketAddr) {
    if !address.ip().to_canonical().is_loopback() {
        tracing::warn!(
            "whoever reaches {address} (ASKD_METRICS_LISTEN) reads the metrics without a key, among them the ids of keys and \
             what they have cost; let only the monitoring reach it"
        );
    }
}

/// Answers until `closing` is cancelled; returns at once if there is no such address.
pub(super) async fn serve(listener: Option<TcpListener>, app: &Arc<App>, closing: &CancellationToken) {
    let Some(listener) = listener else { return };
    let settings = as_its_own(&app.settings(), &listener);
    let bounds = Bounds {
        server: settings.server.clone(),
        longest_run: LongestRun::new(LONGEST),
        leaving: CancellationToken::new(),
        // Its connections are not those that clients need, and not counted with them.
        counts: Counts { open: Gauge::default(), slow: app.runs().shared().metrics.slow_clients.clone() },
    };
    let routes = crate::api::monitoring(Arc::clone(app), &InForce::new(settings));
    http_server::serve(listener, routes, &bounds, None, closing).await;
}

/// The settings of a small server at that address.
fn as_its_own(settings: &Settings, listener: &TcpListener) -> Settings {
    let mut settings = settings.clone();
    let listen = listener.local_addr().ok().or(settings.metrics.listen).unwrap_or(settings.server.listen);
    let max_connections = settings.metrics.max_connections;
    let last_byte_timeout = settings.server.write_timeout;
    settings.server = Server { listen, max_connections, last_byte_timeout, tls: None, ..settings.server };
    settings
}
