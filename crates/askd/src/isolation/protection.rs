//! What can be in force: stable words, which runs and reports carry.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Declares the protections with their words, and what each means.
macro_rules! protections {
    ($($(#[$meaning:meta])+ $variant:ident = $word:literal,)+) => {
        /// One thing that is in force for a run.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Protection {
            $($(#[$meaning])+ #[serde(rename = $word)] $variant,)+
        }

        impl Protection {
            /// All of them, in the order in which they are told.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Its word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}

protections! {
    /// Processes of a run are not root, in any sense of the word.
    UnprivilegedUser = "unprivileged_user",
    /// Setuid programs and file capabilities give nothing.
    NoNewPrivileges = "no_new_privileges",
    /// The kernel's limits: no core dumps, open files, the size of a file.
    Limits = "limits",
    /// Memory, tasks, open files and disk are measured, and a run that takes too much is ended.
    UsageWatch = "usage_watch",
    /// The kernel bounds the run's memory.
    CgroupMemory = "cgroup_memory",
    /// The kernel bounds the run's processes and threads.
    CgroupPids = "cgroup_pids",
    /// The kernel bounds the run's processor time.
    CgroupCpu = "cgroup_cpu",
    /// All processes of the run can be killed in one stroke.
    CgroupKill = "cgroup_kill",
    /// The server's data, its configuration, its user's home and other runs' homes cannot be opened.
    PrivateFiles = "private_files",
    /// Other workspaces cannot be opened, but for folders that the request names.
    PrivateWorkspaces = "private_workspaces",
    /// `/tmp`, `/var/tmp` and `/dev/shm` are the run's own.
    PrivateTmp = "private_tmp",
    /// The system's files cannot be changed, whoever may write them.
    ReadOnlySystem = "read_only_system",
    /// Of the workspace, only the write root can be changed.
    WriteRoot = "write_root",
    /// Processes outside of the run can be neither seen, signalled nor traced; with the run's first process all of them end.
    PidNamespace = "pid_namespace",
    /// System V and POSIX message queues, semaphores and shared memory are the run's own.
    IpcNamespace = "ipc_namespace",
    /// The host's name can be changed for the run alone.
    UtsNamespace = "uts_namespace",
    /// System calls that no agent needs are refused.
    Seccomp = "seccomp",
    /// Files are kept from the run by rules of Landlock; it can trace nobody outside of the run.
    LandlockFiles = "landlock_files",
    /// Processes outside of the run cannot be signalled.
    LandlockSignals = "landlock_signals",
    /// Abstract unix sockets of others cannot be connected to.
    LandlockSockets = "landlock_sockets",
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_json_are_the_same() {
        for protection in Protection::ALL {
            assert_eq!(serde_json::to_value(protection).unwrap(), protection.as_str());
        }
    }
}
