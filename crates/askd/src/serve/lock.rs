//! The lock of a data folder: one server works in it, or one command that needs it for itself.

use std::fs::{self, File, Metadata, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use rustix::fs::OFlags;

use crate::small_file;

/// A process id is shorter, in bytes.
const MAX_PID: u64 = 20;

/// The lock, as long as this is kept. The file names this process meanwhile: people ask who it is, and scripts send it signals.
#[derive(Debug)]
pub struct DataLock(File);

impl DataLock {
    fn name_process(&mut self) -> io::Result<()> {
        self.0.set_len(0)?;
        write!(self.0, "{}", std::process::id())
    }
}

impl Drop for DataLock {
    fn drop(&mut self) {
        // The lock goes with the file, after this. Who cannot write here any more has nothing better to do.
        let _ = self.0.set_len(0);
    }
}

/// What came of taking it.
#[derive(Debug)]
pub enum Attempt {
    /// This process.
    Taken(DataLock),
    /// Another one had it, by its id as far as it is known.
    Held(String),
}

/// How often it is tried again, for a second together: whoever only looks ([`is_held`]) has the lock for a moment, and so has a
/// restore that was refused.
const TRIES: u32 = 20;

/// Between two attempts.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Whether somebody works in the data folder, as far as this user may see. It is tried, for a moment, and beside others who
/// look: the kernel's own list of locks is another one in each namespace of processes, and names other devices than files do
/// where there are subvolumes.
pub fn is_held(data: &Path) -> bool {
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    let Ok(file) = File::options().read(true).custom_flags(flags).open(data.join("lock")) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// Takes the lock, if nobody has it. Blocking, for a second at most.
pub fn take(data: &Path) -> io::Result<Attempt> {
    take_pausing(data, || sleep(LOOK_AGAIN))
}

fn take_pausing(data: &Path, mut pause: impl FnMut()) -> io::Result<Attempt> {
    let path = data.join("lock");
    let (mut file, mut is_new) = open(&path)?;
    let mut left = TRIES;
    loop {
        match file.try_lock() {
            Ok(()) if is_named(&file, &path) => break,
            // Whoever had it has removed the file: a restore that was refused, of which nothing is to stay.
            Ok(()) if left > 0 => (file, is_new) = open(&path)?,
            // Or the file system gives one file several numbers.
            Ok(()) => return Err(io::Error::other("its file is removed again and again")),
            Err(TryLockError::WouldBlock) if left > 0 => {}
            Err(TryLockError::WouldBlock) => {
                let holder = small_file::read_text(&path, MAX_PID).unwrap_or_default();
                return Ok(Attempt::Held(if holder.is_empty() { "unknown".to_owned() } else { holder }));
            }
            Err(TryLockError::Error(error)) => {
                // A file system without locks.
                if is_new {
                    drop(fs::remove_file(path));
                }
                return Err(error);
            }
        }
        left -= 1;
        pause();
    }
    let mut lock = DataLock(file);
    if let Err(error) = lock.name_process() {
        // As long as it is locked: whoever waits for it finds out.
        if is_new {
            drop(fs::remove_file(path));
        }
        return Err(error);
    }
    Ok(Attempt::Taken(lock))
}

/// The file, and whether it was made for this.
fn open(path: &Path) -> io::Result<(File, bool)> {
    let mut options = File::options();
    options.write(true).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    match options.clone().create_new(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Ok((options.create(true).truncate(false).open(path)?, false))
        }
        made => Ok((made?, true)),
    }
}

/// Whether the path still leads to this file.
fn is_named(file: &File, path: &Path) -> bool {
    let id = |there: Metadata| (there.dev(), there.ino());
    let (own, there) = (file.metadata().map(id).ok(), path.symlink_metadata().map(id).ok());
    own.is_some() && own == there
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_names_its_process_and_who_only_looks_has_it_no_longer() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        assert!(!is_held(data), "there is none");
        fs::write(data.join("lock"), "4711 of a server that was killed").unwrap();
        let Attempt::Taken(lock) = take(data).unwrap() else { panic!("somebody has it") };
        assert!(is_held(data));
        let Attempt::Held(holder) = take(data).unwrap() else { panic!("two have it") };
        assert_eq!(holder, std::process::id().to_string());
        drop(lock);
        assert!(!is_held(data));
        assert_eq!(fs::read_to_string(data.join("lock")).unwrap(), "", "nobody is named");
        assert!(matches!(take(data).unwrap(), Attempt::Taken(_)));
    }

    #[test]
    fn a_lock_whose_file_was_removed_meanwhile_is_taken_anew() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let Attempt::Taken(lock) = take(data).unwrap() else { panic!("somebody has it") };
        let mut held = Some(lock);
        let taken = take_pausing(data, || {
            if let Some(lock) = held.take() {
                fs::remove_file(data.join("lock")).unwrap();
                drop(lock);
            }
        });
        assert!(matches!(taken.unwrap(), Attempt::Taken(_lock) if is_held(data)), "by its name");
    }

    #[test]
    fn a_lock_whose_file_is_removed_again_and_again_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let Attempt::Taken(lock) = take(data).unwrap() else { panic!("somebody has it") };
        let (mut held, mut pauses) = (Some(lock), 0);
        let taken = take_pausing(data, || {
            fs::remove_file(data.join("lock")).unwrap();
            held = None;
            pauses += 1;
        });
        let error = taken.unwrap_err().to_string();
        assert!(error.contains("removed again and again") && held.is_none(), "{error}");
        assert_eq!(pauses, TRIES);
    }

    #[test]
    fn who_only_looks_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        fs::write(&path, "").unwrap();
        let looking = File::open(path).unwrap();
        looking.try_lock_shared().unwrap();
        let mut looking = Some(looking);
        let taken = take_pausing(folder.path(), || assert!(looking.take().is_some(), "once"));
        assert!(matches!(taken.unwrap(), Attempt::Taken(_)) && looking.is_none());
    }
}
