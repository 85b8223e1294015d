//! Brings SQLite's log into its file, off the writer's path, and bounds the log's size.
//!
//! A commit writes to the log only. A duty copies it into the database file a second later, or when it has grown, without
//! stopping anybody. Under a writer that never pauses this alone would never let the log start anew, for there is always
//! a little more in it. So when the duty has copied a long log, the writer copies that little rest itself, between two
//! commits, and its next commit begins the log anew. Should the log become too large all the same, it is cut.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, DbErr};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::sql::{get, statement};
use super::sqlite::{BUSY, Database, PAGE, size_of};
use crate::metrics::kinds::Gauge;

/// How long the log is left alone after something was written.
const EVERY: Duration = Duration::from_secs(1);

/// Growth that does not wait for the second, in bytes. A commit waits for its turn at the disk behind what is copied at
/// once: with 16 MiB one in a hundred small events came after more than 10 ms, beside a run of 20 MB/s.
const GROWN: usize = 4 << 20;

/// What a commit writes besides its bytes, in bytes: pages of the run's row, of indexes, and partly filled ones.
const BESIDES: usize = 4 * PAGE as usize;

/// A log that is worth beginning anew, in pages.
const LONG: i64 = (16 << 20) / PAGE as i64;

/// Growth after which a cut that was not possible is tried again, in bytes.
const SOON: usize = 1 << 20;

/// What the log may reach, in bytes.
const TOO_LARGE: u64 = 256 << 20;

/// Copies what can be copied without waiting for anybody.
const COPY: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// What writer and duty tell each other.
#[derive(Debug, Default)]
pub(super) struct Signals {
    /// Something was written.
    written: Notify,
    /// Much was written.
    grown: Notify,
    /// A long log has been copied, but for what was written meanwhile.
    rest: AtomicBool,
}

/// The log, as the writer sees it.
pub(super) struct Wal {
    path: PathBuf,
    signals: Arc<Signals>,
    /// Bytes since the duty was called.
    since_call: usize,
}

impl Wal {
    pub(super) fn new(database: &Database, signals: Arc<Signals>) -> Self {
        Self { path: database.wal_path(), signals, since_call: 0 }
    }

    /// To be called after a commit of about so many bytes, between two batches.
    pub(super) async fn grown(&mut self, bytes: usize, writer: &DatabaseConnection) {
        self.signals.written.notify_one();
        if self.signals.rest.swap(false, Ordering::Relaxed)
            && let Err(error) = writer.execute_unprepared(COPY).await
        {
            tracing::warn!(%error, "cannot bring the log of askd.db into its file");
        }
        self.since_call += bytes + BESIDES;
        if self.since_call < GROWN {
            return;
        }
        self.since_call = 0;
        if !size_of(&self.path).is_ok_and(|size| size > TOO_LARGE) {
            self.signals.grown.notify_one();
            return;
        }
        match cut(writer).await {
            Ok(true) => {}
            // The duty is at it, or a reader is in the way.
            Ok(false) => self.since_call = GROWN - SOON,
            Err(error) => tracing::warn!(%error, "cannot cut the log of askd.db"),
        }
    }
}

/// Cuts the log, if nobody is in the way now. A reader may be there for minutes (`askd backup`): to wait for it each time
/// as for a lock would all but stop the writer.
async fn cut(writer: &DatabaseConnection) -> Result<bool, DbErr> {
    writer.execute_unprepared("PRAGMA busy_timeout = 0").await?;
    let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
    let cut = writer.query_one_raw(statement(DbBackend::Sqlite, sql, [])).await;
    writer.execute_unprepared(&format!("PRAGMA busy_timeout = {}", BUSY.as_millis())).await?;
    Ok(cut?.map_or(Ok(0), |row| get::<i64>(&row, "busy"))? == 0)
}

/// Copies the log into the file until it is told to stop. What is left then, the last connection brings in when it is
/// closed.
pub(super) async fn keep_short(
    connection: DatabaseConnection,
    signals: Arc<Signals>,
    size: Gauge,
    stop: CancellationToken,
) {
    let mut failing = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = signals.written.notified() => {}
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = signals.grown.notified() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
        let copied = connection.query_one_raw(statement(DbBackend::Sqlite, COPY, [])).await;
        match copied.and_then(|row| row.map_or(Ok(0), |row| get::<i64>(&row, "log"))) {
            Ok(pages) => {
                failing = false;
                size.set(pages.saturating_mul(i64::from(PAGE)));
                signals.rest.store(pages > LONG, Ordering::Relaxed);
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "cannot bring the log of askd.db into its file");
                }
            }
        }
    }
    let _ = connection.close().await;
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};

    use super::*;

    async fn number(connection: &DatabaseConnection, sql: &str) -> i64 {
        let row = connection.query_one_raw(statement(DbBackend::Sqlite, sql, [])).await.unwrap().unwrap();
        row.try_get_by_index(0).unwrap()
    }

    #[tokio::test]
    async fn a_reader_in_the_way_does_not_hold_up_the_writer() {
        let folder = tempfile::tempdir().unwrap();
        let open = || -> DatabaseConnection {
            let options = SqliteConnectOptions::new().filename(folder.path().join("log.db")).create_if_missing(true);
            let options = options.journal_mode(SqliteJournalMode::Wal).busy_timeout(BUSY);
            SqlitePoolOptions::new().max_connections(1).connect_lazy_with(options).into()
        };
        let (writer, reader) = (open(), open());
        writer.execute_unprepared("CREATE TABLE words (word TEXT); INSERT INTO words VALUES ('a')").await.unwrap();
        reader.execute_unprepared("BEGIN").await.unwrap();
        assert_eq!(number(&reader, "SELECT COUNT(*) FROM words").await, 1);
        writer.execute_unprepared("INSERT INTO words VALUES ('b')").await.unwrap();
        let mut quickest = BUSY;
        for _ in 0..5 {
            let begun = Instant::now();
            assert!(!cut(&writer).await.unwrap());
            quickest = quickest.min(begun.elapsed());
        }
        assert!(quickest < BUSY / 2, "{quickest:?}");
        assert_eq!(number(&writer, "PRAGMA busy_timeout").await, 1000, "other locks are waited for");
        reader.execute_unprepared("COMMIT").await.unwrap();
        assert!(cut(&writer).await.unwrap());
        assert_eq!(size_of(&folder.path().join("log.db-wal")).unwrap(), 0);
    }
}
