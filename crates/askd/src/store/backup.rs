//! A consistent copy of the embedded store while a server writes to it, and a look at such a copy.
//!
//! `VACUUM INTO` reads one state of the database, whatever is committed meanwhile. No writer waits for it; only the log
//! beside the file cannot be begun anew as long as it reads, so that is watched.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::Duration;

use sea_orm::sqlx::ConnectOptions as _;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, DbErr};

use super::error::{Failure, OpenError};
use super::migrations::known;
use super::sql::{get, statement};
use super::sqlite::{FILE, cannot_open, size_of};

/// The name of the store's file, in the data folder and in an archive.
pub const STORE_FILE: &str = FILE;

/// The version of the tables that this binary brings a store to.
pub fn known_schema() -> i64 {
    known()
}

/// How long somebody else's lock is waited for.
const BUSY: Duration = Duration::from_secs(10);

/// How large the log may become while a copy is made, in bytes: four times what a server bounds it to otherwise.
const MAX_WAL: u64 = 1 << 30;

/// How often the log is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Why there is no copy. The texts are for the operator.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// Nothing to copy.
    #[error("there is no askd.db in `{0}`; hint: ASKD_DATA_DIR names the folder of the server")]
    Absent(String),
    /// It cannot be read, or a later askd has made it: this one does not know what belongs to what in it.
    #[error(transparent)]
    Unfit(#[from] OpenError),
    /// The database says no.
    #[error("askd.db cannot be copied: {0}")]
    Database(String),
    /// The server writes faster than the copy is made.
    #[error(
        "the copy was given up: the log of askd.db has grown to more than 1 GiB while it was made; hint: try again when the \
         server has less to do, or on a faster disk"
    )]
    TooSlow,
    /// It is no store, or a damaged one.
    #[error("it is no store of askd, or a damaged one: {0}")]
    Damaged(String),
}

/// Copies the store of a data folder into a file that is empty or not there; the version of its tables.
pub async fn copy(data_dir: &Path, to: &Path) -> Result<i64, CopyError> {
    let file = data_dir.join(FILE);
    match file.metadata() {
        Ok(there) if there.is_file() => {}
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(cannot_open(&file, &error).into()),
        _ => return Err(CopyError::Absent(data_dir.display().to_string())),
    }
    version_in(data_dir).await?;
    let connection = open(&file, true);
    let wal = data_dir.join(format!("{FILE}-wal"));
    let copied = tokio::select! {
        copied = vacuum(&connection, to) => copied.map_err(|error| CopyError::Database(Failure::of(&error).message)),
        () = grows_too_much(&wal) => Err(CopyError::TooSlow),
    };
    // Not waited for where it has been given up: it goes with the process.
    if copied.is_ok() {
        let _ = connection.close().await;
    }
    copied
}

/// The version of the tables of a data folder's store, which may be in use; `None`: there is none.
pub(super) async fn version_in(data_dir: &Path) -> Result<Option<i64>, OpenError> {
    let file = data_dir.join(FILE);
    let size = |file: &Path| size_of(file).map_err(|error| cannot_open(file, &error));
    if size(&file)? == 0 {
        return Ok(None);
    }
    // What a server that was cut off has written last is read, and not taken in: that is the next start's business.
    // Without a log it is opened for writing, and written by nobody: a read-only opening would leave an empty log behind.
    let has_log = size(&data_dir.join(format!("{FILE}-wal")))? > 0;
    let connection = connect(options(&file).read_only(has_log));
    let version = super::migrations::version(&connection).await;
    let _ = connection.close().await;
    version
}

async fn vacuum(connection: &DatabaseConnection, to: &Path) -> Result<i64, DbErr> {
    let path = to.to_string_lossy().into_owned();
    connection.execute_raw(statement(DbBackend::Sqlite, "VACUUM INTO $1", [path.into()])).await?;
    // Of the copy: the store itself may have been brought to another version meanwhile.
    let copy = open(to, false);
    let version = version(&copy).await;
    let _ = copy.close().await;
    version
}

async fn grows_too_much(wal: &Path) {
    while size_of(wal).is_ok_and(|size| size <= MAX_WAL) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Looks through a whole copy; the version of its tables.
pub async fn check(file: &Path) -> Result<i64, CopyError> {
    let connection = open(file, false);
    let checked = async {
        let rows = connection.query_all_raw(statement(DbBackend::Sqlite, "PRAGMA quick_check(1)", [])).await?;
        let words = read_all_words(&rows)?;
        Ok::<_, DbErr>((words, version(&connection).await?))
    }
    .await;
    let _ = connection.close().await;
    match checked {
        Ok((words, version)) if words == ["ok"] => Ok(version),
        Ok((words, _)) => Err(CopyError::Damaged(words.join("; "))),
        Err(error) => Err(CopyError::Damaged(Failure::of(&error).message)),
    }
}

/// The sessions of a copy that a run worked with when it was made.
pub async fn sessions_at_work(file: &Path) -> Result<BTreeSet<String>, CopyError> {
    let connection = open(file, false);
    let sql = "SELECT DISTINCT session_id FROM runs WHERE finished_at IS NULL AND state <> 'queued'";
    let rows = connection.query_all_raw(statement(DbBackend::Sqlite, sql, [])).await;
    let _ = connection.close().await;
    let rows = rows.map_err(|error| CopyError::Damaged(Failure::of(&error).message))?;
    let sessions = rows.iter().map(|row| get::<String>(row, "session_id")).collect::<Result<_, _>>();
    sessions.map_err(|error| CopyError::Damaged(error.to_string()))
}

fn read_all_words(rows: &[sea_orm::QueryResult]) -> Result<Vec<String>, DbErr> {
    rows.iter().map(|row| row.try_get_by_index::<String>(0)).collect()
}

async fn version(connection: &DatabaseConnection) -> Result<i64, DbErr> {
    let row = connection.query_one_raw(statement(DbBackend::Sqlite, "SELECT version FROM store", [])).await?;
    row.map_or(Ok(0), |row| get(&row, "version"))
}

/// `shared`: a server may be at work with it. A copy has nobody else, and nothing is written beside it.
fn open(file: &Path, shared: bool) -> DatabaseConnection {
    let options = options(file);
    connect(if shared { options } else { options.immutable(true).read_only(true) })
}

fn options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(file).create_if_missing(false).busy_timeout(BUSY)
}

fn connect(options: SqliteConnectOptions) -> DatabaseConnection {
    SqlitePoolOptions::new().max_connections(1).connect_lazy_with(options.disable_statement_logging()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_copy_beside_a_log_that_grows_too_large_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new().filename(folder.path().join(FILE)).create_if_missing(true);
        let store: DatabaseConnection = SqlitePoolOptions::new().connect_lazy_with(options).into();
        store.execute_unprepared("CREATE TABLE store (version INTEGER)").await.unwrap();
        store.close().await.unwrap();
        // Nothing but holes.
        let wal = std::fs::File::create(folder.path().join(format!("{FILE}-wal"))).unwrap();
        wal.set_len(MAX_WAL + 1).unwrap();
        let copied = copy(folder.path(), &folder.path().join("copy")).await;
        assert!(matches!(copied, Err(CopyError::TooSlow)), "{copied:?}");
        wal.set_len(0).unwrap();
        assert_eq!(copy(folder.path(), &folder.path().join("again")).await.unwrap(), 0);
    }
}
