//! How much disk is free, cheap to ask: it is looked at now and then by somebody who may wait for a mount that hangs, and
//! whoever asks gets what was seen last.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{StatVfs, statvfs};

/// What was seen longer ago says nothing any more.
const TOO_OLD: Duration = Duration::from_secs(10);

/// So many files and folders must be possible: a run's home has some hundred.
const MIN_FILES: u64 = 1_000;

/// Watches over the space that must stay free on the disk of one folder.
#[derive(Debug)]
pub struct FreeDisk {
    folder: PathBuf,
    /// 0: nothing must.
    minimum: u64,
    seen: Mutex<Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    at: Instant,
    low: Option<Low>,
    amounts: Option<Amounts>,
}

/// Of the disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amounts {
    /// Free for an ordinary user.
    pub free: u64,
    /// All of it.
    pub size: u64,
}

/// There is less than there must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Low {
    /// Of space.
    Bytes {
        /// What is free for an ordinary user, in bytes.
        free: u64,
        /// What must be.
        minimum: u64,
    },
    /// Of files and folders that can be made (inodes).
    Files {
        /// How many still can.
        free: u64,
        /// How many must be possible.
        minimum: u64,
    },
}

/// What is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    /// There is enough.
    Enough,
    /// There is not.
    Low(Low),
    /// The disk has not answered for so long.
    Unknown(Duration),
}

impl FreeDisk {
    /// Of the disk that `folder` lies on, `minimum` bytes must be free; 0 is always true. Looks at once; blocking.
    pub fn new(folder: PathBuf, minimum: u64) -> Self {
        let disk = Self { folder, minimum, seen: Mutex::new(Seen { at: Instant::now(), low: None, amounts: None }) };
        disk.look();
        disk
    }

    /// Looks at the disk. Blocking, for ever if it is a mount that hangs. A disk that answers with an error counts as good:
    /// what is wrong with it will be said by whoever writes there.
    pub fn look(&self) {
        let disk = statvfs(&self.folder).ok();
        let low = disk.as_ref().filter(|_| self.minimum > 0).and_then(|disk| self.judge(disk));
        let amounts = disk.map(|disk| Amounts {
            free: disk.f_bavail.saturating_mul(disk.f_frsize),
            size: disk.f_blocks.saturating_mul(disk.f_frsize),
        });
        let before = std::mem::replace(&mut *self.seen(), Seen { at: Instant::now(), low, amounts });
        match (before.low, low) {
            (None, Some(Low::Bytes { free: free_bytes, minimum: minimum_bytes })) => tracing::error!(
                free_bytes,
                minimum_bytes,
                "the disk of ASKD_DATA_DIR is nearly full: no new runs are taken in"
            ),
            (None, Some(Low::Files { free: free_files, minimum: minimum_files })) => tracing::error!(
                free_files,
                minimum_files,
                "the disk of ASKD_DATA_DIR has hardly any inodes left: no new runs are taken in"
            ),
            (Some(_), None) => tracing::info!("the disk of ASKD_DATA_DIR has space again"),
            _ => {}
        }
    }

    /// What was seen last; cheap.
    pub fn space(&self) -> Space {
        let Seen { at, low, .. } = *self.seen();
        match low {
            _ if self.minimum > 0 && at.elapsed() > TOO_OLD => Space::Unknown(at.elapsed()),
            Some(low) => Space::Low(low),
            None => Space::Enough,
        }
    }

    /// How much there was when it was last seen; `None`: it has answered with an error.
    pub fn amounts(&self) -> Option<Amounts> {
        self.seen().amounts
    }

    /// Whether there was less when it was last seen.
    pub fn low(&self) -> Option<Low> {
        self.seen().low
    }

    fn judge(&self, disk: &StatVfs) -> Option<Low> {
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free < self.minimum {
            return Some(Low::Bytes { free, minimum: self.minimum });
        }
        // File systems that make inodes as they are needed say that there are none at all.
        (disk.f_files > 0 && disk.f_favail < MIN_FILES)
            .then_some(Low::Files { free: disk.f_favail, minimum: MIN_FILES })
    }

    /// Never held while the disk is asked.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
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
        assert!(matches!(low(u64::MAX), Some(Low::Bytes { free: 1.., minimum: u64::MAX })));
        assert_eq!(FreeDisk::new(folder.path().join("none"), u64::MAX).low(), None);
    }

    #[test]
    fn a_disk_without_inodes_is_low_unless_it_counts_none() {
        let folder = tempfile::tempdir().unwrap();
        let disk = FreeDisk::new(folder.path().to_owned(), 1);
        let mut found = statvfs(folder.path()).unwrap();
        (found.f_files, found.f_favail) = (100_000, 5);
        assert_eq!(disk.judge(&found), Some(Low::Files { free: 5, minimum: MIN_FILES }));
        (found.f_files, found.f_favail) = (0, 0);
        assert_eq!(disk.judge(&found), None);
    }

    #[test]
    fn a_disk_that_does_not_answer_is_unknown_and_keeps_nobody_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let disk = FreeDisk::new(folder.path().to_owned(), 1);
        assert_eq!(disk.space(), Space::Enough);
        disk.seen().at -= TOO_OLD + Duration::from_secs(1);
        assert!(matches!(disk.space(), Space::Unknown(since) if since > TOO_OLD));
        disk.look();
        assert_eq!(disk.space(), Space::Enough);
    }
}
