//! What the two engines have in common: a connection for the writer, a pool for readers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sea_orm::{
    DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, SqliteTransactionMode, TransactionOptions,
    TransactionTrait as _,
};

use super::checkpoint::Wal;
use super::error::{Failure, FailureKind, OpenError};
use super::migrations::migrate;
use super::writer::AnyJob;
use super::{postgres, sqlite};

/// What fails later than this has been tried in earnest.
const AT_ONCE: Duration = Duration::from_millis(500);

/// How to reach the database.
#[derive(Clone, Debug)]
pub(super) enum Engine {
    Sqlite(sqlite::Database),
    Postgres(Arc<postgres::Database>),
}

impl Engine {
    pub(super) fn backend(&self) -> DbBackend {
        match self {
            Self::Sqlite(_) => DbBackend::Sqlite,
            Self::Postgres(_) => DbBackend::Postgres,
        }
    }

    /// A pool of one connection, which is opened when it is needed.
    fn writer(&self) -> DatabaseConnection {
        match self {
            Self::Sqlite(database) => database.writer(),
            Self::Postgres(database) => database.writer(),
        }
    }

    pub(super) fn readers(&self) -> DatabaseConnection {
        match self {
            Self::Sqlite(database) => database.readers(),
            Self::Postgres(database) => database.readers(),
        }
    }
}

/// The writer's connection.
pub(super) struct Connection {
    engine: Engine,
    pool: DatabaseConnection,
    /// A transaction that takes longer has lost its database.
    limit: Duration,
    /// SQLite's log, whose size the writer bounds.
    wal: Option<Wal>,
}

impl Connection {
    pub(super) fn new(engine: Engine, limit: Duration, wal: Option<Wal>) -> Self {
        let pool = engine.writer();
        Self { engine, pool, limit, wal }
    }

    /// Whether other servers write into the same database.
    pub(super) fn is_shared(&self) -> bool {
        self.engine.backend() == DbBackend::Postgres
    }

    /// Tries the database and brings its tables up to date.
    pub(super) async fn prepare(&self) -> Result<(), OpenError> {
        match &self.engine {
            Engine::Sqlite(database) => database.check().await?,
            Engine::Postgres(database) => database.check().await?,
        }
        migrate(&self.pool).await
    }

    /// Applies the jobs in one transaction and commits it. A connection that failed is replaced: after some errors SQLite has
    /// rolled back by itself, and the driver does not know.
    pub(super) async fn transaction(&mut self, jobs: &mut [AnyJob]) -> Result<(), Failure> {
        let started = Instant::now();
        let mut result = self.limited(jobs).await;
        // A connection that an earlier break has left behind shows only when it is used, and then at once.
        let left_behind = matches!(result, Err((_, Stage::Begin))) && started.elapsed() < AT_ONCE;
        if left_behind && self.is_shared() {
            self.replace();
            result = self.limited(jobs).await;
        }
        match result {
            Ok(()) => Ok(()),
            Err((failure, stage)) => {
                if failure.is_of_the_whole_store() && !(failure.kind == FailureKind::Busy && stage == Stage::Begin) {
                    self.replace();
                }
                Err(failure)
            }
        }
    }

    async fn limited(&self, jobs: &mut [AnyJob]) -> Result<(), (Failure, Stage)> {
        match self.engine {
            // Its thread goes on whatever we do, so there is no giving up.
            Engine::Sqlite(_) => self.once(jobs).await,
            Engine::Postgres(_) => match tokio::time::timeout(self.limit, self.once(jobs)).await {
                Ok(result) => result,
                Err(_) => Err((Failure::unavailable("no answer to a transaction"), Stage::Work)),
            },
        }
    }

    async fn once(&self, jobs: &mut [AnyJob]) -> Result<(), (Failure, Stage)> {
        let mode = SqliteTransactionMode::Immediate;
        let options = TransactionOptions { sqlite_transaction_mode: Some(mode), ..TransactionOptions::default() };
        let tx = self.pool.begin_with_options(options).await;
        let tx = tx.map_err(|error| (Failure::of_begin(&error), Stage::Begin))?;
        if let Err(error) = apply(jobs, &tx).await {
            // Waited for, so that no lock is left when the caller hears of it.
            let rolled_back = tx.rollback().await;
            let failure = Failure::of(&error);
            // A connection that cannot roll back is of no use to anybody.
            return Err((rolled_back.err().map_or(failure, |error| Failure::of_begin(&error)), Stage::Work));
        }
        tx.commit().await.map_err(|error| (Failure::of_begin(&error), Stage::Work))
    }

    /// Keeps SQLite's log within its bound.
    pub(super) async fn after_commit(&mut self, bytes: usize) {
        if let Some(wal) = &mut self.wal {
            wal.grown(bytes, &self.pool).await;
        }
    }

    pub(super) async fn close(self) {
        let _ = self.pool.close().await;
    }

    fn replace(&mut self) {
        let old = std::mem::replace(&mut self.pool, self.engine.writer());
        // Closing begins at once; to wait for a connection that does not answer would be no help.
        drop(old);
    }
}

async fn apply(jobs: &mut [AnyJob], tx: &DatabaseTransaction) -> Result<(), DbErr> {
    for job in jobs {
        job.apply(tx).await?;
    }
    Ok(())
}

/// How far a transaction came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It did not begin.
    Begin,
    /// It began; after a lost commit it may have ended well.
    Work,
}
