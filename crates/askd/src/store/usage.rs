//! What runs have used, by model: in the row of the run, and summed up by day and by session.
//!
//! A run is counted in the transaction that stores its end ([`super::budget`]), in three places that never differ:
//! `usage_days`, `usage_models` and `usage_sessions`, and its session's own totals. What a run is charged beyond what its models
//! are known to have cost belongs to no model, whose name is '' here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbErr, Statement, Value};
use serde::{Deserialize, Serialize};

use super::sql::number;

pub mod sums;

/// What was used of one model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Used {
    /// Tokens that were neither read from a cache nor written to one.
    pub input_tokens: u64,
    /// Tokens that the model wrote.
    pub output_tokens: u64,
    /// Tokens that came from a cache.
    pub cache_read_input_tokens: u64,
    /// Tokens that went into a cache.
    pub cache_creation_input_tokens: u64,
    /// Searches of the web.
    pub web_search_requests: u64,
    /// In millionths of a US dollar, by the CLI's estimate.
    pub cost_micros: u64,
}

impl Used {
    /// Field by field.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            cache_read_input_tokens: self.cache_read_input_tokens.saturating_add(other.cache_read_input_tokens),
            cache_creation_input_tokens: self
                .cache_creation_input_tokens
                .saturating_add(other.cache_creation_input_tokens),
            web_search_requests: self.web_search_requests.saturating_add(other.web_search_requests),
            cost_micros: self.cost_micros.saturating_add(other.cost_micros),
        }
    }
}

/// What a run has used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Whether it is all: while the run works it is not, and it never is where nobody said what a call has cost.
    pub complete: bool,
    /// By the name of the model.
    pub models: BTreeMap<String, Used>,
}

impl Usage {
    /// As the row of the run has it.
    pub fn to_json(&self) -> String {
        // Texts and numbers always serialise.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// From the row; what cannot be read is nothing.
    pub fn from_json(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// All models together.
    pub fn sum(&self) -> Used {
        self.models.values().fold(Used::default(), |sum, used| sum.plus(*used))
    }
}

/// What was counted for a run that has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Whose it was.
    pub key_id: String,
    /// What it has used by model; '' for what belongs to none. Their costs are what it was charged.
    pub models: BTreeMap<String, Used>,
    /// When it had its turn, in milliseconds since 1970; `None`: never.
    pub started_at: Option<i64>,
}

/// Where it is noted. Whoever appends the end of a run keeps a clone, and finds it there after the commit. It is noted before
/// that, and stays when the answer to a commit was lost and the same is tried again: what is stored then was counted the first
/// time.
#[derive(Clone, Debug, Default)]
pub struct Receipt(Arc<Mutex<Option<Settled>>>);

impl Receipt {
    pub(super) fn note(&self, settled: Option<Settled>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = settled;
    }

    /// What was counted. To be asked once the end is stored; the second time there is nothing.
    pub fn take(&self) -> Option<Settled> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A run that has ended, as it is counted.
pub(super) struct Counted<'a> {
    pub(super) session: &'a str,
    pub(super) key: &'a str,
    pub(super) day: i64,
    pub(super) workspace: &'a str,
    /// What it was charged; not less than its models have cost.
    pub(super) charged: u64,
    pub(super) usage: &'a Usage,
}

const DAYS: &str = "INSERT INTO usage_days (key_id, day, workspace, runs, cost_micros) VALUES ($1, $2, $3, 1, $4) \
    ON CONFLICT (key_id, day, workspace) DO UPDATE SET runs = usage_days.runs + 1, \
    cost_micros = usage_days.cost_micros + excluded.cost_micros";

const SESSION: &str = "UPDATE sessions SET runs = runs + 1, cost_micros = cost_micros + $2 WHERE id = $1";

/// The columns that are counted up, in the order of [`Counted::rows`].
const COLUMNS: [&str; 8] = [
    "ended",
    "runs",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "web_searches",
    "cost_micros",
];

/// Adds a row, or its numbers to those of the row that is there.
fn add_to(table: &str, place: &[&str]) -> String {
    let names: Vec<_> = place.iter().chain(&COLUMNS).copied().collect();
    let values: Vec<_> = (1..=names.len()).map(|at| format!("${at}")).collect();
    let sums: Vec<_> =
        COLUMNS.iter().map(|column| format!("{column} = {table}.{column} + excluded.{column}")).collect();
    format!(
        "INSERT INTO {table} ({}) VALUES ({}) ON CONFLICT ({}) DO UPDATE SET {}",
        names.join(", "),
        values.join(", "),
        place.join(", "),
        sums.join(", ")
    )
}

/// Counts a run, whose rows come in the order of [`super::writer::Operation::takes_shared_rows`], and models by name.
pub(super) async fn count(tx: &DatabaseTransaction, run: &Counted<'_>) -> Result<(), DbErr> {
    let execute = async |sql: &str, values: Vec<Value>| {
        tx.execute_raw(Statement::from_sql_and_values(tx.get_database_backend(), sql, values)).await.map(|_| ())
    };
    let place = || -> Vec<Value> { vec![run.key.into(), run.day.into(), run.workspace.into()] };
    execute(DAYS, [place(), vec![number(run.charged).into()]].concat()).await?;
    let (rows, models) = (run.rows(), add_to("usage_models", &["key_id", "day", "workspace", "model"]));
    for (model, numbers) in &rows {
        execute(&models, [place(), vec![model.as_str().into()], numbers.clone()].concat()).await?;
    }
    execute(SESSION, vec![run.session.into(), number(run.charged).into()]).await?;
    let sessions = add_to("usage_sessions", &["session_id", "key_id", "day", "workspace", "model"]);
    for (model, numbers) in rows {
        execute(&sessions, [vec![run.session.into()], place(), vec![model.into()], numbers].concat()).await?;
    }
    Ok(())
}

impl Counted<'_> {
    /// What of each model it has used, with what belongs to none.
    pub(super) fn models(&self) -> BTreeMap<String, Used> {
        let mut models = self.usage.models.clone();
        let rest = self.charged.saturating_sub(self.usage.sum().cost_micros);
        if rest > 0 {
            let unknown = models.entry(String::new()).or_default();
            unknown.cost_micros = unknown.cost_micros.saturating_add(rest);
        }
        models
    }

