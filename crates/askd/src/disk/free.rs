//! How much disk is free, cheap to ask.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::statvfs;

/// An answer is given again for this long: a burst of requests looks once.
const REMEMBERED: Duration = Duration::from_secs(1);

/// Watches over the space that must stay free on the disk of one folder.
#[derive(Debug)]
pub struct FreeDisk {
    folder: PathBuf,
    /// 0: nothing must.
    minimum: u64,
    last: Mutex<Option<(Instant, Option<Low>)>>,
}

/// There is less than there must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Low {
    /// What is free for an ordinary user, in bytes.
    pub free: u64,
    /// What must be.
    pub minimum: u64,
}

impl FreeDisk {
    /// Of the disk that `folder` lies on, `minimum` bytes must be free; 0 is always true.
    pub fn new(folder: PathBuf, minimum: u64) -> Self {
        Self { folder, minimum, last: Mutex::default() }
    }

    /// Whether there is less, as of a second ago or later. A disk that cannot be asked counts as good: what is wrong with
    /// it will be said by whoever writes there.
    pub fn low(&self) -> Option<Low> {
        if self.minimum == 0 {
            return None;
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, low)) = *last
            && at.elapsed() < REMEMBERED
        {
            return low;
        }
        let before = last.and_then(|(_, low)| low);
        let free = statvfs(&self.folder).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        let low = free.ok().filter(|free| *free < self.minimum).map(|free| Low { free, minimum: self.minimum });
        *last = Some((Instant::now(), low));
        drop(last);
        match (before, low) {
            (None, Some(Low { free, minimum })) => {
                tracing::error!(free, minimum, "the disk of ASKD_DATA_DIR is nearly full: no new runs are taken in");
            }
            (Some(_), None) => tracing::info!("the disk of ASKD_DATA_DIR has space again"),
            _ => {}
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_low_when_less_is_free_than_must_be() {
        let folder = tempfile::tempdir().unwrap();
        let low = |minimum| FreeDisk::new(folder.path().to_owned(), minimum).low();
        assert_eq!(low(0), None);
        assert_eq!(low(1), None);
        let found = low(u64::MAX).unwrap();
        assert!(found.free > 0 && found.minimum == u64::MAX);
        assert_eq!(FreeDisk::new(folder.path().join("none"), u64::MAX).low(), None);
    }
}
