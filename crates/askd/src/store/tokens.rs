//! Tokens with which one run can be followed, by their hashes.

use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbErr};

use super::Store;
use super::error::StoreError;
use super::sql::{get, read_first, statement};
use super::writer::Operation;

/// Stores a token.
#[derive(Clone, Debug)]
pub struct Create {
    /// The token's hash.
    pub token_hash: String,
    /// The run that it shows.
    pub run_id: String,
    /// When it ends, in milliseconds since 1970.
    pub expires_at: i64,
}

impl Operation for Create {
    type Output = ();

    async fn apply(&mut self, tx: &DatabaseTransaction) -> Result<(), DbErr> {
        let sql = "INSERT INTO stream_tokens (token_hash, run_id, expires_at) VALUES ($1, $2, $3) \
            ON CONFLICT (token_hash) DO UPDATE SET expires_at = excluded.expires_at";
        let values = [self.token_hash.as_str().into(), self.run_id.as_str().into(), self.expires_at.into()];
        tx.execute_raw(statement(tx.get_database_backend(), sql, values)).await.map(|_| ())
    }
}

impl Store {
    /// The run that a token shows at this time.
    pub async fn run_of_token(&self, token_hash: &str, now: i64) -> Result<Option<String>, StoreError> {
        let sql = "SELECT run_id FROM stream_tokens WHERE token_hash = $1 AND expires_at > $2";
        let rows = self.rows(statement(self.backend(), sql, [token_hash.into(), now.into()])).await?;
        read_first(&rows, |row| get(row, "run_id"))
    }
}
