//! Reading sessions. Their rows are written with runs: see [`Submit`](super::submit::Submit) and
//! [`Append`](super::append::Append).

use sea_orm::{DbErr, QueryResult};

use super::Store;
use super::error::StoreError;
use super::sql::{get, get_number, read_first, statement};

/// A session as it is stored. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub key_id: String,
    /// The folder in which it began.
    pub workspace: Option<String>,
    /// Its runs that have ended, those that are no longer kept included.
    pub runs: u64,
    /// What these were charged, in millionths of a US dollar.
    pub cost_micros: u64,
    /// When its first run was submitted.
    pub created_at: i64,
    /// When a run of it was last submitted or ended.
    pub last_run_at: i64,
}

impl Store {
    /// A session.
    pub async fn session(&self, id: &str) -> Result<Option<SessionRow>, StoreError> {
        let sql =
            "SELECT id, key_id, workspace, runs, cost_micros, created_at, last_run_at FROM sessions WHERE id = $1";
        let rows = self.rows(statement(self.backend(), sql, [id.into()])).await?;
        read_first(&rows, read)
    }
}

fn read(row: &QueryResult) -> Result<SessionRow, DbErr> {
    Ok(SessionRow {
        id: get(row, "id")?,
        key_id: get(row, "key_id")?,
        workspace: get(row, "workspace")?,
        runs: get_number(row, "runs")?,
        cost_micros: get_number(row, "cost_micros")?,
        created_at: get(row, "created_at")?,
        last_run_at: get(row, "last_run_at")?,
    })
}
