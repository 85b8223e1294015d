//! How often, how long, and by what chance.

use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use uuid::Uuid;

/// Nothing of what is waited for takes longer, unless something is broken.
pub(crate) const LIMIT: Duration = Duration::from_mins(1);

/// How often a campaign goes round: what the variable says, or a few times.
pub(crate) fn rounds(variable: &str, few: usize) -> usize {
    let text = std::env::vars().find(|(name, _)| name == variable).map(|(_, value)| value);
    text.map_or(few, |text| text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

/// What a campaign allows on a machine of its own; the few rounds of a test, beside compilers, are allowed ten times that.
pub(crate) fn patience(of_a_campaign: Duration) -> Duration {
    let is_campaign = std::env::vars().any(|(name, _)| name.starts_with("ASKD_SOAK_"));
    if is_campaign { of_a_campaign } else { 10 * of_a_campaign }
}

/// A number below `bound`. A campaign that fails cannot be repeated by the number of its dice: what it hits depends on
/// the machine's moment as well.
pub(crate) fn random(bound: u64) -> u64 {
    Uuid::new_v4().as_u64_pair().0 % bound
}

/// A duration below `bound`, in microseconds.
pub(crate) fn random_time(bound: Duration) -> Duration {
    Duration::from_micros(random(u64::try_from(bound.as_micros()).expect("a short time")))
}

/// Looks again and again until there is something.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(start.elapsed() < LIMIT, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Runs beside the test.
pub(crate) fn beside<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    #[expect(clippy::disallowed_methods, reason = "a test has no tracker")]
    tokio::spawn(task)
}
