//! The store of several servers: a PostgreSQL database.

use std::fmt;
use std::time::Duration;

use sea_orm::sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sea_orm::sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};
use sea_orm::{DatabaseConnection, DbErr, RuntimeErr, SqlxError};
use secrecy::{ExposeSecret as _, SecretString};

use super::error::{Failure, OpenError};

/// The one encoding that holds every text of a run.
const ENCODING: &str = "UTF8";

/// Connections for readers.
const READERS: u32 = 6;

/// How long a new connection is tried for before the caller hears that there is none.
const CONNECTING: Duration = Duration::from_secs(3);

/// A connection that nobody needs is given back.
const IDLE: Duration = Duration::from_mins(5);

/// Where the database is, password included: `Debug` says nothing of it.
#[derive(Clone)]
pub(super) struct Database {
    options: PgConnectOptions,
    timeout: Duration,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PostgreSQL")
    }
}

impl Database {
    /// Reads the URL. `timeout` bounds every statement and the wait for a connection.
    pub(super) fn new(url: &SecretString, timeout: Duration) -> Result<Self, OpenError> {
        let url = url.expose_secret();
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(OpenError::Url("is not the URL of a PostgreSQL database"));
        }
        // What is wrong with it may be the password, so it is not said.
        let options: PgConnectOptions = url.parse().map_err(|_| OpenError::Url("cannot be read"))?;
        let options = options.application_name("askd").disable_statement_logging();
        Ok(Self { options, timeout })
    }

    /// Tries it, and says what is wrong: a pool would only say that it has waited.
    pub(super) async fn check(&self) -> Result<(), OpenError> {
        let why = match tokio::time::timeout(self.timeout, self.encoding()).await {
            Ok(Ok(encoding)) if encoding == ENCODING => return Ok(()),
            Ok(Ok(encoding)) => format!(
                "its encoding is {encoding}, which cannot hold every text; hint: make one with CREATE DATABASE askd \
                 ENCODING '{ENCODING}' TEMPLATE template0"
            ),
            Ok(Err(error)) => {
                let answered = matches!(error, SqlxError::Database(_));
                let why = Failure::at_open(&DbErr::Conn(RuntimeErr::SqlxError(error.into())));
                if answered { why } else { format!("{why} ({})", self.place()) }
            }
            Err(_) => format!("it does not answer ({})", self.place()),
        };
        Err(OpenError::Database(why))
    }

    /// Connects, and asks in which encoding the database keeps texts.
    async fn encoding(&self) -> Result<String, SqlxError> {
        let mut connection = PgConnection::connect_with(&self.options).await?;
        let asked = "SELECT current_setting('server_encoding')";
        let encoding = sea_orm::sqlx::query_scalar(asked).fetch_one(&mut connection).await?;
        // What it has said counts.
        let _ = connection.close().await;
        Ok(encoding)
    }

    /// Where the server is: neither who asks nor their password.
    fn place(&self) -> String {
        match self.options.get_socket() {
            Some(folder) => format!("socket in {}", folder.display()),
            None => format!("host {}, port {}", self.options.get_host(), self.options.get_port()),
        }
    }

    /// One connection, opened when it is needed.
    pub(super) fn writer(&self) -> DatabaseConnection {
        self.pool(1).idle_timeout(None).connect_lazy_with(self.options.clone()).into()
    }

    pub(super) fn readers(&self) -> DatabaseConnection {
        self.pool(READERS).idle_timeout(IDLE).connect_lazy_with(self.options.clone()).into()
    }

    fn pool(&self, size: u32) -> PgPoolOptions {
        let timeout = self.timeout.as_millis();
        // A transaction that its server has forgotten must not hold a run's row. Notices such as "already exists, skipping"
        // are no news.
        let settings = format!(
            "SET statement_timeout = {timeout}; SET idle_in_transaction_session_timeout = {timeout}; \
             SET client_min_messages = warning"
        );
        PgPoolOptions::new()
            .max_connections(size)
            .min_connections(0)
            .acquire_timeout(self.timeout.min(CONNECTING))
            .test_before_acquire(false)
            .after_connect(move |connection, _| {
                let settings = settings.clone();
                Box::pin(async move { connection.execute(AssertSqlSafe(settings)).await.map(|_| ()) })
            })
    }
}
