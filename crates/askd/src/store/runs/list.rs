//! Pages of runs, the newest first. Whatever is asked for, an index gives it: nobody's list reads every run.

use sea_orm::{DbBackend, Statement, Value};

use super::super::Store;
use super::super::error::StoreError;
use super::super::sql::read_all;
use super::{LISTED, RunRow};

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

impl Store {
    /// A page of runs, the newest first. [`RunRow::request`] is short.
    pub async fn runs(&self, filter: &Filter) -> Result<Vec<RunRow>, StoreError> {
        let rows = self.rows(filter.statement(self.backend())).await?;
        read_all(&rows, RunRow::read)
    }
}

const ORDER: &str = "ORDER BY r.created_at DESC, r.id DESC LIMIT";

impl Filter {
    /// The page's ids come first: what was asked is long and shall not be sorted with more runs than are wanted. With
    /// several states it is a page of each, of which the newest are taken: no index has them together. All in one
    /// statement, so that a run that goes from one state to the other meanwhile is neither missed nor there twice.
    fn statement(&self, engine: DbBackend) -> Statement {
        let (mut conditions, limit) = (self.conditions(), self.limit);
        let page =
            |conditions: String| format!("SELECT id FROM (SELECT r.id FROM runs r {conditions} {ORDER} {limit}) page");
        let mut pages: Vec<_> = self.states.iter().map(|state| page(conditions.with("r.state = {}", state))).collect();
        if pages.is_empty() {
            pages.push(page(conditions.sql()));
        }
        let sql = format!("{LISTED} WHERE r.id IN ({}) {ORDER} {limit}", pages.join(" UNION ALL "));
        Statement::from_sql_and_values(engine, sql, conditions.values)
    }

    /// All but the states.
    fn conditions(&self) -> Conditions {
        let mut conditions = Conditions::default();
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
            let sql = "r.id IN (SELECT run_id FROM run_metadata WHERE name = {} AND value = {})";
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
struct Conditions {
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

    fn sql(&self) -> String {
        if self.sql.is_empty() { String::new() } else { format!("WHERE {}", self.sql.join(" AND ")) }
    }

    /// All of them and one more, for this time only; its value stays.
    fn with(&mut self, sql: &str, value: &str) -> String {
        self.add(sql, [value.into()]);
        let all = self.sql();
        self.sql.pop();
        all
    }
}

#[cfg(test)]
mod tests;
