//! The lock of a data folder: one server works in it, or one command that needs it for itself.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::fs::OFlags;

use crate::small_file;

/// A process id is shorter, in bytes.
const MAX_PID: u64 = 20;

/// Who holds the lock.
#[derive(Debug)]
pub enum Holder {
    /// Nobody did; it is held as long as this is kept.
    Nobody(File),
    /// Another server, by its process id as far as it is known.
    Server(String),
}

/// For how long a server that starts tries: whoever only looks ([`is_held`]) has the lock for a moment.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// Whether somebody works in the data folder, as far as this user may see. It is tried, for a moment, and beside others who
/// look: the kernel's own list of locks is another one in each namespace of processes, and names other devices than files do
/// where there are subvolumes.
pub fn is_held(data: &Path) -> bool {
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    let Ok(file) = File::options().read(true).custom_flags(flags).open(data.join("lock")) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// Takes the lock, if nobody has it.
pub fn take(data: &Path) -> io::Result<Holder> {
    let path = data.join("lock");
    let mut options = File::options();
    options.create(true).truncate(false).write(true).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    let file = options.open(&path)?;
    match file.try_lock() {
        Ok(()) => Ok(Holder::Nobody(file)),
        Err(TryLockError::WouldBlock) => {
            let holder = small_file::read_text(&path, MAX_PID).unwrap_or_default();
            Ok(Holder::Server(if holder.is_empty() { "unknown".to_owned() } else { holder }))
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_is_seen_and_who_only_looks_has_it_no_longer() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_held(folder.path()), "there is none");
        let Holder::Nobody(lock) = take(folder.path()).unwrap() else { panic!("somebody has it") };
        assert!(is_held(folder.path()));
        drop(lock);
        assert!(!is_held(folder.path()));
        assert!(matches!(take(folder.path()).unwrap(), Holder::Nobody(_)));
    }
}
