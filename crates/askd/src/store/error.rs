//! What can go wrong with the store, and whose failure it is.

use sea_orm::{DbErr, RuntimeErr, SqlxError};

/// Why an operation or a read was not done. Never holds values or the database's address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The disk is full.
    #[error("the store is full")]
    Full,
    /// The database does not answer, or it cannot work: no connection, an I/O error, read-only.
    #[error("the store is unavailable")]
    Unavailable,
    /// The store did not answer in time. What was asked may still happen.
    #[error("the store did not answer in time")]
    Late,
    /// The statement itself is wrong, or what is stored cannot be read. The code is the database's own.
    #[error("the store refused a statement: {0}")]
    Mistake(String),
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
}

/// Why a store cannot be opened. Names settings and files, for the operator; never the database's password.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// `ASKD_DATABASE_URL` names another kind of database, or cannot be read.
    #[error(
        "ASKD_DATABASE_URL {0}; hint: write postgres://USER:PASSWORD@HOST/DATABASE, or leave it unset to keep runs in \
         ASKD_DATA_DIR"
    )]
    Url(&'static str),
    /// A later askd has brought the tables to a version that this one does not know.
    #[error(
        "the {place} was brought to schema version {found} by {by}, and this is askd {own}, which knows versions up to \
         {known}; nothing was changed; hint: install that askd or a later one; the only way back is the backup made before \
         the update", own = env!("CARGO_PKG_VERSION")
    )]
    Newer {
        /// What it is.
        place: &'static str,
        /// Its version.
        found: i64,
        /// Who has brought it there, in words.
        by: String,
        /// The last that this binary knows.
        known: i64,
    },
    /// The database file cannot be made or opened.
    #[error("the database file {path} cannot be opened: {why}")]
    File {
        /// The file.
        path: String,
        /// The system's or the database's word on it.
        why: String,
    },
    /// PostgreSQL does not answer or refuses.
    #[error("the PostgreSQL database of ASKD_DATABASE_URL cannot be used: {0}")]
    Database(String),
}

/// What kind of failure an error of the database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) kind: FailureKind,
    /// For the log: the database's code and, where it holds no values, its message.
    pub(super) message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// The disk is full.
    Full,
    /// Nothing works.
    Unavailable,
    /// Another holds a lock; trying again helps.
    Busy,
    /// This statement is wrong, others are not.
    Mistake,
}

impl FailureKind {
    /// For metrics.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Unavailable => "unavailable",
            Self::Busy => "busy",
            Self::Mistake => "mistake",
        }
    }
}

impl Failure {
    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Unavailable, message: message.into() }
    }

    /// Of an error in the middle of work.
    pub(super) fn of(error: &DbErr) -> Self {
        match sqlx_error(error) {
            Some(SqlxError::Database(database)) => of_database(database.as_ref()),
            Some(SqlxError::Io(error)) if error.kind() == std::io::ErrorKind::StorageFull => {
                Self { kind: FailureKind::Full, message: error.to_string() }
            }
            Some(
                error @ (SqlxError::Io(_)
                | SqlxError::Tls(_)
                | SqlxError::Protocol(_)
                | SqlxError::PoolTimedOut
                | SqlxError::PoolClosed
                | SqlxError::WorkerCrashed
                | SqlxError::BeginFailed),
            ) => Self::unavailable(error.to_string()),
            None if matches!(error, DbErr::Conn(_) | DbErr::ConnectionAcquire(_)) => {
                Self::unavailable(error.to_string())
            }
            _ => Self { kind: FailureKind::Mistake, message: kind_of(error) },
        }
    }

    /// What the operator is told when the store cannot be opened. There are no values yet that PostgreSQL's message could
    /// hold.
    pub(super) fn at_open(error: &DbErr) -> String {
        match sqlx_error(error) {
            Some(SqlxError::Database(database)) => {
                let code = database.code().unwrap_or_default();
                format!("{} (code {code}){}", database.message(), advice(&code))
            }
            _ => Self::of(error).message,
        }
    }

    /// Of an error at the very beginning, where no statement can be at fault.
    pub(super) fn of_begin(error: &DbErr) -> Self {
        let failure = Self::of(error);
        match failure.kind {
            FailureKind::Mistake => Self::unavailable(failure.message),
            _ => failure,
        }
    }

    /// Whether every other operation fails as well.
    pub(super) fn is_of_the_whole_store(&self) -> bool {
        self.kind != FailureKind::Mistake
    }

    /// What a caller hears.
    pub(super) fn for_caller(&self) -> StoreError {
        match self.kind {
            FailureKind::Full => StoreError::Full,
            FailureKind::Unavailable => StoreError::Unavailable,
            FailureKind::Busy => StoreError::Late,
            FailureKind::Mistake => StoreError::Mistake(self.message.clone()),
        }
    }
}

