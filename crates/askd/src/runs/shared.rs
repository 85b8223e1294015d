//! What every run needs of the server.

use std::path::PathBuf;
use std::sync::Arc;

use super::judge::Judges;
use super::watch::Watch;
use crate::ambient::Ambient;
use crate::audit::Audit;
use crate::cli::Cli;
use crate::cli::health::CliHealth;
use crate::config::Config;
use crate::credentials::CredentialSource;
use crate::disk::free::FreeDisk;
use crate::homes::Homes;
use crate::isolation::Isolation;
use crate::keys::Keys;
use crate::lifecycle::Lifecycle;
use crate::marker::MarkerPrefix;
use crate::metrics::Metrics;
use crate::programs::Programs;
use crate::project_config::ProjectConfigPolicy;
use crate::sessions::Sessions;
use crate::settings::InForce;
use crate::store::Store;
use crate::traces::Traces;
use crate::workspaces::Workspaces;

/// What every run needs.
#[derive(Debug)]
pub struct Shared {
    /// The server's options.
    pub settings: InForce,
    /// Time and randomness.
    pub ambient: Ambient,
    /// Drain, stop, kill.
    pub lifecycle: Lifecycle,
    /// The CLI.
    pub cli: Cli,
    /// Whether it can be started.
    pub cli_health: CliHealth,
    /// The executable that answers to `__launch`.
    pub launcher: PathBuf,
    /// How processes of this server are recognised.
    pub marker: MarkerPrefix,
    /// What the CLI uses upstream.
    pub credentials: CredentialSource,
    /// How askd's own short programs are run.
    pub programs: Programs,
    /// Where the guard reads commands.
    pub judges: Judges,
    /// The operator's configuration of the CLI.
    pub config: Config,
    /// Who may call, and what for.
    pub keys: Keys,
    /// Who did what.
    pub audit: Audit,
    /// Runs, events, sessions.
    pub store: Store,
    /// The name under which this server holds runs in the store.
    pub owner: String,
    /// Spans of requests and runs.
    pub traces: Traces,
    /// Transcripts.
    pub sessions: Sessions,
    /// Private homes.
    pub homes: Homes,
    /// What is counted and measured.
    pub metrics: Metrics,
    /// What live runs use up.
    pub watch: Watch,
    /// What is free on the disk of the data folder.
    pub free_disk: FreeDisk,
    /// The folder of process records.
    pub records: PathBuf,
    /// What confines runs.
    pub isolation: Isolation,
    /// The workspace root.
    pub workspaces: Arc<Workspaces>,
    /// When a folder's own configuration is loaded.
    pub project_policy: ProjectConfigPolicy,
    /// Folders that no run may read: the server's data (but the homes), its configuration, `/proc`.
    pub private_folders: Vec<PathBuf>,
    /// Files that no run may read.
    pub private_files: Vec<PathBuf>,
}
