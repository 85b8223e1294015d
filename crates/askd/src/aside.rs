//! Work that may take for ever, on threads of its own: neither the server's threads nor those that the runs need for
//! their files wait for it.

use std::thread;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

/// Lets so many pieces of work through at once. One that nobody waits for any more keeps its turn until it ends, so
/// that a mount that hangs costs a bounded number of threads.
#[derive(Debug)]
pub struct Gate {
    turns: Semaphore,
    patience: Duration,
    stack: usize,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfinished {
    /// Other work held all turns.
    #[error("what was begun earlier has not ended")]
    Busy,
    /// The work goes on, but nobody waits for it.
    #[error("no answer in time")]
    Late,
    /// It panicked, or there was no thread for it.
    #[error("the server made a mistake, which its log tells of")]
    Failed,
}

impl Gate {
    /// `patience` is for the turn and once more for the work; `stack` is in bytes.
    pub const fn new(turns: usize, patience: Duration, stack: usize) -> Self {
        Self { turns: Semaphore::const_new(turns), patience, stack }
    }

    /// How long the work may take.
    pub const fn patience(&self) -> Duration {
        self.patience
    }

    /// Does the work in its turn.
    pub async fn run<T: Send + 'static>(
        &'static self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Unfinished> {
        let turn = timeout(self.patience, self.turns.acquire()).await.map_err(|_| Unfinished::Busy)?;
        let turn = turn.map_err(|_| Unfinished::Failed)?;
        let (answer, answered) = oneshot::channel();
        let task = move || {
            let done = work();
            drop(turn);
            drop(answer.send(done));
        };
        // Not the runtime's blocking threads: their stacks are small, and each that hangs is one less for the runs.
        thread::Builder::new().name("askd-aside".into()).stack_size(self.stack).spawn(task).map_err(|error| {
            tracing::error!(%error, "cannot start a thread");
            Unfinished::Failed
        })?;
        match timeout(self.patience, answered).await {
            Ok(answered) => answered.map_err(|_| Unfinished::Failed),
            Err(_) => Err(Unfinished::Late),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const STACK: usize = 1 << 20;

    #[tokio::test]
    async fn work_is_done_and_a_panic_is_told() {
        static GATE: Gate = Gate::new(1, Duration::from_mins(1), STACK);
        assert_eq!(GATE.run(|| 5).await, Ok(5));
        let fails = || std::panic::resume_unwind(Box::new("no message in the test's output"));
        assert_eq!(GATE.run::<()>(fails).await, Err(Unfinished::Failed));
        assert_eq!(GATE.run(|| 6).await, Ok(6), "the turn was given back");
    }

    #[tokio::test]
    async fn work_that_hangs_keeps_its_turn_and_nobody_waits_for_it() {
        static GATE: Gate = Gate::new(1, Duration::from_millis(50), STACK);
        let (release, released) = mpsc::channel::<()>();
        let (ended, end) = oneshot::channel();
        let hangs = move || {
            released.recv().unwrap_err();
            ended.send(()).unwrap();
        };
        assert_eq!(GATE.run(hangs).await, Err(Unfinished::Late));
        assert_eq!(GATE.run(|| ()).await, Err(Unfinished::Busy));
        drop(release);
        end.await.unwrap();
        drop(GATE.turns.acquire().await.unwrap());
    }
}
