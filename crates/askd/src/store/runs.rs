//! Reading runs: one, or a page of a list.

use std::collections::HashMap;

use sea_orm::{DbErr, QueryResult, Statement, Value};

use super::Store;
use super::error::StoreError;
use super::sql::{get, get_number, read_all, read_first, statement};

mod list;

pub use list::Filter;

/// A run as it is stored. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRow {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub key_id: String,
    /// The session that it belongs to.
    pub session_id: String,
    /// The folder it works in.
    pub workspace: Option<String>,
    /// Its state.
    pub state: String,
    /// Counts its holders, from 1.
    pub epoch: i64,
    /// The server that holds it.
    pub owner: String,
    /// Until when, if nothing is heard of that server; PostgreSQL only.
    pub lease_until: Option<i64>,
    /// What happens when its client goes away.
    pub on_disconnect: String,
    /// What was asked, JSON; in a page of a list without what may be long.
    pub request: String,
    /// The number of its last event.
    pub last_seq: u64,
    /// Uncompressed bytes of its events.
    pub log_bytes: u64,
    /// When it was submitted.
    pub created_at: i64,
    /// When its CLI was there.
    pub started_at: Option<i64>,
    /// When the agent's first event came.
    pub first_event_at: Option<i64>,
    /// When it ended.
    pub finished_at: Option<i64>,
    /// The version of its CLI.
    pub cli_version: Option<String>,
    /// The number of its last `agent.result`.
    pub result_seq: Option<u64>,
    /// Tool calls that were denied.
    pub denials: u64,
    /// How it failed, JSON.
    pub error: Option<String>,
    /// What confines it, JSON; from its turn on.
    pub isolation: Option<String>,
    /// What it has cost, in millionths of a US dollar, by the CLI's estimate; while it works, as far as it is known.
    pub cost_micros: Option<u64>,
    /// What is set aside for it, or was, of what its key may spend in a day; in millionths of a US dollar.
    pub reserved_micros: Option<u64>,
    /// What it has used by model, JSON.
    pub usage: Option<String>,
    /// What a person wants to know of it, JSON.
    pub warnings: Option<String>,
    /// Where it stands in a trace, JSON.
    pub trace_context: Option<String>,
    /// The number of the last message with a text of the answer.
    pub answer_seq: Option<u64>,
    /// Whether its events have been removed.
    pub events_expired: bool,
}

/// Every column of [`RunRow`]; what was asked is read from an expression.
macro_rules! columns {
    ($request:literal) => {
        concat!(
            "SELECT r.id, r.key_id, r.session_id, r.workspace, r.state, r.epoch, r.owner, r.lease_until, r.on_disconnect, ",
            $request,
            " AS request, r.last_seq, r.log_bytes, r.created_at, r.started_at, r.first_event_at, r.finished_at, \
             r.cli_version, r.result_seq, r.denials, r.error, r.isolation, r.cost_micros, r.reserved_micros, r.usage, \
             r.warnings, r.trace_context, r.answer_seq, r.events_expired FROM runs r "
        )
    };
}

/// Runs with all that was asked; to be followed by conditions.
pub(super) const SELECT: &str = concat!(columns!("q.request"), "JOIN run_requests q ON q.run_id = r.id");

/// Runs for a page of a list, to be followed by conditions: with the pictures that they were asked about a page would be some
/// hundred megabytes. Runs of earlier versions have no short form. What they were asked is shorter, and a long one is left
/// out.
const LISTED: &str = concat!(
    columns!(
        "COALESCE(o.options, (SELECT CASE WHEN LENGTH(q.request) <= 262144 THEN q.request END FROM run_requests q \
         WHERE q.run_id = r.id), '')"
    ),
    "LEFT JOIN run_options o ON o.run_id = r.id"
);

impl Store {
    /// A run.
    pub async fn run(&self, id: &str) -> Result<Option<RunRow>, StoreError> {
        let sql = format!("{SELECT} WHERE r.id = $1");
        let rows = self.rows(statement(self.backend(), &sql, [id.into()])).await?;
        read_first(&rows, RunRow::read)
    }

    /// The metadata of runs by the run's id, each run's sorted by name. A run without any is absent.
    pub async fn metadata(&self, runs: &[String]) -> Result<HashMap<String, Vec<(String, String)>>, StoreError> {
        let mut found: HashMap<_, Vec<_>> = HashMap::new();
        if runs.is_empty() {
            return Ok(found);
        }
        let places: Vec<_> = (1..=runs.len()).map(|place| format!("${place}")).collect();
        let sql = format!(
            "SELECT run_id, name, value FROM run_metadata WHERE run_id IN ({}) ORDER BY run_id, name",
            places.join(", ")
        );
        let values = runs.iter().map(|run| Value::from(run.as_str()));
        let rows = self.rows(Statement::from_sql_and_values(self.backend(), sql, values)).await?;
        let read = |row: &QueryResult| Ok((get(row, "run_id")?, get(row, "name")?, get(row, "value")?));
        for (run, name, value) in read_all(&rows, read)? {
            found.entry(run).or_default().push((name, value));
        }
        Ok(found)
    }
}

fn amount(row: &QueryResult, column: &str) -> Result<Option<u64>, DbErr> {
    Ok(get::<Option<i64>>(row, column)?.and_then(|micros| micros.try_into().ok()))
}

impl RunRow {
    pub(super) fn read(row: &QueryResult) -> Result<Self, DbErr> {
        Ok(Self {
            id: get(row, "id")?,
            key_id: get(row, "key_id")?,
            session_id: get(row, "session_id")?,
            workspace: get(row, "workspace")?,
            state: get(row, "state")?,
            epoch: get(row, "epoch")?,
            owner: get(row, "owner")?,
            lease_until: get(row, "lease_until")?,
            on_disconnect: get(row, "on_disconnect")?,
            request: get(row, "request")?,
            last_seq: get_number(row, "last_seq")?,
            log_bytes: get_number(row, "log_bytes")?,
            created_at: get(row, "created_at")?,
            started_at: get(row, "started_at")?,
            first_event_at: get(row, "first_event_at")?,
            finished_at: get(row, "finished_at")?,
            cli_version: get(row, "cli_version")?,
            result_seq: get::<Option<i64>>(row, "result_seq")?.and_then(|seq| seq.try_into().ok()),
            denials: get_number(row, "denials")?,
            error: get(row, "error")?,
            isolation: get(row, "isolation")?,
            cost_micros: amount(row, "cost_micros")?,
            reserved_micros: amount(row, "reserved_micros")?,
            usage: get(row, "usage")?,
            warnings: get(row, "warnings")?,
            trace_context: get(row, "trace_context")?,
            answer_seq: get::<Option<i64>>(row, "answer_seq")?.and_then(|seq| seq.try_into().ok()),
            events_expired: get::<i64>(row, "events_expired")? != 0,
        })
    }
}
