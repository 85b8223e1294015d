//! Secrets of runs that wait, sealed by whoever submits them. They go in the commit in which their run begins or ends.

use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbErr, Value};

use super::Store;
use super::error::StoreError;
use super::sql::{get, read_first, statement};

/// Keeps them for a run that is being stored.
pub(super) async fn keep(tx: &DatabaseTransaction, run_id: &str, sealed: &[u8]) -> Result<(), DbErr> {
    let sql = "INSERT INTO run_secrets (run_id, sealed) VALUES ($1, $2)";
    let values = [run_id.into(), Value::Bytes(Some(sealed.to_vec()))];
    tx.execute_raw(statement(tx.get_database_backend(), sql, values)).await.map(|_| ())
}

/// Forgets them.
pub(super) async fn forget(tx: &DatabaseTransaction, run_id: &str) -> Result<(), DbErr> {
    let sql = "DELETE FROM run_secrets WHERE run_id = $1";
    tx.execute_raw(statement(tx.get_database_backend(), sql, [run_id.into()])).await.map(|_| ())
}

impl Store {
    /// What is kept for a run that waits, as it was sealed.
    pub async fn run_secrets(&self, run_id: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT sealed FROM run_secrets WHERE run_id = $1";
        let rows = self.rows(statement(self.backend(), sql, [run_id.into()])).await?;
        read_first(&rows, |row| get(row, "sealed"))
    }
}