    /// Its models with their numbers. The first has the run itself, also if it has used none.
    fn rows(&self) -> Vec<(String, Vec<Value>)> {
        let mut models = self.models();
        let has_used = u64::from(!models.is_empty());
        if models.is_empty() {
            models.insert(String::new(), Used::default());
        }
        let row = |(at, (model, used)): (usize, (String, Used))| {
            let numbers = [
                u64::from(at == 0),
                has_used,
                used.input_tokens,
                used.output_tokens,
                used.cache_read_input_tokens,
                used.cache_creation_input_tokens,
                used.web_search_requests,
                used.cost_micros,
            ];
            (model, numbers.map(|it| number(it).into()).to_vec())
        };
        models.into_iter().enumerate().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(cost_micros: u64) -> Used {
        Used { input_tokens: 1, cost_micros, ..Used::default() }
    }

    fn counted(usage: &Usage, charged: u64) -> Vec<(String, i64, i64, i64)> {
        let run = Counted { session: "s", key: "k", day: 1, workspace: "", charged, usage };
        let at = |numbers: &[Value], at: usize| match numbers[at] {
            Value::BigInt(Some(number)) => number,
            _ => panic!("{numbers:?}"),
        };
        let rows = run.rows().into_iter();
        rows.map(|(model, numbers)| (model, at(&numbers, 0), at(&numbers, 1), at(&numbers, 7))).collect()
    }

    #[test]
    fn a_run_is_counted_once_and_its_charge_belongs_to_its_models_or_to_none() {
        let models = BTreeMap::from([("large".to_owned(), used(5)), ("small".to_owned(), used(2))]);
        let usage = Usage { complete: true, models };
        assert_eq!(counted(&usage, 7), [("large".into(), 1, 1, 5), ("small".into(), 0, 1, 2)]);
        assert_eq!(
            counted(&usage, 9),
            [(String::new(), 1, 1, 2), ("large".into(), 0, 1, 5), ("small".into(), 0, 1, 2)]
        );
        assert_eq!(counted(&Usage::default(), 3), [(String::new(), 1, 1, 3)]);
        assert_eq!(counted(&Usage::default(), 0), [(String::new(), 1, 0, 0)]);
    }

    #[test]
    fn usage_is_read_as_it_was_written_and_what_cannot_be_read_is_nothing() {
        let usage = Usage { complete: true, models: BTreeMap::from([("large".to_owned(), used(5))]) };
        assert_eq!(Usage::from_json(&usage.to_json()), usage);
        assert_eq!(Usage::from_json("{"), Usage::default());
    }

    #[test]
    fn the_numbers_of_a_row_are_added_to_those_that_are_there() {
        insta::assert_snapshot!(add_to("t", &["a", "b"]), @"INSERT INTO t (a, b, ended, runs, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, web_searches, cost_micros) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (a, b) DO UPDATE SET ended = t.ended + excluded.ended, runs = t.runs + excluded.runs, input_tokens = t.input_tokens + excluded.input_tokens, output_tokens = t.output_tokens + excluded.output_tokens, cache_read_tokens = t.cache_read_tokens + excluded.cache_read_tokens, cache_write_tokens = t.cache_write_tokens + excluded.cache_write_tokens, web_searches = t.web_searches + excluded.web_searches, cost_micros = t.cost_micros + excluded.cost_micros");
    }
}
