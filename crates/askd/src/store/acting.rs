//! Who changes something must still be allowed to when the change is committed, not only when it was asked for.

use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbErr};

use super::sql::statement;
use super::writer::Operation;

/// An operation of somebody with a key that was made, done only while that key counts and has a scope.
#[derive(Clone, Debug)]
pub struct By<O> {
    /// Whose key.
    pub key: String,
    /// The word of the scope.
    pub scope: &'static str,
    /// Now, in milliseconds since 1970.
    pub now: i64,
    /// What is done.
    pub operation: O,
}

impl<O: Operation> Operation for By<O> {
    /// `None`: the key counts no more, and nothing was done.
    type Output = Option<O::Output>;

    async fn apply(&mut self, tx: &DatabaseTransaction) -> Result<Option<O::Output>, DbErr> {
        // Its row is held until the commit, so that no revocation comes between.
        let sql = "UPDATE keys SET id = id WHERE id = $1 AND revoked_at IS NULL \
            AND (expires_at IS NULL OR expires_at > $2) AND ' ' || scopes || ' ' LIKE '% ' || $3 || ' %'";
        let values = [self.key.as_str().into(), self.now.into(), self.scope.into()];
        if tx.execute_raw(statement(tx.get_database_backend(), sql, values)).await?.rows_affected() == 0 {
            return Ok(None);
        }
        self.operation.apply(tx).await.map(Some)
    }

    fn weight(&self) -> usize {
        self.operation.weight()
    }

    fn takes_shared_rows(&self) -> bool {
        true
    }
}
