//! What is left open, and what it costs, in words.

use super::{SCOPES_ABI, SOCKETS_ABI, abi};
use crate::seccomp;

/// What Landlock, with the system call filter beside it, does not keep a run from; in words for a report.
///
/// First what this kernel's version lacks, then what none can do.
pub fn lacking() -> Vec<&'static str> {
    let abi = abi();
    let mut lacking = Vec::new();
    if abi < 5 {
        lacking.push("commands to devices (ioctl) are not restricted (needs Landlock ABI 5, Linux 6.10)");
    }
    if abi < SCOPES_ABI {
        lacking.push(
            "processes of the same user outside of the run, the server among them, can be sent signals \
             (needs Landlock ABI 6, Linux 6.12)",
        );
    }
    if !seccomp::is_available() {
        lacking.push(
            "there is no filter of system calls for this machine: limits of other processes of the same user can be \
             changed, and unix sockets of the machine be connected to",
        );
        lacking.push(
            "System V shared memory, semaphores and message queues of the same user can be used, and outlive the run \
             that made them",
        );
    }
    lacking.extend([
        "of files outside of the run's view, existence, size and times can be asked for; mode, times and extended \
         attributes of those that belong to the same user, the server's among them, can be changed (chmod, utime, \
         setxattr)",
        "names in hidden folders that the same user may read can be learnt as they are used (inotify), and where \
         links lead can be read (readlink)",
        "all processes of the machine and their arguments can be seen (not their environment, memory or open files)",
        "the priority of other processes of the same user can be changed",
        "terminals of the same user (/dev/pts) can be read and written",
    ]);
    lacking
}

/// What programs of a run cannot do because of Landlock and the filter, though it would harm nobody; in words.
pub fn costs() -> Vec<&'static str> {
    let mut costs = vec![
        "no namespaces or mounts: neither the CLI's own sandbox nor bubblewrap works within",
        "no debuggers (ptrace)",
        "no System V shared memory, semaphores and message queues: PostgreSQL and fakeroot fail",
        "no POSIX message queues, semaphores or shared memory (/dev/shm), so that multiprocessing pools of Python fail",
        "/tmp itself is not there: programs that do not ask for TMPDIR fail",
        "/ and other folders that have something hidden below them can be entered but not listed",
    ];
    if abi() < SOCKETS_ABI {
        costs.push(
            "no unix sockets, also between processes of the run, but socketpair: this Landlock cannot tell those of \
             the machine apart (ABI 9, Linux 7.1, can)",
        );
    }
    costs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lacking_is_said_whatever_the_kernel() {
        assert!(lacking().iter().any(|words| words.contains("chmod")));
        assert_eq!(abi() < SOCKETS_ABI, costs().iter().any(|words| words.contains("unix sockets")));
        assert_eq!(abi() < SCOPES_ABI, lacking().iter().any(|words| words.contains("signals")));
    }
}
