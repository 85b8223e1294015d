//! Sums over what runs have used: by day, key, workspace, model or session, a page at a time.

use sea_orm::{DbErr, QueryResult, Statement, Value};

use super::super::Store;
use super::super::error::StoreError;
use super::super::sql::{get, get_number, number, read_all};
use super::Used;

/// By what is summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageBy {
    /// Days, the latest first.
    Day,
    /// Keys.
    Key,
    /// Workspaces.
    Workspace,
    /// Models.
    Model,
    /// Sessions that are kept.
    Session,
}

impl UsageBy {
    fn column(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Key => "key_id",
            Self::Workspace => "workspace",
            Self::Model => "model",
            Self::Session => "session_id",
        }
    }
}

/// What is summed up.
#[derive(Clone, Debug)]
pub struct UsageFilter {
    /// Of one key.
    pub key: Option<String>,
    /// Of one workspace; empty: of runs that work in none.
    pub workspace: Option<String>,
    /// Of one model; empty: what cannot be told of a model.
    pub model: Option<String>,
    /// Of one session.
    pub session: Option<String>,
    /// From this day on.
    pub first_day: i64,
    /// Up to this day, which counts.
    pub last_day: i64,
    /// How.
    pub by: UsageBy,
    /// Those that come after this [`UsageRow::name`].
    pub after: Option<String>,
    /// The most rows.
    pub limit: u64,
}

impl UsageFilter {
    /// Everything of these days.
    pub fn of_days(first_day: i64, last_day: i64, by: UsageBy, limit: u64) -> Self {
        Self { key: None, workspace: None, model: None, session: None, first_day, last_day, by, after: None, limit }
    }

    /// Whether runs are counted that have used a model, each in as many rows as it has used models.
    fn counts_models(&self) -> bool {
        self.by == UsageBy::Model || self.model.is_some()
    }

    fn statement(&self, engine: sea_orm::DbBackend) -> Statement {
        let mut values: Vec<Value> = vec![self.first_day.into(), self.last_day.into()];
        let mut conditions = "day >= $1 AND day <= $2".to_owned();
        let mut condition = |text: &str, value: Value| {
            values.push(value);
            conditions = format!("{conditions} AND {text} ${}", values.len());
        };
        for (column, wanted) in [
            ("key_id", &self.key),
            ("workspace", &self.workspace),
            ("model", &self.model),
            ("session_id", &self.session),
        ] {
            if let Some(wanted) = wanted {
                condition(&format!("{column} ="), wanted.as_str().into());
            }
        }
        let column = self.by.column();
        let (order, beyond) = if self.by == UsageBy::Day { ("DESC", "<") } else { ("ASC", ">") };
        if let Some(after) = &self.after {
            let after = match self.by {
                UsageBy::Day => after.parse::<i64>().unwrap_or(i64::MIN).into(),
                _ => after.as_str().into(),
            };
            condition(&format!("{column} {beyond}"), after);
        }
        let (runs, used) = if self.counts_models() { ("runs", " AND runs > 0") } else { ("ended", "") };
        let by_session = self.by == UsageBy::Session || self.session.is_some();
        let table = if by_session { "usage_sessions" } else { "usage_models" };
        let sum = |column: &str, name: &str| format!("CAST(SUM({column}) AS BIGINT) AS {name}");
        let sums = [
            sum(runs, "runs"),
            sum("input_tokens", "input_tokens"),
            sum("output_tokens", "output_tokens"),
            sum("cache_read_tokens", "cache_read"),
            sum("cache_write_tokens", "cache_write"),
            sum("web_searches", "web_searches"),
            sum("cost_micros", "cost"),
        ];
        let sql = format!(
            "SELECT CAST({column} AS TEXT) AS name, {} FROM {table} WHERE {conditions}{used} \
             GROUP BY {column} ORDER BY {column} {order} LIMIT {}",
            sums.join(", "),
            number(self.limit)
        );
        Statement::from_sql_and_values(engine, &sql, values)
    }
}

/// What runs have used together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRow {
    /// The number of the day, the key's id, the workspace, the model or the session's id. Runs that work in no workspace have
    /// an empty one, and what cannot be told of a model as well.
    pub name: String,
    /// Runs that have ended; by model, those that have used it.
    pub runs: u64,
    /// What they have used.
    pub used: Used,
}

impl Store {
    /// What runs have used that have ended.
    pub async fn usage(&self, filter: &UsageFilter) -> Result<Vec<UsageRow>, StoreError> {
        let rows = self.rows(filter.statement(self.backend())).await?;
        read_all(&rows, read)
    }
}

fn read(row: &QueryResult) -> Result<UsageRow, DbErr> {
    let used = Used {
        input_tokens: get_number(row, "input_tokens")?,
        output_tokens: get_number(row, "output_tokens")?,
        cache_read_input_tokens: get_number(row, "cache_read")?,
        cache_creation_input_tokens: get_number(row, "cache_write")?,
        web_search_requests: get_number(row, "web_searches")?,
        cost_micros: get_number(row, "cost")?,
    };
    Ok(UsageRow { name: get(row, "name")?, runs: get_number(row, "runs")?, used })
}

#[cfg(test)]
mod tests {
    use sea_orm::DbBackend;

    use super::*;
    use crate::settings::Settings;

    #[tokio::test]
    async fn sums_over_some_days_are_read_by_an_index() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Settings::for_testing(folder.path()).store, folder.path()).await.unwrap();
        let by = |by| UsageFilter::of_days(0, 9, by, 50);
        let of_key = |by| UsageFilter { key: Some("key_1".to_owned()), ..by };
        let of_session = |by| UsageFilter { session: Some("s".to_owned()), ..by };
        for (filter, index) in [
            (by(UsageBy::Session), "usage_sessions_by_day (day>? AND day<?)"),
            (of_key(by(UsageBy::Session)), "usage_sessions_by_key (key_id=? AND day>? AND day<?)"),
            (of_session(by(UsageBy::Model)), "sqlite_autoindex_usage_sessions_1 (session_id=?)"),
            (
                of_key(of_session(by(UsageBy::Model))),
                "sqlite_autoindex_usage_sessions_1 (session_id=? AND key_id=? AND day>? AND day<?)",
            ),
            (by(UsageBy::Day), "usage_models_by_day (day>? AND day<?)"),
            (of_key(by(UsageBy::Day)), "sqlite_autoindex_usage_models_1 (key_id=? AND day>? AND day<?)"),
            (of_key(by(UsageBy::Model)), "sqlite_autoindex_usage_models_1 (key_id=? AND day>? AND day<?)"),
        ] {
            let mut statement = filter.statement(DbBackend::Sqlite);
            statement.sql = format!("EXPLAIN QUERY PLAN {}", statement.sql);
            let rows = store.rows(statement).await.unwrap();
            let plan: Vec<String> = rows.iter().map(|row| get(row, "detail").unwrap()).collect();
            assert!(plan[0].starts_with("SEARCH") && plan[0].contains(index), "{filter:?}\n{plan:#?}");
        }
        store.close().await;
    }
}
