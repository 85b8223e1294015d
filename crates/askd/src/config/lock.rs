//! Keeps whoever copies the configuration and whoever renames its files apart, so that no run gets half a skill.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;

/// How long somebody waits who shares: others rename in milliseconds, and wait a while for that themselves.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long somebody waits who wants it alone. Meanwhile nobody new gets it, and every run begins with it.
const PATIENCE_ALONE: Duration = Duration::from_secs(2);

/// How often another process is asked again.
const PAUSE: Duration = Duration::from_millis(2);

/// A lock that many may hold together, or one alone. Who wants it alone goes first. It holds in this process, and by
/// `flock` on the folder for other servers, where the file system has that.
#[derive(Debug)]
pub(super) struct FileLock {
    folder: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
    /// How often somebody had to wait.
    #[cfg(test)]
    waits: std::sync::atomic::AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    sharing: usize,
    waiting_alone: usize,
    is_alone: bool,
}

/// Held; dropped, it is free.
#[derive(Debug)]
pub(super) struct Held<'a> {
    lock: &'a FileLock,
    alone: bool,
    /// Goes before the lock within the process does.
    folder: Option<OwnedFd>,
}

impl FileLock {
    /// For the files in a folder, which need not exist.
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            state: Mutex::default(),
            changed: Condvar::new(),
            #[cfg(test)]
            waits: 0.into(),
        }
    }

    /// For reading, together with others. Blocking, bounded.
    pub(super) fn share(&self) -> io::Result<Held<'_>> {
        let until = Instant::now() + PATIENCE;
        let mut state = self.state();
        while state.is_alone || state.waiting_alone > 0 {
            state = self.wait(state, until)?;
        }
        state.sharing += 1;
        drop(state);
        self.held(false, until)
    }

    /// For changing, alone. Blocking, bounded.
    pub(super) fn alone(&self) -> io::Result<Held<'_>> {
        let until = Instant::now() + PATIENCE_ALONE;
        let mut state = self.state();
        state.waiting_alone += 1;
        while state.is_alone || state.sharing > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                state.waiting_alone -= 1;
                drop(state);
                self.changed.notify_all();
                return Err(io::ErrorKind::TimedOut.into());
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.waiting_alone -= 1;
        state.is_alone = true;
        drop(state);
        self.held(true, until)
    }

    /// With the lock of other processes, too.
    fn held(&self, alone: bool, until: Instant) -> io::Result<Held<'_>> {
        // Given back by its drop, whatever happens next.
        let mut held = Held { lock: self, alone, folder: None };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = match rustix::fs::open(&self.folder, flags, Mode::empty()) {
            Ok(folder) => folder,
            // There is nothing to keep apart.
            Err(Errno::NOENT) => return Ok(held),
            // Such as that too many files are open: that is no reason to go without.
            Err(error) => return Err(error.into()),
        };
        let operation =
            if alone { FlockOperation::NonBlockingLockExclusive } else { FlockOperation::NonBlockingLockShared };
        loop {
            match flock(&folder, operation) {
                Ok(()) => {
                    held.folder = Some(folder);
                    return Ok(held);
                }
                Err(Errno::WOULDBLOCK | Errno::INTR) if Instant::now() < until => {
                    self.count();
                    thread::sleep(PAUSE);
                }
                Err(Errno::WOULDBLOCK | Errno::INTR) => return Err(io::ErrorKind::TimedOut.into()),
                // A network's file system without locks, or without such for folders; then other servers are not kept
                // apart.
                Err(error @ (Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::BADF)) => {
                    tracing::debug!(%error, "the folder of the configuration cannot be locked");
                    return Ok(held);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, until: Instant) -> io::Result<MutexGuard<'a, State>> {
        self.count();
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0)
    }

    /// For tests: what takes long, takes it by waiting.
    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "only tests count"))]
    fn count(&self) {
        #[cfg(test)]
        self.waits.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        drop(self.folder.take().map(File::from));
        let mut state = self.lock.state();
        if self.alone {
            state.is_alone = false;
        } else {
            state.sharing -= 1;
        }
        drop(state);
        self.lock.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn many_share_it_and_one_has_it_alone() {
        let folder = tempfile::tempdir().unwrap();
        let lock = FileLock::new(folder.path());
        let (one, other) = (lock.share().unwrap(), lock.share().unwrap());
        let (got, gets) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| {
                let alone = lock.alone().unwrap();
                got.send("alone").unwrap();
                drop(alone);
            });
            while lock.state().waiting_alone == 0 {
                thread::yield_now();
            }
            scope.spawn(|| {
                // It comes later, and does not overtake.
                drop(lock.share().unwrap());
                got.send("shared").unwrap();
            });
            drop(one);
            assert!(gets.try_recv().is_err());
            drop(other);
            assert_eq!(gets.recv().unwrap(), "alone");
            assert_eq!(gets.recv().unwrap(), "shared");
        });
    }

    #[test]
    fn another_server_on_the_same_folder_is_kept_apart() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (FileLock::new(folder.path()), FileLock::new(folder.path()));
        let (reads, also_reads) = (one.share().unwrap(), other.share().unwrap());
        drop((reads, also_reads));
        let alone = one.alone().unwrap();
        let soon = Instant::now() + PAUSE * 3;
        assert_eq!(other.held(true, soon).unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(alone);
    }

    #[test]
    fn a_folder_that_is_not_there_needs_no_lock_of_others() {
        let lock = FileLock::new(Path::new("/nowhere"));
        assert!(lock.share().is_ok() && lock.alone().is_ok());
    }

    #[test]
    fn a_folder_that_cannot_be_opened_is_not_taken_for_locked() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let lock = FileLock::new(file.path());
        assert_eq!(lock.share().unwrap_err().kind(), io::ErrorKind::NotADirectory);
        assert!(lock.alone().is_err());
        // Given back.
        assert!(!lock.state().is_alone && lock.state().sharing == 0);
    }

    #[test]
    fn who_waits_to_be_alone_gives_up_long_before_those_who_share() {
        let folder = tempfile::tempdir().unwrap();
        let lock = FileLock::new(folder.path());
        let copying = lock.share().unwrap();
        thread::scope(|scope| {
            let alone = scope.spawn(|| lock.alone().map(drop).unwrap_err().kind());
            while lock.state().waiting_alone == 0 {
                thread::yield_now();
            }
            // It begins while the other one waits, and gets it.
            drop(lock.share().unwrap());
            assert_eq!(alone.join().unwrap(), io::ErrorKind::TimedOut);
        });
        drop(copying);
    }

    #[test]
    fn a_home_is_not_kept_waiting_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let lock = FileLock::new(folder.path());
        for _ in 0..1_000 {
            drop((lock.share().unwrap(), lock.share().unwrap()));
        }
        assert_eq!(lock.waits.into_inner(), 0);
    }
}
