//! What one look at a scope may cost. A workspace's files are an agent's, which may make any number of them, of any size.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use super::MAX_READ;
use crate::config::error::ConfigError;

/// Entries of folders that one look comes by.
const MAX_ENTRIES: u64 = 200_000;

/// Names that are compared with those of one change.
const MAX_NAMES: u64 = 1_000_000;

/// How long one look may take. Whoever waits for it gives up a little later, and the thread has ended by then.
const MAX_TIME: Duration = Duration::from_secs(15);

/// What is left of it. For one thread.
#[derive(Debug)]
pub(super) struct Budget {
    entries: Cell<u64>,
    names: Cell<u64>,
    bytes: Cell<u64>,
    most_bytes: u64,
    until: Option<Instant>,
    over: RefCell<Option<ConfigError>>,
}

impl Budget {
    /// For a look at a scope that may have so many bytes. They are counted twice, since what is to be changed is read
    /// again; and one document may be larger than that.
    pub(super) fn of_look(total_bytes: u64) -> Self {
        let most_bytes = total_bytes.saturating_mul(2).saturating_add(MAX_READ as u64);
        Self { until: Some(Instant::now() + MAX_TIME), ..Self::of(MAX_ENTRIES, most_bytes) }
    }

    /// For a change: it has a bounded number of documents, each with its own bounds, and must not stop in the middle.
    pub(super) fn of_change() -> Self {
        Self::of(u64::MAX, u64::MAX)
    }

    pub(super) fn of(entries: u64, most_bytes: u64) -> Self {
        let over = RefCell::default();
        let (entries, bytes, names) = (Cell::new(entries), Cell::new(most_bytes), Cell::new(MAX_NAMES));
        Self { entries, names, bytes, most_bytes, until: None, over }
    }

    /// An error, always the same one, once it is used up; or the time is.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if let Some(over) = &*self.over.borrow() {
            return Err(over.clone());
        }
        if self.until.is_some_and(|until| Instant::now() >= until) {
            return Err(self.end(ConfigError::Busy));
        }
        Ok(())
    }

    /// Pays for an entry of a folder.
    pub(super) fn entry(&self) -> Result<(), ConfigError> {
        self.check()?;
        match self.entries.get().checked_sub(1) {
            Some(left) => self.entries.set(left),
            None => return Err(self.end(too_large(MAX_ENTRIES, "files and folders"))),
        }
        Ok(())
    }

    /// Pays for bytes that were read.
    pub(super) fn bytes(&self, read: usize) -> Result<(), ConfigError> {
        self.check()?;
        match self.bytes.get().checked_sub(read as u64) {
            Some(left) => self.bytes.set(left),
            None => return Err(self.end(too_large(self.most_bytes, "bytes"))),
        }
        Ok(())
    }

    /// Pays for a name that is compared; `false` when no more are. What depends on it is no matter of safety.
    pub(super) fn name(&self) -> bool {
        let left = self.names.get().checked_sub(1);
        self.names.set(left.unwrap_or(0));
        left.is_some()
    }

    #[cfg(test)]
    pub(super) fn bytes_read(&self) -> u64 {
        self.most_bytes - self.bytes.get()
    }

    fn end(&self, over: ConfigError) -> ConfigError {
        self.over.replace(Some(over.clone()));
        over
    }
}

fn too_large(most: u64, unit: &'static str) -> ConfigError {
    ConfigError::TooLarge { what: "what is there of the configuration".to_owned(), most, unit }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_up_stays_used_up() {
        let budget = Budget::of(2, 10);
        assert_eq!((budget.entry(), budget.bytes(10), budget.bytes_read()), (Ok(()), Ok(()), 10));
        let over = budget.bytes(1).unwrap_err();
        assert_eq!(over.to_string(), "what is there of the configuration is larger than 10 bytes");
        assert_eq!((budget.entry(), budget.check()), (Err(over.clone()), Err(over)));
        let budget = Budget::of(1, 0);
        assert_eq!((budget.entry(), budget.entry().is_err(), budget.bytes(0).is_err()), (Ok(()), true, true));
    }

    #[test]
    fn a_look_ends_when_its_time_is_over() {
        let budget = Budget { until: Some(Instant::now()), ..Budget::of_look(0) };
        assert_eq!((budget.entry(), budget.check()), (Err(ConfigError::Busy), Err(ConfigError::Busy)));
        assert_eq!(Budget::of_change().entry(), Ok(()));
    }
}
