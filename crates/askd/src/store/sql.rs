//! Statements that run on both engines: `$n` parameters and four types of column.

use sea_orm::{DbBackend, DbErr, QueryResult, Statement, TryGetable, Value};

use super::error::StoreError;

/// A statement with its values. Both engines read `$n`, so the backend only tells the driver which of its own encoders to
/// take.
pub(super) fn statement<const N: usize>(engine: DbBackend, sql: &str, values: [Value; N]) -> Statement {
    Statement::from_sql_and_values(engine, sql, values)
}

/// A number as the databases hold it. What does not fit stands at the largest: nothing here counts that far.
pub(super) fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// One column.
pub(super) fn get<T: TryGetable>(row: &QueryResult, column: &str) -> Result<T, DbErr> {
    row.try_get("", column)
}

/// A column that holds a number from 0.
pub(super) fn get_number(row: &QueryResult, column: &str) -> Result<u64, DbErr> {
    get::<i64>(row, column).map(|number| u64::try_from(number).unwrap_or(0))
}

/// The rows, read by `read`. A row that cannot be read is our mistake.
pub(super) fn read_all<T>(
    rows: &[QueryResult],
    read: impl Fn(&QueryResult) -> Result<T, DbErr>,
) -> Result<Vec<T>, StoreError> {
    rows.iter().map(read).collect::<Result<_, _>>().map_err(|error| StoreError::of(&error))
}

/// The first row, read by `read`.
pub(super) fn read_first<T>(
    rows: &[QueryResult],
    read: impl Fn(&QueryResult) -> Result<T, DbErr>,
) -> Result<Option<T>, StoreError> {
    rows.first().map(read).transpose().map_err(|error| StoreError::of(&error))
}

/// "Now" in milliseconds by the database's clock, the only one that several servers share.
pub(super) const PG_NOW: &str = "(EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::BIGINT";
