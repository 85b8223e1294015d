//! Stores a new run with its first event.

use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbBackend, DbErr, Value};

use super::budget::{self, BudgetDay, Reserve, Reserved, day_of};
use super::command::{Claim, claim, free_key, meaning, read_claim};
use super::error::StoreError;
use super::sql::{PG_NOW, get, number, read_first, statement};
use super::uploads::{self, Needed};
use super::writer::Operation;
use super::{Store, secrets};

/// A new run: its row, its session's row, its metadata and its first chunk, in one commit.
#[derive(Debug)]
pub struct Submit {
    /// The run.
    pub run: NewRun,
    /// What the caller wants to find it by; each name once.
    pub metadata: Vec<(String, String)>,
    /// The stored form of the chunk with event 1.
    pub first_chunk: Vec<u8>,
    /// The caller's key that makes a second submission of the same harmless.
    pub idempotency: Option<IdempotencyClaim>,
    /// What is to be set aside of what its key may spend on the day of its submission.
    pub reserve: Option<Reserve>,
    /// The uploads that it needs.
    pub uploads: Needed,
    /// Its secrets, sealed. They go when it begins.
    pub secrets: Option<Vec<u8>>,
}

/// The columns of a new run.
#[derive(Clone, Debug, Default)]
pub struct NewRun {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub key_id: String,
    /// The session that it belongs to.
    pub session_id: String,
    /// The folder it works in.
    pub workspace: Option<String>,
    /// Its state, usually `queued`.
    pub state: &'static str,
    /// Counts its holders; a new run has 1.
    pub epoch: i64,
    /// The server that holds it.
    pub owner: String,
    /// How long that server keeps it without a word, in milliseconds; counts with PostgreSQL only.
    pub lease_ms: u64,
    /// What happens when its client goes away.
    pub on_disconnect: &'static str,
    /// What was asked, JSON.
    pub request: String,
    /// The same for lists, without what may be long; `None`: lists read the whole.
    pub listed: Option<String>,
    /// Where it stands in a trace, JSON.
    pub trace_context: Option<String>,
    /// The uncompressed bytes of its first chunk.
    pub log_bytes: u64,
    /// When it was submitted, in milliseconds since 1970.
    pub created_at: i64,
}

/// A caller's claim that this is one request, however often it is sent.
#[derive(Clone, Debug)]
pub struct IdempotencyClaim {
    /// Whose key it is.
    pub key_id: String,
    /// Where it counts, such as `POST /v1/runs`.
    pub route: String,
    /// What the caller sent.
    pub key: String,
    /// The hash of the request: another request with the same key is a mistake of the caller.
    pub body_hash: String,
    /// A claim that was made before this time is forgotten, in milliseconds since 1970.
    pub expires_before: i64,
}

/// What became of a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// The run is stored, and what it needs is set aside.
    New,
    /// The run is stored. So much was left, and is set aside for it.
    NewWithLess {
        /// In millionths of a US dollar.
        reserved: u64,
    },
    /// Nothing is stored: less is left than the run needs.
    Exhausted(BudgetDay),
    /// It was submitted before, as this run.
    Same {
        /// That run.
        run_id: String,
    },
    /// Its idempotency key belongs to another request.
    Mismatch,
    /// Nothing is stored: an upload that it needs is not there, or of another key.
    NoUpload {
        /// That upload.
        upload_id: String,
    },
}

const RUN: &str = "INSERT INTO runs (id, key_id, session_id, workspace, state, epoch, owner, lease_until, \
    on_disconnect, last_seq, log_bytes, created_at, trace_context) \
    VALUES ($1, $2, $3, $4, $5, $10, $6, {lease}, $7, 1, $8, $9, $11) ON CONFLICT (id) DO NOTHING";

const REQUEST: &str = "INSERT INTO run_requests (run_id, request) VALUES ($1, $2)";

const OPTIONS: &str = "INSERT INTO run_options (run_id, options) VALUES ($1, $2)";

