//! Adds a run's next events, and changes its row with them.

use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbErr, Statement, Value};

use super::budget::{Charge, settle};
use super::command::free_key_if_not_begun;
use super::sql::{get, number, statement};
use super::usage::Receipt;
use super::writer::Operation;
use super::{secrets, uploads};

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
    /// Where it is noted what was settled with the run's end.
    pub receipt: Receipt,
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
    /// What it has cost so far, in millionths of a US dollar.
    pub cost: Option<u64>,
    /// With the end: what the run is charged.
    pub charge: Charge,
    /// What it has used by model, JSON.
    pub usage: Option<String>,
    /// What a person wants to know of it, JSON.
    pub warnings: Option<String>,
    /// The number of the last message with a text of the answer.
    pub answer_seq: Option<u64>,
}

impl RunPatch {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether nothing changes in the run's own row but the place of its answer.
    fn leaves_the_run(&self) -> bool {
        let Self { state, started_at, first_event_at, finished_at, result_seq, denials, .. } = self;
        let Self { cli_version, error, isolation, cost, usage, warnings, .. } = self;
        state.is_none()
            && [started_at, first_event_at, finished_at].iter().all(|time| time.is_none())
            && [result_seq, denials, cost].iter().all(|number| number.is_none())
            && [cli_version, error, isolation, usage, warnings].iter().all(|text| text.is_none())
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
const EXTEND: &str = "UPDATE runs SET last_seq = $1, log_bytes = log_bytes + $2, \
    answer_seq = COALESCE($6, answer_seq) \
    WHERE id = $3 AND epoch = $4 AND last_seq = $5 AND finished_at IS NULL";

const PATCH: &str = "UPDATE runs SET last_seq = $1, log_bytes = log_bytes + $2, \
    state = COALESCE($6, state), started_at = COALESCE(started_at, $7), \
    first_event_at = COALESCE(first_event_at, $8), finished_at = COALESCE($9, finished_at), \
    cli_version = COALESCE($10, cli_version), result_seq = COALESCE($11, result_seq), \
    denials = COALESCE($12, denials), error = COALESCE($13, error), isolation = COALESCE(isolation, $14), \
    cost_micros = COALESCE($15, cost_micros), usage = COALESCE($16, usage), \
    warnings = COALESCE($17, warnings), answer_seq = COALESCE($18, answer_seq) \
    WHERE id = $3 AND epoch = $4 AND last_seq = $5 AND finished_at IS NULL";

/// As [`PATCH`], for a change that brings no events.
const PATCH_ONLY: &str = "UPDATE runs SET state = COALESCE($3, state), started_at = COALESCE(started_at, $4), \
    first_event_at = COALESCE(first_event_at, $5), finished_at = COALESCE($6, finished_at), \
    cli_version = COALESCE($7, cli_version), result_seq = COALESCE($8, result_seq), \
    denials = COALESCE($9, denials), error = COALESCE($10, error), isolation = COALESCE(isolation, $11), \
    cost_micros = COALESCE($12, cost_micros), usage = COALESCE($13, usage), \
    warnings = COALESCE($14, warnings), answer_seq = COALESCE($15, answer_seq) \
    WHERE id = $1 AND epoch = $2 AND finished_at IS NULL";

const INSERT: &str = "INSERT INTO event_chunks (run_id, first_seq, last_seq, bytes) VALUES ($1, $2, $3, $4)";

const SESSION: &str = "UPDATE sessions SET last_run_at = $2 WHERE id = (SELECT session_id FROM runs WHERE id = $1)";

impl Operation for Append {
    type Output = Appended;

    async fn apply(&mut self, tx: &DatabaseTransaction) -> Result<Appended, DbErr> {
        if tx.execute_raw(self.update(tx)).await?.rows_affected() == 0 {
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
        if self.patch.started_at.is_some() || self.patch.finished_at.is_some() {
            secrets::forget(tx, &self.run_id).await?;
        }
        // In the order of `Operation::takes_shared_rows`.
        if let Some(finished_at) = self.patch.finished_at {
            uploads::release(tx, &self.run_id).await?;
            free_key_if_not_begun(tx, &self.run_id).await?;
            self.receipt.note(settle(tx, &self.run_id, self.patch.charge).await?);
            let values = [self.run_id.as_str().into(), finished_at.into()];
            tx.execute_raw(statement(tx.get_database_backend(), SESSION, values)).await?;
        }
        Ok(Appended::Stored)
    }

    fn weight(&self) -> usize {
        self.chunks.iter().map(|(_, _, bytes)| bytes.len()).sum()
    }

    fn takes_shared_rows(&self) -> bool {
        self.patch.finished_at.is_some()
    }
}

impl Append {
    /// The change of the row, which happens only if the run is as the caller believes.
    fn update(&self, tx: &DatabaseTransaction) -> Statement {
        let engine = tx.get_database_backend();
        let RunPatch { state, started_at, first_event_at, finished_at, result_seq, denials, answer_seq, cost, .. } =
            self.patch;
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
            cost.map(number).into(),
            self.patch.usage.clone().into(),
            self.patch.warnings.clone().into(),
            answer_seq.map(number).into(),
        ];
        let [run, epoch]: [Value; 2] = [self.run_id.as_str().into(), self.epoch.into()];
        let (Some((first, ..)), Some((_, last, _))) = (self.chunks.first(), self.chunks.last()) else {
            let values = [run, epoch].into_iter().chain(patch);
            return Statement::from_sql_and_values(engine, PATCH_ONLY, values);
        };
        let base = [number(*last).into(), number(self.log_bytes).into(), run, epoch, (number(*first) - 1).into()];
        if self.patch.leaves_the_run() {
            Statement::from_sql_and_values(engine, EXTEND, base.into_iter().chain([answer_seq.map(number).into()]))
        } else {
            Statement::from_sql_and_values(engine, PATCH, base.into_iter().chain(patch))
        }
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
