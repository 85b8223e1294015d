//! When a run has been silent, or running, for too long. Pure: the caller brings the time.

use std::time::{Duration, Instant};

/// The limits; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeadlineLimits {
    /// From the start to the first output.
    pub first_output: Option<Duration>,
    /// From one output to the next.
    pub idle: Option<Duration>,
    /// From the start to the end.
    pub total: Option<Duration>,
}

/// Which limit was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// There was no output at all.
    FirstOutput,
    /// There was no further output.
    Idle,
    /// It took too long.
    Total,
}

/// The deadlines of one run.
///
/// ```
/// use std::time::{Duration, Instant};
/// use supervisor::deadlines::{DeadlineLimits, Deadlines, Expired};
/// let start = Instant::now();
/// let second = Duration::from_secs(1);
/// let limits = DeadlineLimits { first_output: Some(second), idle: Some(5 * second), total: None };
/// let mut deadlines = Deadlines::new(start, limits);
/// assert_eq!(deadlines.expired(start + second), Some(Expired::FirstOutput));
/// deadlines.on_output(start + second);
/// assert_eq!(deadlines.next(), Some(start + 6 * second));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    start: Instant,
    last_output: Option<Instant>,
    limits: DeadlineLimits,
}

impl Deadlines {
    /// Deadlines of a run that starts at `start`.
    pub fn new(start: Instant, limits: DeadlineLimits) -> Self {
        Self { start, last_output: None, limits }
    }

    /// There was output.
    pub fn on_output(&mut self, now: Instant) {
        self.last_output = Some(now);
    }

    /// When the next deadline passes, if nothing happens before.
    pub fn next(&self) -> Option<Instant> {
        self.first().map(|(at, _)| at)
    }

    /// The deadline that has passed.
    pub fn expired(&self, now: Instant) -> Option<Expired> {
        self.first().filter(|(at, _)| *at <= now).map(|(_, which)| which)
    }

    fn first(&self) -> Option<(Instant, Expired)> {
        let silence = match self.last_output {
            None => {
                self.limits.first_output.and_then(|limit| Some((self.start.checked_add(limit)?, Expired::FirstOutput)))
            }
            Some(at) => self.limits.idle.and_then(|limit| Some((at.checked_add(limit)?, Expired::Idle))),
        };
        // A limit too far away to be expressed is none.
        let total = self.limits.total.and_then(|limit| Some((self.start.checked_add(limit)?, Expired::Total)));
        silence.into_iter().chain(total).min_by_key(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn each_limit_has_its_time() {
        let start = Instant::now();
        let limits = DeadlineLimits { first_output: Some(SECOND), idle: Some(2 * SECOND), total: Some(4 * SECOND) };
        let mut deadlines = Deadlines::new(start, limits);
        assert_eq!(deadlines.expired(start), None);
        assert_eq!(deadlines.expired(start + SECOND), Some(Expired::FirstOutput));
        deadlines.on_output(start + SECOND);
        assert_eq!(deadlines.expired(start + 2 * SECOND), None);
        assert_eq!(deadlines.expired(start + 3 * SECOND), Some(Expired::Idle));
        deadlines.on_output(start + 3 * SECOND);
        assert_eq!(deadlines.next(), Some(start + 4 * SECOND));
        assert_eq!(deadlines.expired(start + 4 * SECOND), Some(Expired::Total));
    }

    #[test]
    fn no_limits_no_deadline() {
        let now = Instant::now();
        let none = Deadlines::new(now, DeadlineLimits::default());
        assert_eq!((none.next(), none.expired(now + SECOND)), (None, None));
        let endless = DeadlineLimits { total: Some(Duration::MAX), ..DeadlineLimits::default() };
        assert_eq!(Deadlines::new(now, endless).next(), None);
    }
}
