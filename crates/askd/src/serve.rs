//! A server's life, from its start to its end.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::http_server::tls::Certificates;
use crate::http_server::{self, Bounds, Counts, LongestRun};
use crate::runs::queue::Occupancy;
use lock::DataLock;
use reload::{Reloader, Reloading};
use signals::Signals;
use systemd::Systemd;

pub use error::StartError;
pub use prepare::{prepare, prepare_unless};

mod certificates;
mod configuration;
mod drain;
mod duties;
mod error;
pub mod janitor;
pub mod lock;
mod monitoring;
mod own_start;
pub mod places;
mod prepare;
pub mod reload;
pub mod restored;
pub mod signals;
pub mod systemd;
mod warnings;

/// A server that has its address and takes requests once it [runs](Server::run).
#[derive(Debug)]
pub struct Server {
    app: Arc<App>,
    listener: TcpListener,
    /// Where monitoring is answered without a key.
    monitoring: Option<TcpListener>,
    /// `None`: connections are not encrypted.
    certificates: Option<Arc<Certificates>>,
    /// Somebody wants settings and certificates to be read again now.
    hangup: Arc<Notify>,
    /// `None`: the settings are from nowhere that could be read again.
    reloader: Option<Arc<Reloader>>,
    systemd: Systemd,
    /// Held as long as the server lives; the lock goes with it.
    _lock: DataLock,
}

/// How a server came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// Nothing of any run is left.
    Complete,
    /// Somebody was too impatient for that. The process is to end now; the guardians end the rest.
    Abandoned,
}

impl Server {
    /// The address, with the port that was chosen.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The address as a client writes it.
    pub fn url(&self) -> io::Result<String> {
        let scheme = if self.certificates.is_some() { "https" } else { "http" };
        Ok(format!("{scheme}://{}", self.address()?))
    }

    /// As a program of its own, which a service manager has started and an operator sends signals to.
    #[must_use]
    pub fn as_program(self, reloader: Reloader, systemd: Systemd) -> Self {
        Self { reloader: Some(Arc::new(reloader)), systemd, ..self }
    }

    /// The address of the monitoring, if it has one.
    pub fn monitoring_address(&self) -> Option<SocketAddr> {
        self.monitoring.as_ref()?.local_addr().ok()
    }

    /// The application.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Serves until the lifecycle drains, and returns when nothing of any run is left.
    pub async fn run(self) {
        Box::pin(self.run_counted(&OnceLock::new())).await;
    }

    /// [`Self::run`]. `before`: what works and waits when it begins to drain, if somebody counts it.
    async fn run_counted(self, before: &OnceLock<Occupancy>) {
        let lifecycle = self.app.lifecycle().clone();
        let closing = CancellationToken::new();
        let settings = self.app.settings();
        let longest_run = LongestRun::new(settings.limits.run_queue_timeout + settings.deadlines.max_run_time);
        let bounds = Bounds {
            server: settings.server.clone(),
            longest_run: longest_run.clone(),
            leaving: lifecycle.leaving().clone(),
            counts: Counts::of(&self.app.runs().shared().metrics),
        };
        let (reloader, certificates, systemd) = (self.reloader, self.certificates.clone(), self.systemd);
        let reloading = Reloading { app: &self.app, reloader, certificates, longest_run, systemd: systemd.clone() };
        let routes = crate::api::router(Arc::clone(&self.app));
        // What is large is on the heap: it would be moved over the stack several times.
        let serving = Box::pin(http_server::serve(self.listener, routes, &bounds, self.certificates.clone(), &closing));
        self.app.runs().open();
        let living = async {
            tokio::select! {
                () = lifecycle.draining().cancelled() => {}
                () = duties::prune(&self.app) => {}
                () = duties::reap_orphans() => {}
                () = duties::settle_strays(&self.app) => {}
                () = duties::keep_uses(&self.app) => {}
                () = own_start::watch_cli(&self.app) => {}
            }
            // Without runs the drain may be over before `keep` has its turn.
            systemd.stopping();
            drain::drain(&self.app, before.get().copied()).await;
        };
        let ending = Box::pin(async {
            // To the very end: what still runs keeps its lease.
            tokio::select! {
                () = living => {}
                () = duties::renew_leases(&self.app) => {}
                () = duties::watch_runs(&self.app) => {}
                () = reloading.keep(&self.hangup) => {}
            }
            lifecycle.stop();
            closing.cancel();
        });
        let all_ended = CancellationToken::new();
        let to_the_end = async {
            tokio::join!(serving, Box::pin(monitoring::serve(self.monitoring, &self.app, &closing)), ending);
            duties::keep_last_uses(&self.app).await;
            all_ended.cancel();
        };
        let ended = async {
            // Longer than everything that has a span.
            tokio::join!(to_the_end, self.app.runs().shared().traces.export(&all_ended, lifecycle.killing()));
            // A database that does not answer is not waited for: all that is wanted of it is stored, or was given up.
            if timeout(settings.store.timeout, self.app.runs().shared().store.close()).await.is_err() {
                tracing::warn!("the store does not answer; it is left as it is");
            }
        };
        tokio::select! {
            biased;
            () = ended => {}
            // Longest of all: whoever hears nothing for a while kills it.
            () = systemd.keep(&self.app) => {}
        }
    }

    /// [`Self::run`], with the process's signals.
    pub async fn run_with_signals(self, signals: Signals) -> Stopped {
        let (lifecycle, hangup) = (self.app.lifecycle().clone(), Arc::clone(&self.hangup));
        let settings = self.app.runs().shared().settings.clone();
        let delay = move || settings.now().stopping.drain_delay;
        let (app, before) = (Arc::clone(&self.app), OnceLock::new());
        let drain = || {
            // Once; a moment later what waits has begun to go.
            before.get_or_init(|| app.runs().occupancy());
            lifecycle.drain();
        };
        tokio::select! {
            // On the heap: a future of this size is moved over the stack several times, which keeps what it once had.
            () = Box::pin(self.run_counted(&before)) => Stopped::Complete,
            () = signals.handle(&lifecycle, &hangup, delay, drain) => Stopped::Abandoned,
        }
    }
}
