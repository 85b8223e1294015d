//! The process's signals: the first asks to drain, the second to end at once.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::lifecycle::Lifecycle;

/// SIGTERM and SIGINT.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Starts to listen, before anything is announced as ready.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Takes two signals, then returns.
    pub(super) async fn handle(mut self, lifecycle: &Lifecycle) {
        self.next().await;
        lifecycle.drain();
        self.next().await;
        tracing::warn!("second signal: ending at once");
        lifecycle.kill();
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
