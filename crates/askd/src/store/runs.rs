//! Reading runs: one, or a page of a list.

use std::collections::HashMap;

use sea_orm::{DbErr, QueryResult, Statement, Value};

use super::Store;
use super::error::StoreError;
use super::sql::{get, get_number, number, read_all, read_first, statement};

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
    /// What was asked, JSON.
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
    /// Whether its events have been removed.
    pub events_expired: bool,
}

/// Which runs to list, the newest first. Everything that is given must hold; [`Default`] lists nothing, for its limit is
/// 0.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// In one of these states; empty: in any.
    pub states: Vec<String>,
    /// Of this session.
    pub session: Option<String>,
    /// Of this key.
    pub key: Option<String>,
    /// In this workspace.
    pub workspace: Option<String>,
    /// Submitted later than this.
    pub created_after: Option<i64>,
    /// Submitted earlier than this.
    pub created_before: Option<i64>,
    /// With each of these names and values.
    pub metadata: Vec<(String, String)>,
    /// Behind this run, the last of the page before: its `created_at` and its id.
    pub before: Option<(i64, String)>,
    /// How many.
    pub limit: u64,
}

/// Every column of [`RunRow`], to be followed by conditions.
pub(super) const SELECT: &str = "SELECT r.id, r.key_id, r.session_id, r.workspace, r.state, r.epoch, r.owner, \
    r.lease_until, r.on_disconnect, q.request, r.last_seq, r.log_bytes, r.created_at, r.started_at, r.first_event_at, \
    r.finished_at, r.cli_version, r.result_seq, r.denials, r.error, r.events_expired \
    FROM runs r JOIN run_requests q ON q.run_id = r.id";

impl Store {
    /// A run.
    pub async fn run(&self, id: &str) -> Result<Option<RunRow>, StoreError> {
        let sql = format!("{SELECT} WHERE r.id = $1");
        let rows = self.rows(statement(self.backend(), &sql, [id.into()])).await?;
        read_first(&rows, RunRow::read)
    }

    /// A page of runs, the newest first.
    pub async fn runs(&self, filter: &Filter) -> Result<Vec<RunRow>, StoreError> {
        let conditions = filter.conditions();
        let sql = format!("{SELECT} {} ORDER BY r.created_at DESC, r.id DESC LIMIT {}", conditions.sql(), filter.limit);
        let rows = self.rows(Statement::from_sql_and_values(self.backend(), sql, conditions.values)).await?;
        read_all(&rows, RunRow::read)
    }

    /// The metadata of runs by the run's id, each run's sorted by name. A run without any is absent.
    pub async fn metadata(&self, runs: &[String]) -> Result<HashMap<String, Vec<(String, String)>>, StoreError> {
        let mut found: HashMap<_, Vec<_>> = HashMap::new();
        if runs.is_empty() {
            return Ok(found);
        }
        let mut conditions = Conditions::default();
        conditions.is_one_of("run_id", runs);
        let sql = format!("SELECT run_id, name, value FROM run_metadata {} ORDER BY run_id, name", conditions.sql());
        let rows = self.rows(Statement::from_sql_and_values(self.backend(), sql, conditions.values)).await?;
        let read = |row: &QueryResult| Ok((get(row, "run_id")?, get(row, "name")?, get(row, "value")?));
        for (run, name, value) in read_all(&rows, read)? {
            found.entry(run).or_default().push((name, value));
        }
        Ok(found)
    }
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
            events_expired: get::<i64>(row, "events_expired")? != 0,
        })
    }
}

impl Filter {
    fn conditions(&self) -> Conditions {
        let mut conditions = Conditions::default();
        if !self.states.is_empty() {
            conditions.is_one_of("r.state", &self.states);
        }
        for (column, value) in [("session_id", &self.session), ("key_id", &self.key), ("workspace", &self.workspace)] {
            if let Some(value) = value {
                conditions.add(&format!("r.{column} = {{}}"), [value.as_str().into()]);
            }
        }
        if let Some(time) = self.created_after {
            conditions.add("r.created_at > {}", [time.into()]);
        }
        if let Some(time) = self.created_before {
            conditions.add("r.created_at < {}", [time.into()]);
        }
        for (name, value) in &self.metadata {
            let sql = "EXISTS (SELECT 1 FROM run_metadata m WHERE m.run_id = r.id AND m.name = {} AND m.value = {})";
            conditions.add(sql, [name.as_str().into(), value.as_str().into()]);
        }
        if let Some((time, id)) = &self.before {
            conditions.add("(r.created_at, r.id) < ({}, {})", [(*time).into(), id.as_str().into()]);
        }
        conditions
    }
}

/// Conditions that must all hold, with their values.
#[derive(Default)]
pub(super) struct Conditions {
    sql: Vec<String>,
    values: Vec<Value>,
}

impl Conditions {
    /// Each `{}` stands for the next value.
    fn add<const N: usize>(&mut self, sql: &str, values: [Value; N]) {
        let mut sql = sql.to_owned();
        for value in values {
            self.values.push(value);
            sql = sql.replacen("{}", &format!("${}", self.values.len()), 1);
        }
        self.sql.push(sql);
    }

    fn is_one_of(&mut self, column: &str, values: &[String]) {
        let first = number(self.values.len() as u64) + 1;
        let places: Vec<_> = (first..).take(values.len()).map(|place| format!("${place}")).collect();
        self.values.extend(values.iter().map(|value| Value::from(value.as_str())));
        self.sql.push(format!("{column} IN ({})", places.join(", ")));
    }

    fn sql(&self) -> String {
        if self.sql.is_empty() { String::new() } else { format!("WHERE {}", self.sql.join(" AND ")) }
    }
}
