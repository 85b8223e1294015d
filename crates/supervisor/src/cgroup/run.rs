//! The group of one run.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, openat, unlinkat};
use rustix::io::Errno;

use super::{CgroupLimits, Controller, files};

/// How long a group is waited for whose processes have been killed: until the kernel has cleared up after them.
const REMOVE_LIMIT: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(5);
/// Groups within a run's: one is expected. Deeper ones are not ours to clear up.
const MAX_DEPTH: usize = 8;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The group of a run's processes, in the one with its limits: see the [module](super).
const PROCESSES: &str = "run";

/// A run's group. Dropping it leaves it where it is, for [`remove_leftovers`](super::Delegation::remove_leftovers).
#[derive(Debug)]
pub struct RunCgroup {
    parent: OwnedFd,
    name: String,
    /// With the limits.
    outer: OwnedFd,
    /// With the processes.
    inner: OwnedFd,
}

/// How often a run met its limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CgroupEvents {
    /// How often memory had to be taken back because of the limit. No harm by itself.
    pub memory_max_hits: u64,
    /// How many processes were killed because that was not enough.
    pub oom_kills: u64,
    /// How many forks failed because of the limit.
    pub tasks_max_hits: u64,
}

impl RunCgroup {
    pub(super) fn make(
        parent: &OwnedFd,
        name: String,
        controllers: &[Controller],
        limits: &CgroupLimits,
    ) -> io::Result<Self> {
        let folder = |parent: BorrowedFd<'_>, name: &str| -> io::Result<OwnedFd> {
            mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
            Ok(openat(parent, name, FOLDER, Mode::empty())?)
        };
        let outer = folder(parent.as_fd(), &name)?;
        let fill = || {
            files::write_limits(&outer, controllers, limits)?;
            let inner = folder(outer.as_fd(), PROCESSES)?;
            // Now that the inner one is there: the run gets no groups of its own, which would be memory of the kernel.
            files::write_if_there(outer.as_fd(), "cgroup.max.depth", "1")?;
            files::write_if_there(outer.as_fd(), "cgroup.max.descendants", "1")?;
            Ok((parent.try_clone()?, inner))
        };
        match fill() {
            Ok((parent, inner)) => Ok(Self { parent, name, outer, inner }),
            Err(error) => {
                // The group is empty and of no use. What is left of it is removed at the next start.
                let _ = remove(parent.as_fd(), &name, MAX_DEPTH);
                Err(error)
            }
        }
    }

    /// The folder for the processes: one that writes `0` to `cgroup.procs` in it is in the group, with all that it
    /// starts. A cgroup namespace has to be made after that.
    pub fn folder(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }

    /// What has happened so far.
    pub fn events(&self) -> io::Result<CgroupEvents> {
        let count = |file, name| files::count(self.outer.as_fd(), file, name);
        Ok(CgroupEvents {
            memory_max_hits: count("memory.events", "max")?,
            oom_kills: count("memory.events", "oom_kill")?,
            tasks_max_hits: count("pids.events", "max")?,
        })
    }

    /// Kills every process in the group at once; none can escape by forking. Needs Linux 5.14.
    ///
    /// They are signalled when this returns, not yet gone.
    pub fn kill(&self) -> io::Result<()> {
        kill(self.outer.as_fd())
    }

    /// Removes the group, whose processes are dead or dying. It may block for a second; then the error is
    /// [`ResourceBusy`](io::ErrorKind::ResourceBusy) and the group is left.
    pub fn remove(self) -> io::Result<()> {
        remove_in_time(self.parent.as_fd(), &self.name)
    }
}

impl AsFd for RunCgroup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.folder()
    }
}

/// Kills what is in a run's group and removes the group.
pub(super) fn end(parent: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    kill(openat(parent, name, FOLDER, Mode::empty())?.as_fd())?;
    remove_in_time(parent, name)
}

fn kill(folder: BorrowedFd<'_>) -> io::Result<()> {
    files::write(folder, "cgroup.kill", "1")
}

fn remove_in_time(parent: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    let give_up = Instant::now() + REMOVE_LIMIT;
    loop {
        match remove(parent, name, MAX_DEPTH) {
            Err(Errno::BUSY) if Instant::now() < give_up => thread::sleep(PAUSE),
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Removes a group and those in it. The files of a group vanish with it.
fn remove(parent: BorrowedFd<'_>, name: &str, depth: usize) -> Result<(), Errno> {
    match unlinkat(parent, name, AtFlags::REMOVEDIR) {
        // It has processes, or groups of its own.
        Err(Errno::BUSY) if depth > 0 => {
            let folder = openat(parent, name, FOLDER, Mode::empty())?;
            let inner = files::folders_in(folder.as_fd()).map_err(|_| Errno::BUSY)?;
            if inner.is_empty() {
                return Err(Errno::BUSY);
            }
            for name in inner {
                remove(folder.as_fd(), &name, depth - 1)?;
            }
            unlinkat(parent, name, AtFlags::REMOVEDIR)
        }
        other => other,
    }
}
