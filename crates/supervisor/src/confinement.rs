//! What a child may see, reach and use up.
//!
//! Everything here is decided before the guardian starts: folders are open descriptors that somebody has checked, so that
//! nothing that is renamed or replaced by a link later can change what they mean.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a child may see, reach and use up.
#[derive(Debug)]
pub struct Confinement {
    /// What it sees of the file system and of other processes.
    pub view: View,
    /// What it may use up.
    pub resources: Resources,
    /// The run's cgroup v2 folder, opened; the child enters it before anything else.
    pub cgroup: Option<OwnedFd>,
}

impl Confinement {
    /// No confinement beyond what every child has: for short programs of the server itself.
    pub fn none() -> Self {
        Self { view: View::Host, resources: Resources::default(), cgroup: None }
    }
}

/// Limits that the kernel enforces by itself. `None`: what the server has itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// How many tasks (processes and threads) the run may have at once. Kept where the run has a user namespace of its
    /// own, since only there does the kernel count this run alone. Root is not limited.
    pub processes: Option<u64>,
    /// How many tasks the *user* may have at once: the backstop where there is no user namespace, and the kernel counts
    /// every process of the user, the server's too.
    pub processes_backstop: Option<u64>,
    /// How many descriptors one process may have open: at most [so many](crate::open_files) as keep the server ahead, also
    /// with `None`.
    pub open_files: Option<u64>,
    /// How long one file may become, in bytes.
    pub file_size: Option<u64>,
}

/// What a child sees.
#[derive(Debug)]
pub enum View {
    /// What the server sees.
    Host,
    /// Namespaces of its own: nothing of the host is writable but what is bound, hidden folders are empty, and no process
    /// of the host can be seen.
    ///
    /// A named pipe of the host can be opened for writing all the same: a read-only mount does not cover what is in it. And
    /// what the host mounts later in a shared mount appears in the view, with the access that the host has.
    Bubblewrap(Bubblewrap),
    /// Rules on the host's own view: what is hidden cannot be opened, and only what is bound can be written.
    Landlock(Folders),
}

/// A view that bubblewrap makes.
#[derive(Debug)]
pub struct Bubblewrap {
    /// The program `bwrap`; without a slash it is looked up in the `PATH` of the launch. It must know `--args`,
    /// `--bind-fd` and `--ro-bind-fd`; which versions do depends on the distribution.
    pub program: PathBuf,
    /// What is in the view. The launch's directory must lie in a bind.
    pub folders: Folders,
}

/// What is hidden, and what is let in all the same.
#[derive(Debug)]
pub struct Folders {
    /// Folders and files of which nothing is seen but what is bound below them. Absolute, without links. What does not
    /// exist at the start is skipped. A file, or folder, that the host replaces by renaming another one over it is no
    /// longer hidden from those that run with bubblewrap: the kernel removes what was mounted there. So hide the folder in
    /// which that happens.
    pub hidden: Vec<PathBuf>,
    /// What is let in. With bubblewrap, what is hidden below a bind stays hidden; with Landlock the bind lets it in.
    pub binds: Vec<Bind>,
    /// The run's own temporary folder: it becomes `/tmp` and `/var/tmp`. With Landlock it is merely writable.
    pub temporary: OwnedFd,
}

/// A folder or file that is let in.
#[derive(Debug)]
pub struct Bind {
    /// What it is: opened, and checked by whoever opened it.
    pub descriptor: OwnedFd,
    /// Where the child finds it: absolute, without links.
    pub path: PathBuf,
    /// What the child may do there.
    pub access: Access,
}

/// What a child may do with something that is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// To read, to list and to execute.
    ReadOnly,
    /// To write, too.
    ReadWrite,
}
