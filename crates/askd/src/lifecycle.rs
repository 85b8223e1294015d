//! The server's life: working, draining, stopping, and the tasks that it waits for.
//!
//! A first signal drains, after a delay if that is set: no new work, running runs get a grace. When that is over they are stopped by the ladder. A
//! second signal kills at once.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Shared by everything that lives as long as the server.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    leaving: CancellationToken,
    draining: CancellationToken,
    stopping: CancellationToken,
    killing: CancellationToken,
    tasks: TaskTracker,
}

impl Lifecycle {
    /// Says from now on that it wants no new work, and takes it all the same: whoever sends it is to have the time to hear.
    pub fn leave(&self) {
        self.leaving.cancel();
    }

    /// Takes no new work from now on. What waits in the queue is refused.
    pub fn drain(&self) {
        self.leave();
        self.draining.cancel();
    }

    /// Ends running work by the ladder.
    pub fn stop(&self) {
        self.drain();
        self.stopping.cancel();
    }

    /// Ends running work at once.
    pub fn kill(&self) {
        self.stop();
        self.killing.cancel();
    }

    /// Cancelled when no new work is wanted.
    pub fn leaving(&self) -> &CancellationToken {
        &self.leaving
    }

    /// Cancelled when no new work is taken.
    pub fn draining(&self) -> &CancellationToken {
        &self.draining
    }

    /// Cancelled when running work is to end.
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Cancelled when nothing is waited for any longer.
    pub fn killing(&self) -> &CancellationToken {
        &self.killing
    }

    /// Starts a task that the shutdown waits for.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Waits for all tasks; new ones may still be started by those that run.
    pub async fn finished(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}
