//! Which runs need which uploads. A run that has ended needs none.

use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbBackend, DbErr, Value};

use super::super::sql::statement;
use super::THERE;

/// The uploads that a new run needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needed {
    /// Their ids.
    pub ids: Vec<String>,
    /// Whose they must be; `None`: anybody's.
    pub key_id: Option<String>,
}

/// The first of them that cannot be used. If all can, they cannot go before [`refer`] says that they are needed.
pub(in crate::store) async fn missing(
    tx: &DatabaseTransaction,
    needed: &Needed,
    now: i64,
) -> Result<Option<String>, DbErr> {
    let engine = tx.get_database_backend();
    let lock = if engine == DbBackend::Postgres { "FOR SHARE" } else { "" };
    let sql = format!(
        "SELECT 1 FROM uploads WHERE id = $1 AND is_complete = {THERE} AND expires_at > $2 \
         AND ($3 = '' OR key_id = $3) {lock}"
    );
    for id in ordered(needed) {
        let key = needed.key_id.as_deref().unwrap_or_default();
        let row = tx.query_one_raw(statement(engine, &sql, [id.into(), now.into(), key.into()])).await?;
        if row.is_none() {
            return Ok(Some(id.to_owned()));
        }
    }
    Ok(None)
}

/// The run needs them until its end.
pub(in crate::store) async fn refer(tx: &DatabaseTransaction, run_id: &str, needed: &Needed) -> Result<(), DbErr> {
    let sql = "INSERT INTO run_uploads (run_id, upload_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    for id in ordered(needed) {
        let values: [Value; 2] = [run_id.into(), id.into()];
        tx.execute_raw(statement(tx.get_database_backend(), sql, values)).await?;
    }
    Ok(())
}

/// The run needs none any more.
pub(in crate::store) async fn release(tx: &DatabaseTransaction, run_id: &str) -> Result<(), DbErr> {
    let sql = "DELETE FROM run_uploads WHERE run_id = $1";
    tx.execute_raw(statement(tx.get_database_backend(), sql, [run_id.into()])).await.map(|_| ())
}

/// Each once and in one order, so that two servers never wait for each other.
fn ordered(needed: &Needed) -> Vec<&str> {
    let mut ids: Vec<&str> = needed.ids.iter().map(String::as_str).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