impl StoreError {
    pub(super) fn of(error: &DbErr) -> Self {
        Failure::of(error).for_caller()
    }
}

/// The error of the driver, if it is one.
pub(super) fn sqlx_error(error: &DbErr) -> Option<&SqlxError> {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => Some(error.as_ref()),
        _ => None,
    }
}

fn of_database(error: &(dyn sea_orm::sqlx::error::DatabaseError + 'static)) -> Failure {
    let code = error.code().unwrap_or_default().into_owned();
    if error.try_downcast_ref::<sea_orm::SqlxSqliteError>().is_some() {
        // SQLite names tables and columns, and no values.
        return Failure { kind: of_sqlite(&code), message: format!("{} (code {code})", error.message()) };
    }
    let kind = of_postgres(&code);
    // A mistake's message may hold values. What concerns the whole database holds none, and what is said of rights and
    // names has the names of tables.
    let of_names = matches!(code.get(..2), Some("42" | "3F"));
    let message = match (kind, error.constraint()) {
        (FailureKind::Mistake, Some(constraint)) => format!("code {code}, constraint {constraint}"),
        (FailureKind::Mistake, None) if !of_names => format!("code {code}"),
        _ => format!("{} (code {code}){}", error.message(), advice(&code)),
    };
    Failure { kind, message }
}

/// By SQLite's primary result code, the low byte.
fn of_sqlite(code: &str) -> FailureKind {
    /// `SQLITE_IOERR_SHMSIZE`: the file of the WAL's index could not grow.
    const SHM_SIZE: u32 = 4874;
    let code: u32 = code.parse().unwrap_or(0);
    match (code, code & 0xff) {
        (SHM_SIZE, _) | (_, 13) => FailureKind::Full,
        (_, 5 | 6) => FailureKind::Busy,
        // No memory, read-only, interrupted, I/O, damaged, cannot open, protocol, not a database.
        (_, 7..=11 | 14 | 15 | 26) => FailureKind::Unavailable,
        _ => FailureKind::Mistake,
    }
}

/// By the class of the SQLSTATE, its first two characters.
fn of_postgres(code: &str) -> FailureKind {
    match code {
        "53100" => FailureKind::Full,
        // A timeout of statement, lock or transaction; a deadlock; a conflict.
        "57014" | "55P03" | "40001" | "40P01" => FailureKind::Busy,
        // A standby, or a server that shuts down.
        "25006" | "25P03" => FailureKind::Unavailable,
        _ => match code.get(..2) {
            // Connection, authorisation, resources, operator, system, internal error.
            Some("08" | "28" | "53" | "57" | "58" | "XX") => FailureKind::Unavailable,
            _ => FailureKind::Mistake,
        },
    }
}

/// What to do about a database that is there and does not let us work.
fn advice(code: &str) -> &'static str {
    match code {
        // A right is missing, or every schema that the role could use.
        "42501" | "3F000" => {
            "; hint: askd's role makes its own tables, so give it a database of its own (CREATE DATABASE askd OWNER \
             ROLE), or GRANT USAGE, CREATE ON SCHEMA public TO ROLE"
        }
        // Its tables or their columns are another program's.
        "42P01" | "42P07" | "42703" => "; hint: the tables are not those of an askd; give it a database of its own",
        _ => "",
    }
}

/// What kind of error it is, without its values.
fn kind_of(error: &DbErr) -> String {
    match error {
        // Written by us.
        DbErr::Custom(text) => text.clone(),
        DbErr::Query(_) => "a value could not be read or encoded".to_owned(),
        DbErr::Type(_) | DbErr::TryIntoErr { .. } | DbErr::Json(_) => "a value has another type".to_owned(),
        _ => "the driver refused it".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_of_both_engines_are_told_apart() {
        let sqlite = [("5", FailureKind::Busy), ("517", FailureKind::Busy), ("13", FailureKind::Full)];
        for (code, kind) in sqlite.into_iter().chain([
            ("4874", FailureKind::Full),
            ("778", FailureKind::Unavailable),
            ("1555", FailureKind::Mistake),
            ("1", FailureKind::Mistake),
        ]) {
            assert_eq!(of_sqlite(code), kind, "{code}");
        }
        for (code, kind) in [
            ("53100", FailureKind::Full),
            ("57P01", FailureKind::Unavailable),
            ("57014", FailureKind::Busy),
            ("08006", FailureKind::Unavailable),
            ("25006", FailureKind::Unavailable),
            ("23505", FailureKind::Mistake),
            ("22021", FailureKind::Mistake),
            ("", FailureKind::Mistake),
        ] {
            assert_eq!(of_postgres(code), kind, "{code}");
        }
    }
}
