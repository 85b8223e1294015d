//! Where runs, events and sessions are kept: SQLite in the data folder, or PostgreSQL.
//!
//! ```text
//! callers --operations--> writer (one connection, one commit for all that waits) --> database
//! callers --reads-------> pool of readers ----------------------------------------> database
//! ```
//!
//! Every change is an [`Operation`]: a struct with what is to be done, handed to [`Store::write`]. Its
//! caller hears of it only after the commit. Events lie in chunks ([`chunk`]), which their run compresses before it hands
//! them over. What belongs to one holder of a run is guarded by the run's epoch, in the statement itself.
//!
//! The store knows nothing of what a run is: ids and states are texts to it. No other module knows the database.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, QueryResult, Statement};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub mod acting;
pub mod append;
pub mod audit;
pub mod backup;
pub mod budget;
pub mod chunk;
pub mod command;
pub mod config;
pub mod error;
pub mod events;
pub mod examine;
pub mod health;
pub mod keys;
pub mod lease;
pub mod prune;
pub mod recovery;
pub mod runs;
pub mod secrets;
pub mod sessions;
pub mod submit;
pub mod tokens;
pub mod uploads;
pub mod usage;
pub mod writer;

mod checkpoint;
mod engine;
mod migrations;
mod postgres;
mod sql;
mod sqlite;

pub use error::{OpenError, StoreError};
pub use health::{Health, Problem};

use crate::metrics::Metrics;
use crate::settings::groups;
use engine::{Connection, Engine};
use error::{Failure, FailureKind};
use health::Monitor;
use writer::{Answer, AnyJob, Operation, Waiting};

/// The first pause of a patient caller, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// How often a read is tried whose connection turns out to be dead: after a restart of PostgreSQL all of them are.
const READ_ATTEMPTS: usize = 8;

/// An open store. Clones are the same store.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    backend: DbBackend,
    readers: DatabaseConnection,
    /// `None` when the store has been closed.
    operations: std::sync::Mutex<Option<mpsc::Sender<AnyJob>>>,
    monitor: Arc<Monitor>,
    timeout: Duration,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("engine", &self.inner.backend).finish_non_exhaustive()
    }
}

impl Store {
    /// The version of the tables of the store that the settings name, which is not changed; `None`: there is none yet.
    pub async fn version(settings: &groups::Store, data_dir: &Path) -> Result<Option<i64>, OpenError> {
        let Some(url) = &settings.database_url else {
            return backup::version_in(data_dir).await;
        };
        let database = postgres::Database::new(url, settings.timeout)?;
        database.check().await?;
        let readers = database.readers();
        let version = migrations::version(&readers).await;
        let _ = readers.close().await;
        version
    }

    /// Refuses an embedded store that a later askd has brought to its version, and leaves it as it is, to the byte. Whether
    /// it can be used otherwise is for [`Self::open`] to say, and so is everything about PostgreSQL.
    ///
    /// # Errors
    /// [`OpenError::Newer`].
    pub async fn refuse_newer_file(settings: &groups::Store, data_dir: &Path) -> Result<(), OpenError> {
        if settings.database_url.is_none()
            && let Err(newer @ OpenError::Newer { .. }) = backup::version_in(data_dir).await
        {
            return Err(newer);
        }
        Ok(())
    }

    /// Opens the database that the settings name and brings its tables up to date. Its tasks run until
    /// [`Store::close`], or until the last clone is gone.
    ///
    /// The caller holds the lock of `data_dir`: a file has one server.
    pub async fn open(settings: &groups::Store, data_dir: &Path) -> Result<Self, OpenError> {
        Self::open_measured(settings, data_dir, Metrics::default()).await
    }