const SESSION: &str = "INSERT INTO sessions (id, key_id, workspace, created_at, last_run_at) \
    VALUES ($1, $2, $3, $4, $4) ON CONFLICT (id) DO UPDATE SET last_run_at = excluded.last_run_at";

const METADATA: &str = "INSERT INTO run_metadata (run_id, name, value) VALUES ($1, $2, $3)";

const CHUNK: &str = "INSERT INTO event_chunks (run_id, first_seq, last_seq, bytes) VALUES ($1, 1, 1, $2)";

impl Operation for Submit {
    type Output = Submitted;

    async fn apply(&mut self, tx: &DatabaseTransaction) -> Result<Submitted, DbErr> {
        let run = &self.run;
        let id: Value = run.id.as_str().into();
        if let Some(idempotency) = &self.idempotency {
            match claim(tx, idempotency, &run.id, None, run.created_at).await? {
                Claim::New => {}
                Claim::Same { run_id, .. } if run_id == run.id => {}
                Claim::Same { run_id, .. } => return Ok(Submitted::Same { run_id }),
                Claim::Mismatch => return Ok(Submitted::Mismatch),
            }
        }
        if let Some(upload_id) = uploads::missing(tx, &self.uploads, run.created_at).await? {
            free_key(tx, &run.id).await?;
            return Ok(Submitted::NoUpload { upload_id });
        }
        let engine = tx.get_database_backend();
        let execute = async |sql: &str, values: Vec<Value>| {
            tx.execute_raw(sea_orm::Statement::from_sql_and_values(engine, sql, values)).await
        };
        if execute(&run_sql(engine, run.lease_ms), run.values()).await?.rows_affected() == 0 {
            return self.look(tx).await;
        }
        let submitted = self.reserve(tx).await?;
        if matches!(submitted, Submitted::Exhausted(_)) {
            execute("DELETE FROM runs WHERE id = $1", vec![id]).await?;
            free_key(tx, &run.id).await?;
            return Ok(submitted);
        }
        execute(REQUEST, vec![id.clone(), run.request.as_str().into()]).await?;
        if let Some(listed) = &run.listed {
            execute(OPTIONS, vec![id.clone(), listed.as_str().into()]).await?;
        }
        let session = [run.session_id.as_str().into(), run.key_id.as_str().into(), run.workspace.clone().into()];
        execute(SESSION, session.into_iter().chain([run.created_at.into()]).collect()).await?;
        for (name, value) in &self.metadata {
            execute(METADATA, vec![id.clone(), name.as_str().into(), value.as_str().into()]).await?;
        }
        execute(CHUNK, vec![id, Value::Bytes(Some(self.first_chunk.clone()))]).await?;
        uploads::refer(tx, &run.id, &self.uploads).await?;
        if let Some(sealed) = &self.secrets {
            secrets::keep(tx, &run.id, sealed).await?;
        }
        Ok(submitted)
    }

    fn weight(&self) -> usize {
        self.first_chunk.len()
            + self.run.request.len()
            + self.run.listed.as_ref().map_or(0, String::len)
            + self.secrets.as_ref().map_or(0, Vec::len)
    }

    fn takes_shared_rows(&self) -> bool {
        true
    }
}

impl Submit {
    /// Sets aside what the run needs.
    async fn reserve(&self, tx: &DatabaseTransaction) -> Result<Submitted, DbErr> {
        let Some(wish) = &self.reserve else { return Ok(Submitted::New) };
        let run = &self.run;
        Ok(match budget::reserve(tx, &run.id, &run.key_id, day_of(run.created_at), wish).await? {
            Reserved::Amount(reserved) => self.with(reserved),
            Reserved::Exhausted(found) => Submitted::Exhausted(found),
        })
    }

    fn with(&self, reserved: u64) -> Submitted {
        let is_less = self.reserve.as_ref().is_some_and(|wish| reserved < wish.amount);
        if is_less { Submitted::NewWithLess { reserved } } else { Submitted::New }
    }

