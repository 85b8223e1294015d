//! The schema and its history: each version is one file, applied once, in order, in one transaction.
//!
//! A version that has been released is never edited. `tests/store/schemas` keeps a database of each, with rows in it.

use std::time::Instant;

use sea_orm::{
    ConnectionTrait as _, DatabaseConnection, DbBackend, DbErr, SqliteTransactionMode, TransactionOptions,
    TransactionTrait as _,
};

use super::error::{Failure, OpenError};
use super::sql::{get, statement};

mod v0001_runs;
mod v0002_isolation;
mod v0003_config;
mod v0004_keys;
mod v0005_options;
mod v0006_trace_context;

/// The statements of a version, for one of the engines.
type Migration = fn(DbBackend) -> Vec<String>;

/// Every version, the first one first.
const VERSIONS: &[Migration] = &[
    v0001_runs::statements,
    v0002_isolation::statements,
    v0003_config::statements,
    v0004_keys::statements,
    v0005_options::statements,
    v0006_trace_context::statements,
];

/// The last version that this binary knows.
pub(super) fn known() -> i64 {
    i64::try_from(VERSIONS.len()).unwrap_or(i64::MAX)
}

/// Several servers may start at the same moment; the number is any that nobody else takes.
const LOCK: &str = "SELECT pg_advisory_xact_lock(7161516941)";

/// Holds the schema's version, in its one row.
const STORE: &str = "CREATE TABLE IF NOT EXISTS store \
    (id BIGINT PRIMARY KEY CHECK (id = 1), version BIGINT NOT NULL, probes BIGINT NOT NULL DEFAULT 0)";

/// Brings the database to the last version.
pub(super) async fn migrate(connection: &DatabaseConnection) -> Result<(), OpenError> {
    let begun = Instant::now();
    let found = apply(connection).await.map_err(|error| {
        let why = format!("its tables cannot be brought up to date: {}", Failure::at_open(&error));
        unusable(connection.get_database_backend(), why)
    })?;
    match found {
        0 => tracing::info!(version = known(), "made the store's tables"),
        found if found < known() => tracing::info!(
            from = found,
            to = known(),
            ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            "brought the store's tables from version {found} to {}: an earlier askd refuses them from now on, and the way \
             back is the backup made before this update",
            known()
        ),
        found => refuse_newer(connection, found).await?,
    }
    Ok(())
}

/// The version that a database has, which is not changed; `None`: it is no store yet. One of a later askd is refused.
pub(super) async fn version(connection: &DatabaseConnection) -> Result<Option<i64>, OpenError> {
    let engine = connection.get_database_backend();
    let exists = match engine {
        DbBackend::Postgres => {
            "SELECT COUNT(*) AS tables FROM pg_tables WHERE tablename = 'store' AND schemaname = current_schema()"
        }
        _ => "SELECT COUNT(*) AS tables FROM sqlite_master WHERE name = 'store'",
    };
    let read = async {
        let row = connection.query_one_raw(statement(engine, exists, [])).await?;
        if row.map_or(Ok(0), |row| get::<i64>(&row, "tables"))? == 0 {
            return Ok(None);
        }
        let row = connection.query_one_raw(statement(engine, "SELECT version FROM store", [])).await?;
        row.map(|row| get::<i64>(&row, "version")).transpose()
    };
    let found: Option<i64> = read.await.map_err(|error: DbErr| unusable(engine, Failure::at_open(&error)))?;
    if let Some(found) = found {
        refuse_newer(connection, found).await?;
    }
    Ok(found)
}

async fn refuse_newer(connection: &DatabaseConnection, found: i64) -> Result<(), OpenError> {
    if found <= known() {
        return Ok(());
    }
    let engine = connection.get_database_backend();
    // Whatever else may have become of that table.
    let row = connection.query_one_raw(statement(engine, "SELECT brought_by FROM store", [])).await.ok().flatten();
    let by = row.and_then(|row| get::<Option<String>>(&row, "brought_by").ok().flatten());
    let by = by.map_or_else(|| "a later askd".to_owned(), |version| format!("askd {version}"));
    let place = match engine {
        DbBackend::Postgres => "database of ASKD_DATABASE_URL",
        _ => "file askd.db in ASKD_DATA_DIR",
    };
    Err(OpenError::Newer { place, found, by, known: known() })
}

fn unusable(engine: DbBackend, why: String) -> OpenError {
    match engine {
        DbBackend::Postgres => OpenError::Database(why),
        _ => OpenError::File { path: super::sqlite::FILE.to_owned(), why },
    }
}

/// Returns the version that was found.
async fn apply(connection: &DatabaseConnection) -> Result<i64, DbErr> {
    let engine = connection.get_database_backend();
    let mode = SqliteTransactionMode::Immediate;
    let options = TransactionOptions { sqlite_transaction_mode: Some(mode), ..TransactionOptions::default() };
    let tx = connection.begin_with_options(options).await?;
    if engine == DbBackend::Postgres {
        // Rewriting a large table may take longer than a statement usually may.
        tx.execute_unprepared("SET LOCAL statement_timeout = 0").await?;
        tx.execute_unprepared(LOCK).await?;
    }
    tx.execute_unprepared(STORE).await?;
    let row = tx.query_one_raw(statement(engine, "SELECT version FROM store", [])).await?;
    let found: i64 = row.map_or(Ok(0), |row| get(&row, "version"))?;
    let done = usize::try_from(found).unwrap_or(0);
    if done < VERSIONS.len() {
        for migration in &VERSIONS[done..] {
            for sql in migration(engine) {
                tx.execute_unprepared(&sql).await?;
            }
        }
        let sql = "INSERT INTO store (id, version, brought_by) VALUES (1, $1, $2) \
                   ON CONFLICT (id) DO UPDATE SET version = $1, brought_by = $2";
        let own = env!("CARGO_PKG_VERSION");
        tx.execute_raw(statement(engine, sql, [known().into(), own.into()])).await?;
    }
    tx.commit().await?;
    Ok(found)
}
