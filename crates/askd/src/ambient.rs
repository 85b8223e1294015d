//! Time and randomness, handed out by [`crate::app::App`] so that tests own them.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

/// Where "now" and fresh ids come from.
#[derive(Clone)]
pub struct Ambient {
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    random: Arc<dyn Fn() -> Uuid + Send + Sync>,
}

impl Ambient {
    /// The machine's clock and its random numbers.
    pub fn system() -> Self {
        Self { now: Arc::new(Timestamp::now), random: Arc::new(Uuid::new_v4) }
    }

    /// A clock and a source of random ids of the caller's choice.
    pub fn new(
        now: impl Fn() -> Timestamp + Send + Sync + 'static,
        random: impl Fn() -> Uuid + Send + Sync + 'static,
    ) -> Self {
        Self { now: Arc::new(now), random: Arc::new(random) }
    }

    /// The time, UTC.
    pub fn now(&self) -> Timestamp {
        (self.now)()
    }

    /// A random id.
    pub fn uuid(&self) -> Uuid {
        (self.random)()
    }

    /// An id that sorts by time.
    pub fn ordered_uuid(&self) -> Uuid {
        let millis = u64::try_from(self.now().as_millisecond()).unwrap_or(0);
        let random = self.uuid().into_bytes();
        let mut counter_random_bytes = [0; 10];
        counter_random_bytes.copy_from_slice(&random[..10]);
        uuid::Builder::from_unix_timestamp_millis(millis, &counter_random_bytes).into_uuid()
    }
}

impl fmt::Debug for Ambient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ambient")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordered_ids_sort_by_time() {
        let at = |second| {
            let ambient = Ambient::new(move || Timestamp::from_second(second).unwrap(), Uuid::new_v4);
            ambient.ordered_uuid()
        };
        assert!(at(1_000) < at(1_001));
        assert_eq!(at(1_000).get_version_num(), 7);
    }
}
