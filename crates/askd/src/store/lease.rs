//! A server's word that it still holds its runs.

use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbBackend, DbErr};

use super::sql::statement;
use super::submit::lease_sql;
use super::writer::Operation;

/// Extends the lease of every unfinished run of an owner, by the database's clock. Does nothing with SQLite, where a file
/// has one server.
#[derive(Clone, Debug)]
pub struct Renew {
    /// Whose runs.
    pub owner: String,
    /// From now on, in milliseconds.
    pub lease_ms: u64,
}

impl Operation for Renew {
    /// How many runs there are.
    type Output = u64;

    async fn apply(&mut self, tx: &DatabaseTransaction) -> Result<u64, DbErr> {
        let engine = tx.get_database_backend();
        if engine != DbBackend::Postgres {
            return Ok(0);
        }
        let lease = lease_sql(engine, self.lease_ms);
        let sql = format!("UPDATE runs SET lease_until = {lease} WHERE owner = $1 AND finished_at IS NULL");
        Ok(tx.execute_raw(statement(engine, &sql, [self.owner.as_str().into()])).await?.rows_affected())
    }
}
