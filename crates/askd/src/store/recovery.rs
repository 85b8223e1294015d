//! What a server finds of its past when it starts, and of servers that are gone.
//!
//! In SQLite everything that is not finished belongs to the one server that holds the folder's lock. In PostgreSQL it
//! belongs to its owner until the owner's lease has run out.

use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbBackend, DbErr};

use super::Store;
use super::error::StoreError;
use super::runs::{RunRow, SELECT};
use super::sql::{PG_NOW, get, number, read_all, read_first, statement};
use super::submit::lease_sql;
use super::writer::Operation;

/// Runs that one look brings; whoever settles them looks again until none is left.
const PAGE: u32 = 100;

impl Store {
    /// Runs that were at work when their server ended, the oldest first; all of them, of which `MAX_CONCURRENT` is the
    /// bound. For the start, before this owner has runs at work.
    pub async fn runs_to_settle(&self, owner: &str) -> Result<Vec<RunRow>, StoreError> {
        self.unfinished(&format!("r.state <> 'queued' AND {}", self.takeable()), owner, None).await
    }

    /// Runs that wait and whose server ended, the oldest first; all of them, of which a queue's length is the bound. For
    /// the start, before this owner has a queue.
    pub async fn queued_to_adopt(&self, owner: &str) -> Result<Vec<RunRow>, StoreError> {
        self.unfinished(&format!("r.state = 'queued' AND {}", self.takeable()), owner, None).await
    }

    /// How many runs wait that this owner holds.
    pub async fn count_queued(&self, owner: &str) -> Result<u64, StoreError> {
        let sql = format!(
            "SELECT COUNT(*) AS waiting FROM runs r WHERE r.finished_at IS NULL AND r.state = 'queued' AND {}",
            match self.backend() {
                DbBackend::Postgres => "r.owner = $1",
                _ => "$1 = $1",
            }
        );
        let rows = self.rows(statement(self.backend(), &sql, [owner.into()])).await?;
        let waiting = read_first(&rows, |row| get::<i64>(row, "waiting"))?.unwrap_or(0);
        Ok(u64::try_from(waiting).unwrap_or(0))
    }

    /// Runs of other servers whose lease has run out, waiting or at work, the oldest first, at most a page. For a server
    /// that is at work. None with SQLite.
    pub async fn runs_of_lost_servers(&self, owner: &str) -> Result<Vec<RunRow>, StoreError> {
        if !self.is_shared() {
            return Ok(Vec::new());
        }
        self.unfinished(&format!("r.owner <> $1 AND r.lease_until < {PG_NOW}"), owner, Some(PAGE)).await
    }

    /// Runs that this owner holds and that have not ended, the oldest first, at most a page. A server at work compares
    /// them with those that it drives: what only the store knows is to be settled.
    pub async fn unfinished_of(&self, owner: &str) -> Result<Vec<RunRow>, StoreError> {
        self.unfinished("r.owner = $1", owner, Some(PAGE)).await
    }

    async fn unfinished(&self, condition: &str, owner: &str, page: Option<u32>) -> Result<Vec<RunRow>, StoreError> {
        let limit = page.map(|page| format!("LIMIT {page}")).unwrap_or_default();
        let sql = format!("{SELECT} WHERE r.finished_at IS NULL AND {condition} ORDER BY r.created_at, r.id {limit}");
        let rows = self.rows(statement(self.backend(), &sql, [owner.into()])).await?;
        read_all(&rows, RunRow::read)
    }

    /// What the owner in `$1` may take.
    fn takeable(&self) -> String {
        takeable(self.backend(), "r.", "$1")
    }
}

fn takeable(engine: DbBackend, table: &str, owner: &str) -> String {
    match engine {
        DbBackend::Postgres => format!("({table}owner = {owner} OR {table}lease_until < {PG_NOW})"),
        // The parameter is used, for the driver counts them.
        _ => format!("{owner} = {owner}"),
    }
}

/// Takes a run over: whoever held it before can write nothing for it from now on.
#[derive(Clone, Debug)]
pub struct Adopt {
    /// The run.
    pub run_id: String,
    /// The epoch that was read. The new one is the next number.
    pub old_epoch: i64,
    /// The last number that was read. When its former holder has stored more since then, nothing is taken: the new
    /// holder would go on from the wrong number. Read it again.
    pub last_seq: u64,
    /// Who takes it.
    pub owner: String,
    /// How long the new owner keeps it without a word, in milliseconds; counts with PostgreSQL only.
    pub lease_ms: u64,
}

impl Operation for Adopt {
    /// Whether it belongs to the new owner now, in the epoch `old_epoch + 1`.
    type Output = bool;

    async fn apply(&mut self, tx: &DatabaseTransaction) -> Result<bool, DbErr> {
        let engine = tx.get_database_backend();
        let lease = lease_sql(engine, self.lease_ms);
        let sql = format!(
            "UPDATE runs SET epoch = epoch + 1, owner = $1, lease_until = {lease} \
             WHERE id = $2 AND epoch = $3 AND last_seq = $4 AND finished_at IS NULL AND {}",
            takeable(engine, "", "$1")
        );
        let last_seq = number(self.last_seq);
        let (owner, run) = (self.owner.as_str(), self.run_id.as_str());
        let values = [owner.into(), run.into(), self.old_epoch.into(), last_seq.into()];
        if tx.execute_raw(statement(engine, &sql, values)).await?.rows_affected() == 1 {
            return Ok(true);
        }
        // It may be ours already, when the answer to an earlier commit was lost.
        let sql = "SELECT epoch, owner, last_seq, finished_at FROM runs WHERE id = $1";
        let row = tx.query_one_raw(statement(engine, sql, [run.into()])).await?;
        let Some(row) = row else { return Ok(false) };
        Ok(get::<i64>(&row, "epoch")? == self.old_epoch + 1
            && get::<String>(&row, "owner")? == self.owner
            && get::<i64>(&row, "last_seq")? == last_seq
            && get::<Option<i64>>(&row, "finished_at")?.is_none())
    }
}
