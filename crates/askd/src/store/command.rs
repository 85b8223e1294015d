//! Requests that must happen once and create no run, such as a cancel: the caller's key remembers the answer.

use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbBackend, DbErr, QueryResult, Statement, Value};

use super::sql::{get, statement};
use super::submit::IdempotencyClaim;
use super::writer::Operation;

/// Claims a caller's key for a command.
#[derive(Clone, Debug)]
pub struct ClaimCommand {
    /// The claim.
    pub claim: IdempotencyClaim,
    /// The run that the command is for.
    pub run_id: String,
    /// The answer that a repetition gets, JSON.
    pub answer: String,
    /// Now, in milliseconds since 1970.
    pub created_at: i64,
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// It is the first; the command is to be carried out.
    New,
    /// The command was carried out before.
    Same {
        /// What was answered.
        answer: String,
    },
    /// The key belongs to another request.
    Mismatch,
}

/// Gives a claimed key back, after the command could not be carried out. Another's claim stays.
#[derive(Clone, Debug)]
pub struct Forget(pub ClaimCommand);

impl Operation for ClaimCommand {
    type Output = Claimed;

    async fn apply(&mut self, tx: &DatabaseTransaction) -> Result<Claimed, DbErr> {
        Ok(match claim(tx, &self.claim, &self.run_id, Some(&self.answer), self.created_at).await? {
            Claim::New => Claimed::New,
            // Our own claim, after a commit whose answer was lost.
            Claim::Same { answer, created_at, .. }
                if created_at == self.created_at && answer.as_ref() == Some(&self.answer) =>
            {
                Claimed::New
            }
            Claim::Same { answer, .. } => Claimed::Same { answer: answer.unwrap_or_default() },
            Claim::Mismatch => Claimed::Mismatch,
        })
    }

    fn takes_shared_rows(&self) -> bool {
        true
    }
}

impl Operation for Forget {
    type Output = ();

    async fn apply(&mut self, tx: &DatabaseTransaction) -> Result<(), DbErr> {
        let ClaimCommand { claim, run_id, answer, created_at } = &self.0;
        let sql = "DELETE FROM idempotency WHERE key_id = $1 AND route = $2 AND idem_key = $3 \
            AND body_hash = $4 AND run_id = $5 AND answer = $6 AND created_at = $7";
        let texts = [&claim.key_id, &claim.route, &claim.key, &claim.body_hash, run_id, answer];
        let [key_id, route, key, body_hash, run_id, answer] = texts.map(|text| Value::from(text.as_str()));
        let values = [key_id, route, key, body_hash, run_id, answer, (*created_at).into()];
        tx.execute_raw(statement(tx.get_database_backend(), sql, values)).await.map(|_| ())
    }
}

/// What a key means.
pub(super) enum Claim {
    New,
    Same { run_id: String, answer: Option<String>, created_at: i64 },
    Mismatch,
}

/// How often a key is asked for that others take and give back in between.
const ATTEMPTS: usize = 5;

/// What was claimed too long ago, or for a run that is no longer kept, means nothing any more.
const EXPIRED: &str = "DELETE FROM idempotency WHERE key_id = $1 AND route = $2 AND idem_key = $3 \
    AND (created_at < $4 OR NOT EXISTS (SELECT 1 FROM runs r WHERE r.id = idempotency.run_id))";

const CLAIM: &str = "INSERT INTO idempotency (key_id, route, idem_key, body_hash, run_id, answer, created_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (key_id, route, idem_key) DO NOTHING";

const LOOK: &str = "SELECT i.body_hash, i.run_id, i.answer, i.created_at FROM idempotency i \
    JOIN runs r ON r.id = i.run_id WHERE i.key_id = $1 AND i.route = $2 AND i.idem_key = $3";

const FREE: &str = "DELETE FROM idempotency WHERE run_id = $1 AND answer IS NULL";

/// Takes the key, unless somebody has it.
pub(super) async fn claim(
    tx: &DatabaseTransaction,
    claim: &IdempotencyClaim,
    run_id: &str,
    answer: Option<&str>,
    created_at: i64,
) -> Result<Claim, DbErr> {
    let engine = tx.get_database_backend();
    let key = || -> [Value; 3] { [claim.key_id.as_str(), claim.route.as_str(), claim.key.as_str()].map(Value::from) };
    for _ in 0..ATTEMPTS {
        let [key_id, route, idem_key] = key();
        tx.execute_raw(statement(engine, EXPIRED, [key_id, route, idem_key, claim.expires_before.into()])).await?;
        let [key_id, route, idem_key] = key();
        let rest = [claim.body_hash.as_str().into(), run_id.into(), answer.into(), created_at.into()];
        let [body_hash, run, answer, created_at] = rest;
        let values = [key_id, route, idem_key, body_hash, run, answer, created_at];
        if tx.execute_raw(statement(engine, CLAIM, values)).await?.rows_affected() == 1 {
            return Ok(Claim::New);
        }
        if let Some(row) = tx.query_one_raw(meaning(engine, claim)).await? {
            return read_claim(&row, claim).map(|(found, _)| found);
        }
        // Between the two statements another server has given it back, or removed its run.
    }
    Err(DbErr::Custom("an idempotency key changes hands all the time".to_owned()))
}

/// Frees the key that has made a run, so that a repetition makes another one.
pub(super) async fn free_key(tx: &DatabaseTransaction, run_id: &str) -> Result<(), DbErr> {
    tx.execute_raw(statement(tx.get_database_backend(), FREE, [run_id.into()])).await.map(|_| ())
}

/// The same for a run that has just ended, if its CLI never began: then the request was refused, and nothing was done
/// for it. Not for one whose server died: what its CLI did, nobody knows.
pub(super) async fn free_key_if_not_begun(tx: &DatabaseTransaction, run_id: &str) -> Result<(), DbErr> {
    let sql =
        format!("{FREE} AND EXISTS (SELECT 1 FROM runs WHERE id = $1 AND cli_version IS NULL AND state <> 'lost')");
    tx.execute_raw(statement(tx.get_database_backend(), &sql, [run_id.into()])).await.map(|_| ())
}

/// Asks what a key means.
pub(super) fn meaning(engine: DbBackend, claim: &IdempotencyClaim) -> Statement {
    statement(engine, LOOK, [claim.key_id.as_str(), claim.route.as_str(), claim.key.as_str()].map(Value::from))
}

/// What it means, and when it was claimed.
pub(super) fn read_claim(row: &QueryResult, claim: &IdempotencyClaim) -> Result<(Claim, i64), DbErr> {
    let created_at = get(row, "created_at")?;
    if get::<String>(row, "body_hash")? != claim.body_hash {
        return Ok((Claim::Mismatch, created_at));
    }
    let same = Claim::Same { run_id: get(row, "run_id")?, answer: get(row, "answer")?, created_at };
    Ok((same, created_at))
}
