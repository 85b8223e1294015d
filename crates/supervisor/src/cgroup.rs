//! The kernel's own accounts and limits: a control group for each run, where the system has delegated some to us.
//!
//! Only version 2. A *delegation* is a folder of the hierarchy in which we may make others:
//!
//! ```text
//! DELEGATION            subtree_control: what is offered of memory, pids, cpu
//! ├── askd-server       whatever was in the folder itself, the server first
//! ├── askd-run-NAME     one for each run: its limits
//! │   └── run           its processes
//! └── ...
//! ```
//!
//! Two groups for each run, since its processes have the user to whom both belong. In namespaces of its own a run can
//! mount the hierarchy, but only from the group downwards in which its cgroup namespace was made (checked): so it comes
//! to the inner one, in which there is nothing to be changed, and not to its limits. Without a cgroup namespace and a
//! read-only `/sys` nothing keeps it from them.
//!
//! A group must not hold processes and hand out controllers at once, so the server moves aside, unless the operator has
//! named another folder. Everything here is reading and writing of small files.

mod detect;
mod files;
mod run;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FlockOperation, Gid, Mode, OFlags, Uid, flock, openat};

pub use self::run::{CgroupEvents, RunCgroup};

/// Where the server goes when the folder is its own.
const SERVER: &str = "askd-server";
/// What the names of runs' groups begin with.
const RUN: &str = "askd-run-";
/// A name that is longer is refused; ids of runs have 36.
const MAX_NAME: usize = 64;

/// What the kernel can account for and limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controller {
    /// Memory, with swap.
    Memory,
    /// Processes and threads.
    Pids,
    /// Time of processors.
    Cpu,
}

impl Controller {
    const ALL: [Self; 3] = [Self::Memory, Self::Pids, Self::Cpu];

    /// Its name in the hierarchy.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Cpu => "cpu",
        }
    }

    /// Those of ours in a list of names.
    fn among(names: &str) -> Vec<Self> {
        let is_there = |controller: &Self| names.split_ascii_whitespace().any(|name| name == controller.name());
        Self::ALL.into_iter().filter(is_there).collect()
    }
}

/// Why there are no groups of our own, in words for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotDelegated(String);

impl fmt::Display for NotDelegated {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for NotDelegated {}

/// What a run may take. What no controller is there for is not limited: see [`Delegation::controllers`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CgroupLimits {
    /// Bytes of memory, pages of files included, and none of swap. Beyond, the whole run is killed.
    pub memory_bytes: Option<u64>,
    /// Processes and threads. Beyond, `fork` fails.
    pub tasks: Option<u64>,
    /// Time of processors: 100 is one of them at full speed.
    pub cpu_percent: Option<u32>,
}

/// A folder of the hierarchy that is ours.
#[derive(Debug)]
pub struct Delegation {
    folder: OwnedFd,
    controllers: Vec<Controller>,
}

impl Delegation {
    /// Finds the folder and makes it ready for runs.
    ///
    /// With `configured` that folder: it must be of version 2, writable and without processes. Else the own group, if
    /// the system has delegated it; then everything in it moves into a group `askd-server` beside the runs'. That group
    /// is recognised later, so that a server which has dropped root can ask again.
    pub fn detect(configured: Option<&Path>) -> Result<Self, NotDelegated> {
        match configured {
            Some(folder) => detect::configured(folder),
            None => detect::own(),
        }
    }

    /// Takes a folder as it is, after switching on the controllers that it offers.
    ///
    /// It is not checked whether it belongs to the hierarchy: [`Delegation::detect`] does. Nothing is moved.
    pub fn at(folder: &Path) -> Result<Self, NotDelegated> {
        let opened = detect::open(folder)?;
        let controllers = detect::switch_on(&opened)?;
        Ok(Self { folder: opened, controllers })
    }

    /// What is accounted for and limited in the groups of runs. It may be nothing; then a run can still be killed as
    /// one.
    pub fn controllers(&self) -> &[Controller] {
        &self.controllers
    }

    /// Makes the group of a run, with its limits.
    ///
    /// `name` is made of letters, digits, `-` and `_`.
    pub fn create(&self, name: &str, limits: &CgroupLimits) -> io::Result<RunCgroup> {
        RunCgroup::make(&self.folder, run_name(name)?, &self.controllers, limits)
    }

    /// Kills what a dead server has left in groups of its runs, removes the groups, and says how many they were.
    ///
    /// For use at a server's start. From then on, until this value is dropped, the folder is this server's: the error
    /// is [`WouldBlock`](io::ErrorKind::WouldBlock) if it is another's that is alive. A group that cannot be removed
    /// keeps no other from it; the error comes at the end and names the first.
    pub fn remove_leftovers(&self) -> io::Result<usize> {
        flock(&self.folder, FlockOperation::NonBlockingLockExclusive)?;
        self.remove_unless(|_| false)
    }

    /// The same for a server that is at work: groups stay of which `in_use` says so of the name that they were made with.
    pub fn remove_unless(&self, in_use: impl Fn(&str) -> bool) -> io::Result<usize> {
        let mut removed = 0;
        let mut failed: Option<io::Error> = None;
        let groups = files::folders_in(self.folder.as_fd())?;
        let left = |group: &&String| group.strip_prefix(RUN).is_some_and(|name| !in_use(name));
        for name in groups.iter().filter(left) {
            match run::end(self.folder.as_fd(), name) {
                Ok(()) => removed += 1,
                Err(error) if failed.is_none() => {
                    failed = Some(io::Error::new(error.kind(), format!("{name}: {error}")));
                }
                Err(_) => {}
            }
        }
        failed.map_or(Ok(removed), Err)
    }

    /// Hands the folder to the user that the server is about to become: what the kernel's rules of delegation name.
    pub fn give_to(&self, uid: u32, gid: u32) -> io::Result<()> {
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        rustix::fs::fchown(&self.folder, uid, gid)?;
        for file in ["cgroup.procs", "cgroup.threads", "cgroup.subtree_control"] {
            let file = openat(&self.folder, file, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
            rustix::fs::fchown(file, uid, gid)?;
        }
        Ok(())
    }
}

/// The name of a run's group, which must not lead out of the folder.
fn run_name(name: &str) -> io::Result<String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(is_plain) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name:?} cannot name a group")));
    }
    Ok(format!("{RUN}{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_elsewhere_is_refused() {
        assert_eq!(run_name("0198-a_B").unwrap(), "askd-run-0198-a_B");
        for name in ["", "..", "a/b", "a b", "a.procs", "a\n", &"x".repeat(65)] {
            assert!(run_name(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn only_controllers_of_ours_are_listed() {
        assert_eq!(Controller::among("cpuset cpu io memory\n"), [Controller::Memory, Controller::Cpu]);
    }
}