    /// [`Self::open`], with what counts its commits.
    pub async fn open_measured(settings: &groups::Store, data_dir: &Path, metrics: Metrics) -> Result<Self, OpenError> {
        let tasks = TaskTracker::new();
        let stop = CancellationToken::new();
        let (engine, wal) = if let Some(url) = &settings.database_url {
            (Engine::Postgres(Arc::new(postgres::Database::new(url, settings.timeout)?)), None)
        } else {
            Self::refuse_newer_file(settings, data_dir).await?;
            let database = sqlite::Database::new(data_dir, settings.sqlite_synchronous)?;
            let signals = Arc::new(checkpoint::Signals::default());
            let wal = checkpoint::Wal::new(&database, Arc::clone(&signals));
            (Engine::Sqlite(database), Some((wal, signals)))
        };
        let backend = engine.backend();
        let (wal, signals) = wal.unzip();
        // Longer than any statement may take: what passes it has no answer coming.
        let connection = Connection::new(engine.clone(), settings.timeout * 2, wal);
        connection.prepare().await?;
        if let (Engine::Sqlite(database), Some(signals)) = (&engine, signals) {
            let size = metrics.store_wal.clone();
            tasks.spawn(checkpoint::keep_short(database.checkpointer(), signals, size, stop.clone()));
        }
        let monitor = Arc::new(Monitor::new(metrics));
        let (operations, waiting) = mpsc::channel(writer::WAITING);
        tasks.spawn(writer::write(waiting, connection, Arc::clone(&monitor)));
        let readers = engine.readers();
        let operations = std::sync::Mutex::new(Some(operations));
        let inner = Inner { backend, readers, operations, monitor, timeout: settings.timeout, tasks, stop };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Takes no operation any more, does those that wait, and closes the database.
    pub async fn close(&self) {
        let operations = self.inner.operations.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        drop(operations);
        self.inner.stop.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
        let _ = self.inner.readers.close_by_ref().await;
    }

    /// Does something and waits for its commit, at most `ASKD_STORE_TIMEOUT`. A failure of the store is the caller's
    /// failure. After [`StoreError::Late`] it may still happen.
    pub async fn write<O: Operation>(&self, operation: O) -> Result<O::Output, StoreError> {
        let attempt = async {
            let mut operation = operation;
            let mut pauses = Pauses::new();
            loop {
                match self.ask(operation).await? {
                    Ok(output) => return Ok(output),
                    // Somebody else's lock may be gone in a moment; the caller's patience is the limit.
                    Err((failure, again)) if failure.kind == FailureKind::Busy => {
                        operation = again;
                        pauses.next().await;
                    }
                    Err((failure, _)) => return Err(heard(&failure)),
                }
            }
        };
        tokio::time::timeout(self.inner.timeout, attempt).await.unwrap_or(Err(StoreError::Late))
    }

    /// Does something, however long the store takes to work again. Only [`StoreError::Mistake`] and
    /// [`StoreError::Closed`] come back. Whoever awaits each operation keeps their order.
    pub async fn write_patiently<O: Operation>(&self, mut operation: O) -> Result<O::Output, StoreError> {
        let mut pauses = Pauses::new();
        loop {
            match self.ask(operation).await? {
                Ok(output) => return Ok(output),
                Err((failure, again)) if failure.is_of_the_whole_store() => {
                    operation = again;
                    pauses.next().await;
                }
                Err((failure, _)) => return Err(heard(&failure)),
            }
        }
    }

    /// Waits until the writer has taken something and answered, whatever the answer: that it turns, not that the database works.
    pub async fn turns(&self) {
        drop(self.ask(writer::Nothing).await);
    }

    /// How the store is. Cheap.
    pub fn health(&self) -> Health {
        self.inner.monitor.health()
    }

    /// What counts its commits.
    pub fn metrics(&self) -> &Metrics {
        self.inner.monitor.metrics()
    }

    /// Operations that wait for the writer. Cheap.
    pub fn waiting(&self) -> usize {
        let operations = self.inner.operations.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        operations.as_ref().map_or(0, |operations| operations.max_capacity() - operations.capacity())
    }

    /// Whether runs of other servers may be in it.
    pub fn is_shared(&self) -> bool {
        self.inner.backend == DbBackend::Postgres
    }

    /// Commits since it was opened.
    pub fn commits(&self) -> u64 {
        self.inner.monitor.commits()
    }

    /// One attempt: the output, or the operation back.
    async fn ask<O: Operation>(&self, operation: O) -> Result<Answer<O>, StoreError> {
        let operations = self.inner.operations.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let (job, answer): (_, oneshot::Receiver<Answer<O>>) = Waiting::job(operation);
        operations.ok_or(StoreError::Closed)?.send(job).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)
    }

    /// The rows of one statement, within `ASKD_STORE_TIMEOUT`.
    async fn rows(&self, statement: Statement) -> Result<Vec<QueryResult>, StoreError> {
        let attempts = async {
            let mut attempts = 1;
            loop {
                match self.inner.readers.query_all_raw(statement.clone()).await {
                    Ok(rows) => return Ok(rows),
                    Err(error) => {
                        let failure = Failure::of(&error);
                        if failure.kind != FailureKind::Unavailable || attempts == READ_ATTEMPTS {
                            return Err(heard(&failure));
                        }
                        attempts += 1;
                    }
                }
            }
        };
        let started = Instant::now();
        tokio::time::timeout(self.inner.timeout, attempts).await.unwrap_or_else(|_| {
            tracing::warn!(after = ?started.elapsed(), "a read took too long");
            Err(StoreError::Late)
        })
    }

    fn backend(&self) -> DbBackend {
        self.inner.backend
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The writer ends with its last sender, the checkpoints with this.
        self.stop.cancel();
    }
}

/// What the caller hears; the log hears why.
fn heard(failure: &Failure) -> StoreError {
    if failure.kind == FailureKind::Mistake {
        tracing::error!(error = failure.message, "the store refused a statement");
    }
    failure.for_caller()
}

/// The pauses of somebody who comes again, each twice as long as the one before.
struct Pauses(Duration);

impl Pauses {
    fn new() -> Self {
        Self(PAUSES.0)
    }

    async fn next(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(PAUSES.1);
    }
}
