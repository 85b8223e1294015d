//! Who a process is: a pid alone may belong to a stranger a moment later.

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

use crate::procfs;

/// A process, recognised by its pid *and* its start time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId {
    /// The process id.
    pub pid: u32,
    /// The start time in clock ticks since boot: field 22 of `/proc/PID/stat`.
    pub start: u64,
}

/// The environment variable that a run's processes are recognised by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// The variable's name.
    pub name: &'static str,
    /// Its value: one per run, beginning with something that only this server's data directory has.
    pub value: String,
}

/// All that is needed to recognise the processes of a run, later and from another process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The process that watches over the tree.
    pub guardian: ProcessId,
    /// The main child.
    pub child: ProcessId,
    /// The value of the run's [`Marker`].
    pub marker: String,
}

impl ProcessId {
    /// The process that has this pid now.
    pub fn of(pid: u32) -> Option<Self> {
        procfs::entry(pid).map(|entry| entry.id)
    }

    /// Whether this very process still exists, be it as a zombie.
    pub fn exists(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Signals this process, and never another one that got its pid. `false`: it is gone, or it is not ours to signal.
    pub(crate) fn signal(self, signal: Signal) -> bool {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return false;
        };
        match pidfd_open(pid, PidfdFlags::empty()) {
            // The descriptor is bound to whoever has the pid now; only then does the comparison hold for good.
            Ok(pidfd) => self.exists() && pidfd_send_signal(pidfd, signal).is_ok(),
            // A kernel or sandbox without pidfds: the best there is.
            Err(Errno::NOSYS | Errno::PERM | Errno::INVAL) => self.exists() && kill_process(pid, signal).is_ok(),
            Err(_) => false,
        }
    }
}
