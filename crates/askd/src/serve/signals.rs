//! The process's signals: the first asks to drain, the second to end at once, the third not to wait even for that.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::lifecycle::Lifecycle;

/// SIGTERM and SIGINT.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes the signals over. To be called before anything is begun that a signal must not cut off.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The next one; one that came earlier counts. Safe to cancel.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Takes three signals, then returns.
    pub(super) async fn handle(mut self, lifecycle: &Lifecycle) {
        self.next().await;
        lifecycle.drain();
        self.next().await;
        tracing::warn!("second signal: ending at once");
        lifecycle.kill();
        self.next().await;
        tracing::warn!("third signal: not waiting for the end of runs; their guardians end what is left");
    }
}
