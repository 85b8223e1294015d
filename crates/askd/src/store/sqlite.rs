//! The embedded store: one SQLite file in the data folder.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sea_orm::sqlx::ConnectOptions as _;
use sea_orm::sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous as Synchronous,
};
use sea_orm::{ConnectionTrait as _, DatabaseConnection};

use super::error::{Failure, FailureKind, OpenError};
use crate::settings::choices::SqliteSynchronous;

/// The name of the database file in the data folder.
pub(super) const FILE: &str = "askd.db";

/// Connections for readers. They never wait for the writer.
const READERS: u32 = 4;

/// How long another process's lock is waited for before the writer looks up and says so.
pub(super) const BUSY: Duration = Duration::from_secs(1);

/// Two servers that make a new file at once can meet where SQLite does not wait ([the change to WAL][wal]).
///
/// [wal]: https://www.sqlite.org/wal.html#sometimes_queries_return_sqlite_busy_in_wal_mode
const OPEN_TRIES: u32 = 50;
const OPEN_PAUSE: Duration = Duration::from_millis(100);

/// A connection that nobody needs is closed: each has a thread and a cache.
const IDLE: Duration = Duration::from_mins(1);

/// Larger than the usual page, since most of what is stored are chunks of some ten kilobytes.
pub(super) const PAGE: u32 = 8192;

/// The file is cut to this when SQLite begins to write it anew, in bytes.
const WAL_KEPT: u32 = 64 << 20;

/// Where the file is, and how it is written.
#[derive(Clone, Debug)]
pub(super) struct Database {
    path: PathBuf,
    synchronous: SqliteSynchronous,
}

impl Database {
    /// Makes the file if it is not there, readable by its owner only.
    pub(super) fn new(data_dir: &Path, synchronous: SqliteSynchronous) -> Result<Self, OpenError> {
        let path = data_dir.join(FILE);
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        match file {
            Ok(_) => Ok(Self { path, synchronous }),
            Err(error) => Err(cannot_open(&path, &error)),
        }
    }

    /// SQLite's log beside it.
    pub(super) fn wal_path(&self) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push("-wal");
        path.into()
    }

    fn options(&self) -> SqliteConnectOptions {
        let synchronous = match self.synchronous {
            SqliteSynchronous::Full => Synchronous::Full,
            SqliteSynchronous::Normal => Synchronous::Normal,
        };
        SqliteConnectOptions::new()
            .filename(&self.path)
            .busy_timeout(BUSY)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(synchronous)
            .pragma("temp_store", "MEMORY")
            // Checkpoints are `checkpoint`'s business: in the middle of a commit somebody would wait for one.
            .pragma("wal_autocheckpoint", "0")
            .pragma("journal_size_limit", WAL_KEPT.to_string())
            .disable_statement_logging()
    }

    /// One connection, opened when it is needed.
    pub(super) fn writer(&self) -> DatabaseConnection {
        pool(1).idle_timeout(None).connect_lazy_with(self.options().pragma("cache_size", "-2048")).into()
    }

    pub(super) fn readers(&self) -> DatabaseConnection {
        let options = self.options().pragma("cache_size", "-512").pragma("query_only", "1");
        pool(READERS).idle_timeout(IDLE).connect_lazy_with(options).into()
    }

    /// For the first look. What is fixed by the first table is said here only: later it would ask for the write lock.
    fn creator(&self) -> DatabaseConnection {
        let options = self.options().page_size(PAGE).auto_vacuum(SqliteAutoVacuum::Incremental);
        pool(1).connect_lazy_with(options).into()
    }

    /// For checkpoints.
    pub(super) fn checkpointer(&self) -> DatabaseConnection {
        // It must not wait for anybody, and needs no cache.
        let options = self.options().pragma("cache_size", "-64").busy_timeout(Duration::ZERO);
        pool(1).idle_timeout(None).connect_lazy_with(options).into()
    }

    /// Tries the file, and says what is wrong with it. A new one becomes a database.
    pub(super) async fn check(&self) -> Result<(), OpenError> {
        let mut tries = 1;
        loop {
            let Err(failure) = self.attempt().await? else { return Ok(()) };
            if failure.kind != FailureKind::Busy || tries == OPEN_TRIES {
                return Err(cannot_open(&self.path, &failure.message));
            }
            tries += 1;
            tokio::time::sleep(OPEN_PAUSE).await;
        }
    }

    async fn attempt(&self) -> Result<Result<(), Failure>, OpenError> {
        let is_new = size_of(&self.path).map_err(|error| cannot_open(&self.path, &error))? == 0;
        let connection = if is_new { self.creator() } else { self.writer() };
        let read = connection.execute_unprepared("SELECT COUNT(*) FROM sqlite_master").await;
        let _ = connection.close().await;
        Ok(read.map(|_| ()).map_err(|error| Failure::of(&error)))
    }
}

fn pool(size: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new().max_connections(size).min_connections(0).max_lifetime(None).test_before_acquire(false)
}

pub(super) fn cannot_open(path: &Path, why: &impl ToString) -> OpenError {
    OpenError::File { path: path.display().to_string(), why: why.to_string() }
}

/// The size of a file; none is there: 0.
pub(super) fn size_of(path: &Path) -> io::Result<u64> {
    match path.metadata() {
        Ok(meta) => Ok(meta.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
