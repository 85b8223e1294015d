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

/// Gives a claimed key back, after the command could not be carried out.
#[derive(Clone, Debug)]
pub struct Forget {
    /// Whose key it is.
    pub key_id: String,
    /// Where it counts.
    pub route: String,
    /// What the caller sent.
    pub key: String,
}

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
}

impl Operation for Forget {
    type Output = ();

    async fn apply(&mut self, tx: &DatabaseTransaction) -> Result<(), DbErr> {
        let sql = "DELETE FROM idempotency WHERE key_id = $1 AND route = $2 AND idem_key = $3";
        let values = [self.key_id.as_str().into(), self.route.as_str().into(), self.key.as_str().into()];
        tx.execute_raw(statement(tx.get_database_backend(), sql, values)).await.map(|_| ())
    }
}

/// What a key means.
pub(super) enum Claim {
    New,
    Same { run_id: String, answer: Option<String>, created_at: i64 },
    Mismatch,
}

const EXPIRED: &str = "DELETE FROM idempotency WHERE key_id = $1 AND route = $2 AND idem_key = $3 AND created_at < $4";

const CLAIM: &str = "INSERT INTO idempotency (key_id, route, idem_key, body_hash, run_id, answer, created_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (key_id, route, idem_key) DO NOTHING";

const LOOK: &str = "SELECT body_hash, run_id, answer, created_at FROM idempotency \
    WHERE key_id = $1 AND route = $2 AND idem_key = $3";

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
    let [key_id, route, idem_key] = key();
    tx.execute_raw(statement(engine, EXPIRED, [key_id, route, idem_key, claim.expires_before.into()])).await?;
    let [key_id, route, idem_key] = key();
    let rest = [claim.body_hash.as_str().into(), run_id.into(), answer.into(), created_at.into()];
    let [body_hash, run, answer, created_at] = rest;
    let values = [key_id, route, idem_key, body_hash, run, answer, created_at];
    if tx.execute_raw(statement(engine, CLAIM, values)).await?.rows_affected() == 1 {
        return Ok(Claim::New);
    }
    let row = tx.query_one_raw(meaning(engine, claim)).await?;
    // Between the two statements another server may have given it back; the caller tries again.
    let row = row.ok_or_else(|| DbErr::Custom("an idempotency key vanished".to_owned()))?;
    read_claim(&row, claim).map(|(found, _)| found)
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
