//! Why a server does not start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::cli::CliError;
use crate::isolation::Unisolated;
use crate::isolation::view::ViewError;
use crate::privileges::PrivilegesError;
use crate::store::{OpenError, StoreError};
use crate::traces::TracesError;

/// Why a server does not start. The texts say what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Agents would run as root: nobody has called [`settle`](crate::privileges::settle), or allowed it.
    #[error(
        "askd runs agents with its own rights, which are root's. Start it as an unprivileged user, set ASKD_RUN_AS to one, or \
         set ASKD_ALLOW_ROOT=1 if this machine is the agent's alone"
    )]
    Root,
    /// The server is not to work as the user that it is.
    #[error(transparent)]
    Privileges(#[from] PrivilegesError),
    /// The folders do not fit together.
    #[error("{0}")]
    Places(String),
    /// A folder cannot be used.
    #[error("cannot use {what} `{path}`: {source}; create it, or set {what} to a folder that this user may use")]
    Folder {
        /// Which one.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Another server works there.
    #[error(
        "another askd (process {holder}) works in ASKD_DATA_DIR `{folder}`; use or stop that one, or give this one a \
         folder of its own"
    )]
    Locked {
        /// The folder.
        folder: PathBuf,
        /// The other's process id, as far as it is known.
        holder: String,
    },
    /// Runs would have less rules than the operator gave, or none could start.
    #[error("the configuration in CONFIG_DIR cannot be used: {0}; mend it, or move the file away")]
    Config(String),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The runs of an earlier server cannot be settled.
    #[error("cannot settle the runs of an earlier server: {0}")]
    Recover(#[from] StoreError),
    /// They are settled, and nobody would know: the next server would take new runs for old ones.
    #[error(
        "cannot remove `restored.json` in ASKD_DATA_DIR: {0}; remove it, or each start ends the runs that wait as lost"
    )]
    Restored(io::Error),
    /// The CLI cannot be used.
    #[error(transparent)]
    Cli(#[from] CliError),
    /// It is there, perhaps, and nobody can say.
    #[error(
        "the Claude Code CLI `{program}` is behind `{folder}`, which the server's user cannot enter; install it where this \
         user may read it"
    )]
    ShutCli {
        /// The CLI.
        program: PathBuf,
        /// The folder that is in the way.
        folder: PathBuf,
    },
    /// Runs could not have the view that they need.
    #[error(transparent)]
    View(#[from] ViewError),
    /// Isolation is required, and there is none, or a part of it was asked for and cannot be had.
    #[error(transparent)]
    Isolation(#[from] Unisolated),
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: {source}; choose another address with ASKD_LISTEN")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// The same of the address for the monitoring.
    #[error("cannot listen on {address}: {source}; choose another address with ASKD_METRICS_LISTEN")]
    ListenForMetrics {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// Traces cannot be sent.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// The system refuses something basic.
    #[error("cannot prepare the process: {0}")]
    Process(io::Error),
}
