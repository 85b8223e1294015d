//! Adds a run's next events, and changes its row with them.

use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbErr, Statement, Value};

use super::budget::{Charge, settle};
use super::command::free_key_if_not_begun;
use super::sql::{get, number, statement};
use super::writer::Operation;
use crate::usd::Usd;

/// Chunks of one run that follow what is stored, in one commit with what they change in the run's row.
#[derive(Debug, Default)]
pub struct Append {
    /// The run.
    pub run_id: String,
    /// The epoch in which the caller holds it; another one makes the append stale.
    pub epoch: i64,
    /// First number, last number and stored form of each chunk, in order and without gaps. Empty: only the row changes.
    pub chunks: Vec<(u64, u64, Vec<u8>)>,
    /// Uncompressed bytes of these chunks.
    pub log_bytes: u64,
    /// What changes in the row.
    pub patch: RunPatch,
}

/// What changes in a run's row; `None` leaves a column as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunPatch {
    /// Its state.
    pub state: Option<&'static str>,
    /// When its CLI was there; a time that is stored stays.
    pub started_at: Option<i64>,
    /// When its first event of the agent came; a time that is stored stays.
    pub first_event_at: Option<i64>,
    /// When it ended. Nothing can be appended afterwards.
    pub finished_at: Option<i64>,
    /// The version of its CLI.
    pub cli_version: Option<String>,
    /// The number of its last `agent.result`.
    pub result_seq: Option<u64>,
    /// Tool calls that were denied.
    pub denials: Option<u64>,
    /// How it failed, JSON.
    pub error: Option<String>,
    /// What confines it, JSON; what is stored stays.
    pub isolation: Option<String>,
    /// What its session has cost so far, in US dollars; changes the session's row.
    pub session_cost: Option<f64>,
    /// What the run has cost besides what was told before, in millionths of a US dollar. Without it, the growth of
    /// `session_cost` counts.
    pub cost_more: Option<u64>,
    /// With the end: what the run is charged.
    pub charge: Charge,
}

impl RunPatch {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether nothing changes in the run's own row.
    fn leaves_the_run(&self) -> bool {
        let Self { state, started_at, first_event_at, finished_at, result_seq, denials, .. } = self;
        let Self { cli_version, error, isolation, cost_more, .. } = self;
        state.is_none()
            && [started_at, first_event_at, finished_at].iter().all(|time| time.is_none())
            && [result_seq, denials, cost_more].iter().all(|number| number.is_none())
            && [cli_version, error, isolation].iter().all(|text| text.is_none())
    }
}

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// The events are stored.
    Stored,
    /// The run has another epoch, has ended or has other events: nothing was stored, and nothing may be written for it.
    Stale,
}

/// Without a patch, the usual one: no index changes.
const EXTEND: &str = "UPDATE runs SET last_seq = $1, log_bytes = log_bytes + $2 \
    WHERE id = $3 AND epoch = $4 AND last_seq = $5 AND finished_at IS NULL";

const PATCH: &str = "UPDATE runs SET last_seq = $1, log_bytes = log_bytes + $2, \
    state = COALESCE($6, state), started_at = COALESCE(started_at, $7), \
    first_event_at = COALESCE(first_event_at, $8), finished_at = COALESCE($9, finished_at), \
    cli_version = COALESCE($10, cli_version), result_seq = COALESCE($11, result_seq), \
    denials = COALESCE($12, denials), error = COALESCE($13, error), isolation = COALESCE(isolation, $14), \
    cost_micros = COALESCE(cost_micros + $15, $15, cost_micros) \
    WHERE id = $3 AND epoch = $4 AND last_seq = $5 AND finished_at IS NULL";

/// As [`PATCH`], for a change that brings no events.
const PATCH_ONLY: &str = "UPDATE runs SET state = COALESCE($3, state), started_at = COALESCE(started_at, $4), \
    first_event_at = COALESCE(first_event_at, $5), finished_at = COALESCE($6, finished_at), \
    cli_version = COALESCE($7, cli_version), result_seq = COALESCE($8, result_seq), \
    denials = COALESCE($9, denials), error = COALESCE($10, error), isolation = COALESCE(isolation, $11), \
    cost_micros = COALESCE(cost_micros + $12, $12, cost_micros) \
    WHERE id = $1 AND epoch = $2 AND finished_at IS NULL";

const INSERT: &str = "INSERT INTO event_chunks (run_id, first_seq, last_seq, bytes) VALUES ($1, $2, $3, $4)";

const SESSION: &str = "UPDATE sessions SET cost_baseline_usd = COALESCE($2, cost_baseline_usd), \
    last_run_at = COALESCE($3, last_run_at) WHERE id = (SELECT session_id FROM runs WHERE id = $1)";

