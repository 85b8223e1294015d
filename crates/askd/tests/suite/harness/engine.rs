//! Where the store of a server under test is, and ways to get at it from outside.

use std::path::Path;

use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, Statement};

use crate::cluster::Cluster;

/// A store of its own.
pub(crate) enum Engine {
    /// In the data folder.
    Sqlite,
    /// A database of the cluster that this test process has.
    Postgres { url: String },
}

impl Engine {
    pub(crate) async fn postgres() -> Self {
        let cluster = tokio::task::spawn_blocking(Cluster::shared).await.unwrap();
        Self::Postgres { url: cluster.url(&cluster.database().await) }
    }

    /// The variable that leads the program to it; empty for none.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite => String::new(),
            Self::Postgres { url } => url.clone(),
        }
    }

    /// From now on no event can be stored, until what this gives is dropped by [`Stall::end`].
    pub(crate) async fn stall(&self, data: &Path) -> Stall {
        let (url, lock) = match self {
            Self::Sqlite => {
                let file = data.join("askd.db");
                (format!("sqlite://{}?mode=rw", file.display()), "BEGIN IMMEDIATE")
            }
            // Reads go on. One table, so that it cannot get into a deadlock with the server.
            Self::Postgres { url } => (url.clone(), "BEGIN; LOCK TABLE runs IN EXCLUSIVE MODE"),
        };
        let mut options = ConnectOptions::new(url);
        options.max_connections(1).min_connections(1);
        let connection = Database::connect(options).await.unwrap();
        connection.execute_unprepared(lock).await.unwrap();
        Stall(connection)
    }
}

/// A connection to a PostgreSQL store that is not askd's.
pub(crate) struct Outside(DatabaseConnection);

impl Outside {
    pub(crate) async fn of(url: &str) -> Self {
        let mut options = ConnectOptions::new(url);
        options.max_connections(1).min_connections(1);
        Self(Database::connect(options).await.unwrap())
    }

    /// Executes statements; `BEGIN` begins a transaction, for this is one connection.
    pub(crate) async fn execute(&self, sql: &str) {
        self.0.execute_unprepared(sql).await.unwrap();
    }

    /// The one number that a query gives, of type BIGINT.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let query = Statement::from_string(self.0.get_database_backend(), sql);
        self.0.query_one_raw(query).await.unwrap().unwrap().try_get_by_index(0).unwrap()
    }

    pub(crate) async fn close(self) {
        self.0.close().await.unwrap();
    }
}

/// A lock on the store.
pub(crate) struct Stall(DatabaseConnection);

impl Stall {
    pub(crate) async fn end(self) {
        self.0.execute_unprepared("ROLLBACK").await.unwrap();
        self.0.close().await.unwrap();
    }
}

/// What SQLite says of its file: `ok`, or what is wrong with it.
pub(crate) async fn integrity(file: &Path) -> String {
    let store = Database::connect(format!("sqlite://{}?mode=rw", file.display())).await.unwrap();
    let check = Statement::from_string(store.get_database_backend(), "PRAGMA integrity_check");
    let row = store.query_one_raw(check).await.unwrap().unwrap();
    store.close().await.unwrap();
    row.try_get_by_index(0).unwrap()
}