    /// The run is there already. It may be ours, when the connection broke in the middle of the commit.
    async fn look(&self, tx: &DatabaseTransaction) -> Result<Submitted, DbErr> {
        let sql = "SELECT created_at, owner, session_id, reserved_micros FROM runs WHERE id = $1";
        let row = tx.query_one_raw(statement(tx.get_database_backend(), sql, [self.run.id.as_str().into()])).await?;
        let Some(row) = row else { return Err(DbErr::Custom("a run vanished".to_owned())) };
        let ours = get::<i64>(&row, "created_at")? == self.run.created_at
            && get::<String>(&row, "owner")? == self.run.owner
            && get::<String>(&row, "session_id")? == self.run.session_id;
        let reserved = get::<Option<i64>>(&row, "reserved_micros")?.and_then(|micros| micros.try_into().ok());
        let submitted = reserved.map_or(Submitted::New, |reserved| self.with(reserved));
        if ours { Ok(submitted) } else { Err(DbErr::Custom("the run's id is taken".to_owned())) }
    }
}

impl NewRun {
    fn values(&self) -> Vec<Value> {
        vec![
            self.id.as_str().into(),
            self.key_id.as_str().into(),
            self.session_id.as_str().into(),
            self.workspace.clone().into(),
            self.state.into(),
            self.owner.as_str().into(),
            self.on_disconnect.into(),
            number(self.log_bytes).into(),
            self.created_at.into(),
            self.epoch.into(),
            self.trace_context.clone().into(),
        ]
    }
}

impl Store {
    /// What a submission with this claim would meet: [`Submitted::Same`], [`Submitted::Mismatch`], or `None` for a key
    /// that is free. Nothing is claimed.
    pub async fn idempotent_run(&self, claim: &IdempotencyClaim) -> Result<Option<Submitted>, StoreError> {
        let rows = self.rows(meaning(self.backend(), claim)).await?;
        let found = read_first(&rows, |row| read_claim(row, claim))?;
        Ok(found.and_then(|(found, created_at)| match found {
            _ if created_at < claim.expires_before => None,
            Claim::New => None,
            Claim::Same { run_id, .. } => Some(Submitted::Same { run_id }),
            Claim::Mismatch => Some(Submitted::Mismatch),
        }))
    }
}

/// Takes a run away that its caller was not told of: one that nobody has begun, with its idempotency key.
#[derive(Clone, Debug)]
pub struct Withdraw {
    /// The run; it may also not be there.
    pub run_id: String,
}

impl Operation for Withdraw {
    /// Whether it was there.
    type Output = bool;

    async fn apply(&mut self, tx: &DatabaseTransaction) -> Result<bool, DbErr> {
        let engine = tx.get_database_backend();
        let unsettled = budget::Unsettled::of(tx, &self.run_id).await?;
        // Its one chunk, its metadata, its request and its secrets go with it.
        let sql = "DELETE FROM runs WHERE id = $1 AND last_seq = 1 AND started_at IS NULL AND finished_at IS NULL";
        let gone = tx.execute_raw(statement(engine, sql, [self.run_id.as_str().into()])).await?.rows_affected() == 1;
        if gone {
            free_key(tx, &self.run_id).await?;
            if let Some(run) = unsettled {
                run.give_back(tx).await?;
            }
        }
        Ok(gone)
    }

    fn takes_shared_rows(&self) -> bool {
        true
    }
}

fn run_sql(engine: DbBackend, lease_ms: u64) -> String {
    RUN.replace("{lease}", &lease_sql(engine, lease_ms))
}

/// When a lease that begins now ends: by the database's clock, and never on an engine that one server owns.
pub(super) fn lease_sql(engine: DbBackend, lease_ms: u64) -> String {
    if engine == DbBackend::Postgres { format!("{PG_NOW} + {}", number(lease_ms)) } else { "NULL".to_owned() }
}
