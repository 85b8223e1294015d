//! A look at the store from outside, beside a server that works with it or without one: it takes no lock of the database,
//! makes no file, and changes nothing.

use std::path::Path;
use std::time::{Duration, Instant};

use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, DbErr};
use tokio::time::timeout;

use super::error::{Failure, OpenError};
use super::migrations::known;
use super::sql::{get, statement};
use super::{postgres, sqlite};
use crate::settings::groups;

/// How long the whole look may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A larger file is not read through, in bytes: that would take longer than anybody waits for a look.
const MAX_CHECKED: u64 = 512 << 20;

/// What was seen.
#[derive(Debug)]
pub struct Examined {
    /// The engine, with its version if it has one of its own.
    pub engine: String,
    /// The version of the tables; `None`: there are none yet.
    pub version: Option<i64>,
    /// The last version that this binary knows.
    pub known: i64,
    /// What is to be said of whether the content is whole.
    pub content: Content,
    /// How long one question took.
    pub latency: Duration,
    /// The time by the database's clock, in milliseconds since 1970, when it is another machine's.
    pub time_ms: Option<i64>,
}

/// Whether it is whole.
#[derive(Debug, PartialEq, Eq)]
pub enum Content {
    /// It is.
    Whole,
    /// It is not: the database's words.
    Damaged(String),
    /// It was not looked at, for this reason.
    Unread(String),
}

/// Looks at the store of these settings; `None`: there is none yet. `is_at_work`: a server has it open.
pub async fn examine(
    settings: &groups::Store,
    data_dir: &Path,
    is_at_work: bool,
) -> Result<Option<Examined>, OpenError> {
    match &settings.database_url {
        Some(url) => {
            let database = postgres::Database::new(url, settings.timeout.min(PATIENCE))?;
            database.check().await?;
            let connection = database.writer();
            let looked = timeout(PATIENCE, of_postgres(&connection)).await;
            let _ = connection.close().await;
            let wrong = |why: String| OpenError::Database(why);
            let looked = looked.map_err(|_| wrong("it does not answer".to_owned()))?;
            looked.map(Some).map_err(|error| wrong(Failure::at_open(&error)))
        }
        None => of_file(&data_dir.join(sqlite::FILE), is_at_work).await,
    }
}

async fn of_postgres(connection: &DatabaseConnection) -> Result<Examined, DbErr> {
    let engine = DbBackend::Postgres;
    // The first question waits for the connection.
    connection.execute_unprepared("SELECT 1").await?;
    let begun = Instant::now();
    let sql = "SELECT current_setting('server_version') AS version, \
               CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) AS now, \
               to_regclass('store') IS NOT NULL AS has_tables";
    let row = connection.query_one_raw(statement(engine, sql, [])).await?;
    let latency = begun.elapsed();
    let row = row.ok_or_else(|| DbErr::Custom("it gives no answer".to_owned()))?;
    let version = if get(&row, "has_tables")? { version(connection).await? } else { None };
    Ok(Examined {
        engine: format!("PostgreSQL {}", get::<String>(&row, "version")?),
        version,
        known: known(),
        content: Content::Whole,
        latency,
        time_ms: Some(get(&row, "now")?),
    })
}

async fn of_file(path: &Path, is_at_work: bool) -> Result<Option<Examined>, OpenError> {
    let wrong = |why: String| OpenError::File { path: path.display().to_string(), why };
    let size = sqlite::size_of(path).map_err(|error| wrong(error.to_string()))?;
    if size == 0 {
        return Ok(None);
    }
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let log = sqlite::size_of(Path::new(&log)).map_err(|error| wrong(error.to_string()))?;
    // Without a server nobody changes it, and the files that SQLite would make beside it are not wanted. With one, those are
    // there, and what it has committed last stands in them.
    let options = SqliteConnectOptions::new().filename(path).read_only(true).immutable(!is_at_work);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_lazy_with(options);
    let connection: DatabaseConnection = pool.into();
    let begun = Instant::now();
    let looked = timeout(PATIENCE, async {
        let version = version(&connection).await?;
        let latency = begun.elapsed();
        let content = if log > 0 && !is_at_work {
            let what = "the last server was cut off: the next start takes in what it had written last";
            Content::Unread(what.to_owned())
        } else if size > MAX_CHECKED {
            Content::Unread("it is too large to be read through".to_owned())
        } else {
            content(&connection).await?
        };
        Ok::<_, DbErr>((version, latency, content))
    });
    let looked = looked.await;
    let closing = connection.close();
    // A look that is not over is left behind.
    drop(timeout(Duration::from_secs(1), closing).await);
    let Ok(looked) = looked else { return Err(wrong(format!("it could not be read within {PATIENCE:?}"))) };
    let (version, latency, content) = looked.map_err(|error| wrong(Failure::at_open(&error)))?;
    let engine = "SQLite".to_owned();
    Ok(Some(Examined { engine, version, known: known(), content, latency, time_ms: None }))
}

async fn version(connection: &DatabaseConnection) -> Result<Option<i64>, DbErr> {
    let engine = connection.get_database_backend();
    if engine == DbBackend::Sqlite {
        let sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'store'";
        if connection.query_one_raw(statement(engine, sql, [])).await?.is_none() {
            return Ok(None);
        }
    }
    let row = connection.query_one_raw(statement(engine, "SELECT version FROM store", [])).await?;
    row.map(|row| get(&row, "version")).transpose()
}

async fn content(connection: &DatabaseConnection) -> Result<Content, DbErr> {
    let check = statement(connection.get_database_backend(), "PRAGMA quick_check(1)", []);
    let row = connection.query_one_raw(check).await?;
    let words: String = row.map_or_else(|| Ok(String::new()), |row| row.try_get_by_index(0))?;
    Ok(if words == "ok" { Content::Whole } else { Content::Damaged(words) })
}
