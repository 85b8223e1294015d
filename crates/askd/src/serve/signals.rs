//! The process's signals: the first asks to drain, the second to end at once, the third not to wait even for that. SIGHUP
//! has settings and certificates read again.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::lifecycle::Lifecycle;

/// SIGTERM, SIGINT and SIGHUP.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Takes the signals over. To be called before anything is begun that a signal must not cut off.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next that asks for the end; one that came earlier counts. Safe to cancel.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Takes three signals that ask for the end, then returns. Each SIGHUP until then is passed on.
    ///
    /// The first one drains after `delay`, in which the server says that it wants no more work and takes it all the same.
    /// `drain` begins that.
    pub(super) async fn handle(
        mut self,
        lifecycle: &Lifecycle,
        hangup: &Notify,
        delay: impl Fn() -> Duration,
        drain: impl Fn(),
    ) {
        self.end(hangup).await;
        lifecycle.leave();
        let delay = delay();
        if delay.is_zero() {
            drain();
            self.end(hangup).await;
        } else {
            let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
            tracing::info!(delay_ms, "not ready any more; new work is taken until ASKD_DRAIN_DELAY is over");
            let late = async {
                sleep(delay).await;
                drain();
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = late => {}
                () = self.end(hangup) => {}
            }
        }
        tracing::warn!("second signal: ending at once");
        lifecycle.kill();
        self.end(hangup).await;
        tracing::warn!("third signal: not waiting for the end of runs; their guardians end what is left");
    }

    /// The next that asks for the end.
    async fn end(&mut self, hangup: &Notify) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => hangup.notify_one(),
            }
        }
    }
}