const BASELINE: &str = "SELECT s.cost_baseline_usd FROM sessions s JOIN runs r ON r.session_id = s.id WHERE r.id = $1";

impl Operation for Append {
    type Output = Appended;

    async fn apply(&mut self, tx: &DatabaseTransaction) -> Result<Appended, DbErr> {
        let cost_more = self.cost_more(tx).await?;
        if tx.execute_raw(self.update(tx, cost_more)).await?.rows_affected() == 0 {
            return self.look(tx).await;
        }
        for (first, last, bytes) in &self.chunks {
            // The operation may have to run again, so the bytes are copied here, once, compressed as they are.
            let values = [
                self.run_id.as_str().into(),
                number(*first).into(),
                number(*last).into(),
                Value::Bytes(Some(bytes.clone())),
            ];
            tx.execute_raw(statement(tx.get_database_backend(), INSERT, values)).await?;
        }
        // In the order of `Operation::takes_shared_rows`.
        if self.patch.finished_at.is_some() {
            free_key_if_not_begun(tx, &self.run_id).await?;
            settle(tx, &self.run_id, self.patch.charge).await?;
        }
        if self.takes_shared_rows() {
            let values = [self.run_id.as_str().into(), self.patch.session_cost.into(), self.patch.finished_at.into()];
            tx.execute_raw(statement(tx.get_database_backend(), SESSION, values)).await?;
        }
        Ok(Appended::Stored)
    }

    fn weight(&self) -> usize {
        self.chunks.iter().map(|(_, _, bytes)| bytes.len()).sum()
    }

    fn takes_shared_rows(&self) -> bool {
        self.patch.session_cost.is_some() || self.patch.finished_at.is_some()
    }
}

impl Append {
    /// The change of the row, which happens only if the run is as the caller believes.
    fn update(&self, tx: &DatabaseTransaction, cost_more: Option<u64>) -> Statement {
        let engine = tx.get_database_backend();
        let RunPatch { state, started_at, first_event_at, finished_at, result_seq, denials, .. } = self.patch;
        let patch = [
            state.into(),
            started_at.into(),
            first_event_at.into(),
            finished_at.into(),
            self.patch.cli_version.clone().into(),
            result_seq.map(number).into(),
            denials.map(number).into(),
            self.patch.error.clone().into(),
            self.patch.isolation.clone().into(),
            cost_more.map(number).into(),
        ];
        let [run, epoch]: [Value; 2] = [self.run_id.as_str().into(), self.epoch.into()];
        let (Some((first, ..)), Some((_, last, _))) = (self.chunks.first(), self.chunks.last()) else {
            let values = [run, epoch].into_iter().chain(patch);
            return Statement::from_sql_and_values(engine, PATCH_ONLY, values);
        };
        let base = [number(*last).into(), number(self.log_bytes).into(), run, epoch, (number(*first) - 1).into()];
        if self.patch.leaves_the_run() && cost_more.is_none() {
            statement(engine, EXTEND, base)
        } else {
            Statement::from_sql_and_values(engine, PATCH, base.into_iter().chain(patch))
        }
    }

    /// What the run has cost besides. A CLI that does not say so tells what the session has cost in all.
    async fn cost_more(&self, tx: &DatabaseTransaction) -> Result<Option<u64>, DbErr> {
        let (None, Some(total)) = (self.patch.cost_more, self.patch.session_cost) else {
            return Ok(self.patch.cost_more);
        };
        let row =
            tx.query_one_raw(statement(tx.get_database_backend(), BASELINE, [self.run_id.as_str().into()])).await?;
        let before = row.map(|row| get::<f64>(&row, "cost_baseline_usd")).transpose()?.unwrap_or_default();
        // Less than before: a session that was begun anew, or a CLI that counts from its own start.
        let more = if total < before { total } else { total - before };
        Ok(Usd::from_dollars(more).map(Usd::micros))
    }

    /// Why no row changed. When the connection broke in the middle of a commit, our own append may be there already.
    async fn look(&self, tx: &DatabaseTransaction) -> Result<Appended, DbErr> {
        let sql = "SELECT epoch, last_seq, finished_at FROM runs WHERE id = $1";
        let row = tx.query_one_raw(statement(tx.get_database_backend(), sql, [self.run_id.as_str().into()])).await?;
        let Some(row) = row else { return Ok(Appended::Stale) };
        let same_epoch = get::<i64>(&row, "epoch")? == self.epoch;
        let same_place = match self.chunks.last() {
            Some((_, last, _)) => get::<i64>(&row, "last_seq")? == number(*last),
            None => {
                self.patch.finished_at.is_some() && get::<Option<i64>>(&row, "finished_at")? == self.patch.finished_at
            }
        };
        Ok(if same_epoch && same_place { Appended::Stored } else { Appended::Stale })
    }
}
