//! Waiting for a condition, with a limit: never a sleep that hopes.

use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

/// Long, for whoever shares the machine with compilers: only what hangs meets it.
const LIMIT: Duration = Duration::from_mins(1);
const STEP: Duration = Duration::from_millis(10);

/// Polls until `look` gives something; panics with `what` after a limit that only a broken test reaches.
pub(crate) async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < LIMIT, "waited in vain for: {what}");
        tokio::time::sleep(STEP).await;
    }
}

/// [`eventually`] for a look that takes its time.
pub(crate) async fn eventually_async<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(start.elapsed() < LIMIT, "waited in vain for: {what}");
        tokio::time::sleep(STEP).await;
    }
}

/// Waits, if the day (UTC) ends before a test of that length has: what keys may spend is counted by the day.
pub(crate) async fn not_over_midnight(length: Duration) {
    const DAY: i64 = 86_400;
    let left = || u64::try_from(DAY - jiff::Timestamp::now().as_second().rem_euclid(DAY)).unwrap();
    while left() < length.as_secs() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Runs beside the test. Aborting the task drops the future.
pub(crate) fn beside<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    #[expect(clippy::disallowed_methods, reason = "a test has no tracker")]
    tokio::spawn(task)
}
