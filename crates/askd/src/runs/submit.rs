//! The one way to run: a specification goes in, a handle to follow comes out.

use std::path::PathBuf;
use std::sync::Arc;

use secrecy::SecretString;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::event::EventBody;
use super::log::{Follower, RunLog};
use super::queue::{Occupancy, Queue, QueueFull};
use super::worker::Worker;
use super::{RunId, RunSpec};
use crate::ambient::Ambient;
use crate::cli::Cli;
use crate::config_dir::ConfigDir;
use crate::credentials::CredentialSource;
use crate::homes::Homes;
use crate::lifecycle::Lifecycle;
use crate::marker::MarkerPrefix;
use crate::programs::Programs;
use crate::project_config::ProjectConfigPolicy;
use crate::sessions::Sessions;
use crate::settings::Settings;
use crate::workspaces::Workspaces;

/// What every run needs.
#[derive(Debug)]
pub struct Shared {
    /// The server's options.
    pub settings: Settings,
    /// Time and randomness.
    pub ambient: Ambient,
    /// Drain, stop, kill.
    pub lifecycle: Lifecycle,
    /// The CLI.
    pub cli: Cli,
    /// The executable that answers to `__launch`.
    pub launcher: PathBuf,
    /// How processes of this server are recognised.
    pub marker: MarkerPrefix,
    /// What the CLI uses upstream.
    pub credentials: CredentialSource,
    /// Other values that must not reach a client: askd's own key, secrets among the variables that are passed on.
    pub secrets: Vec<SecretString>,
    /// How askd's own short programs are run.
    pub programs: Programs,
    /// The operator's configuration of the CLI.
    pub config: ConfigDir,
    /// Transcripts.
    pub sessions: Sessions,
    /// Private homes.
    pub homes: Homes,
    /// The folder of process records.
    pub records: PathBuf,
    /// The workspace root.
    pub workspaces: Workspaces,
    /// When a folder's own configuration is loaded.
    pub project_policy: ProjectConfigPolicy,
    /// Folders that no run may read: the server's data (but the homes), its configuration, `/proc`.
    pub private_folders: Vec<PathBuf>,
    /// Files that no run may read.
    pub private_files: Vec<PathBuf>,
}

/// Takes runs in.
#[derive(Debug, Clone)]
pub struct Runs {
    shared: Arc<Shared>,
    queue: Queue,
}

/// A run in the hands of its task.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) id: RunId,
    pub(super) spec: RunSpec,
    pub(super) log: Arc<RunLog>,
    pub(super) cancel: Cancel,
}

/// Ends a run. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cancel(CancellationToken);

/// A run that was taken in.
#[derive(Debug)]
pub struct Submitted {
    /// Its id.
    pub id: RunId,
    /// The session that it starts or continues.
    pub session: Uuid,
    /// Follows it from its first event.
    pub events: Follower,
    /// Ends it.
    pub cancel: Cancel,
}

/// A run that was not taken in. The texts are for the caller.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// No room to wait.
    #[error("the server is busy: {0} (ASKD_QUEUE_LENGTH); try again later")]
    QueueFull(#[from] QueueFull),
    /// The server takes no new work.
    #[error("the server is shutting down")]
    ShuttingDown,
}

impl Runs {
    /// A queue in front of what runs need.
    pub fn new(shared: Shared) -> Self {
        let limits = &shared.settings.limits;
        let queue = Queue::new(limits.max_concurrent, limits.queue_length);
        Self { shared: Arc::new(shared), queue }
    }

    /// What every run needs.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// How full the queue is.
    pub fn occupancy(&self) -> Occupancy {
        self.queue.occupancy()
    }

    /// Whether a session can be continued: it has a transcript, or a run is about to make one.
    pub fn knows_session(&self, session: Uuid) -> bool {
        self.has_session_in_use(session) || self.shared.sessions.exists(session)
    }

    /// Whether a run of the session works or waits.
    pub fn has_session_in_use(&self, session: Uuid) -> bool {
        self.queue.knows(session)
    }

    /// Takes a run in and starts its task. The run goes on when the handle is dropped.
    pub fn submit(&self, spec: RunSpec) -> Result<Submitted, SubmitError> {
        let lifecycle = &self.shared.lifecycle;
        if lifecycle.draining().is_cancelled() {
            return Err(SubmitError::ShuttingDown);
        }
        let session = spec.session.id();
        let ticket = self.queue.enter(session)?;
        let id = RunId(self.shared.ambient.ordered_uuid());
        let log = RunLog::new(self.shared.settings.output.ring_bytes);
        let events = log.follow_from_start();
        log.append_now(self.shared.ambient.now(), EventBody::Queued);
        // A child of the server's token: stopping the server cancels every run.
        let cancel = Cancel(lifecycle.stopping().child_token());
        let run = Arc::new(Run { id, spec, log, cancel: cancel.clone() });
        let worker = Worker { shared: Arc::clone(&self.shared), run };
        lifecycle.spawn(worker.drive(ticket));
        Ok(Submitted { id, session, events, cancel })
    }
}

impl Cancel {
    /// Asks for the end of the run.
    pub fn cancel(&self) {
        self.0.cancel();
    }

    pub(super) fn token(&self) -> &CancellationToken {
        &self.0
    }

    pub(super) async fn cancelled(&self) {
        self.0.cancelled().await;
    }
}
