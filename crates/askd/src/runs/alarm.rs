//! Tells a run's task that a limit was met, whatever the task is doing.

use std::sync::OnceLock;

use tokio_util::sync::CancellationToken;

use super::limits::Breach;

/// Raised by whoever watches over a run, heard by the run's task.
#[derive(Debug, Default)]
pub struct Alarm {
    breach: OnceLock<Breach>,
    raised: CancellationToken,
}

impl Alarm {
    /// Raises it; whether it was the first time. Only the first breach counts.
    pub fn raise(&self, breach: Breach) -> bool {
        let first = self.breach.set(breach).is_ok();
        self.raised.cancel();
        first
    }

    /// The limit that was met, if one was.
    pub fn breach(&self) -> Option<&Breach> {
        self.breach.get()
    }

    /// Waits for it. Cancel-safe.
    pub async fn raised(&self) -> &Breach {
        self.raised.cancelled().await;
        match self.breach.get() {
            Some(breach) => breach,
            // Not reached: the breach is there before it is told.
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use claude::outcome::Limit;
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn the_first_breach_counts_and_is_heard_by_those_who_come_late() {
        let alarm = Alarm::default();
        assert!(alarm.breach().is_none() && alarm.raised().now_or_never().is_none());
        let breach = |what: &str| Breach { limit: Limit::Memory, what: what.to_owned() };
        assert!(alarm.raise(breach("first")));
        assert!(!alarm.raise(breach("second")));
        assert_eq!(alarm.raised().now_or_never(), Some(&breach("first")));
    }
}
