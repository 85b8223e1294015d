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
    /// The key that made it; it counts no longer than that.
    pub key_id: String,
    /// When it ends, in milliseconds since 1970.
    pub expires_at: i64,
}

impl Operation for Create {
    type Output = ();

    async fn apply(&mut self, tx: &DatabaseTransaction) -> Result<(), DbErr> {
        let sql = "INSERT INTO stream_tokens (token_hash, run_id, key_id, expires_at) VALUES ($1, $2, $3, $4) \
            ON CONFLICT (token_hash) DO UPDATE SET expires_at = excluded.expires_at";
        let [token_hash, run_id, key_id] =
            [&self.token_hash, &self.run_id, &self.key_id].map(|text| sea_orm::Value::from(text.as_str()));
        let values = [token_hash, run_id, key_id, self.expires_at.into()];
        tx.execute_raw(statement(tx.get_database_backend(), sql, values)).await.map(|_| ())
    }
}

/// Takes all tokens back that a key has made.
#[derive(Clone, Debug)]
pub struct ForgetOf {
    /// The key.
    pub key_id: String,
}

impl Operation for ForgetOf {
    type Output = ();

    async fn apply(&mut self, tx: &DatabaseTransaction) -> Result<(), DbErr> {
        let sql = "DELETE FROM stream_tokens WHERE key_id = $1 OR (key_id IS NULL AND $1 = $2)";
        let values = [self.key_id.as_str().into(), OF_THE_ONLY_KEY.into()];
        tx.execute_raw(statement(tx.get_database_backend(), sql, values)).await.map(|_| ())
    }
}

/// Whose the tokens are that an askd without further keys has made.
const OF_THE_ONLY_KEY: &str = "admin";

impl Store {
    /// The run that a token shows at this time, and the key that made it. Whether that key still counts is for the caller
    /// to see.
    pub async fn run_of_token(&self, token_hash: &str, now: i64) -> Result<Option<(String, String)>, StoreError> {
        let sql = "SELECT run_id, key_id FROM stream_tokens WHERE token_hash = $1 AND expires_at > $2";
        let rows = self.rows(statement(self.backend(), sql, [token_hash.into(), now.into()])).await?;
        read_first(&rows, |row| {
            let key_id: Option<String> = get(row, "key_id")?;
            Ok((get(row, "run_id")?, key_id.unwrap_or_else(|| OF_THE_ONLY_KEY.to_owned())))
        })
    }
}
