//! Uploads that are over go, some parts at a time.

use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbBackend, DbErr};

use super::super::Store;
use super::super::error::StoreError;
use super::super::sql::{get, number, statement};
use super::super::writer::Operation;
use super::GOING;

/// Uploads that one step looks at.
const UPLOADS: u64 = 20;

/// Parts that one step removes: up to 8 MiB, whose pages have to be written.
const PARTS: u64 = 32;

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Uploads.
    pub uploads: u64,
    /// Parts of uploads.
    pub parts: u64,
}

impl Store {
    /// Removes every upload whose end is not after `now`, unless a run that has not ended refers to it.
    pub async fn clear_uploads(&self, now: i64) -> Result<Cleared, StoreError> {
        let mut cleared = Cleared::default();
        loop {
            let step = self.write(Clear { now }).await?;
            if step == Cleared::default() {
                return Ok(cleared);
            }
            cleared.uploads += step.uploads;
            cleared.parts += step.parts;
        }
    }
}

/// One step.
struct Clear {
    now: i64,
}

impl Operation for Clear {
    type Output = Cleared;

    async fn apply(&mut self, tx: &DatabaseTransaction) -> Result<Cleared, DbErr> {
        clear(tx, self.now).await
    }

    fn takes_shared_rows(&self) -> bool {
        true
    }
}

/// Removes some parts of uploads whose end is not after `now`, and the uploads of which none is left.
pub(in crate::store) async fn clear(tx: &DatabaseTransaction, now: i64) -> Result<Cleared, DbErr> {
    let engine = tx.get_database_backend();
    // What another server is at is left to it.
    let lock = if engine == DbBackend::Postgres { "FOR UPDATE SKIP LOCKED" } else { "" };
    let sql = format!(
        "SELECT u.id FROM uploads u WHERE u.expires_at <= $1 \
         AND NOT EXISTS (SELECT 1 FROM run_uploads r WHERE r.upload_id = u.id) \
         ORDER BY u.expires_at, u.id LIMIT {UPLOADS} {lock}"
    );
    let rows = tx.query_all_raw(statement(engine, &sql, [now.into()])).await?;
    let mut cleared = Cleared::default();
    for row in rows {
        let id: String = get(&row, "id")?;
        // A run may have been submitted with it between the look and the lock.
        if !end(tx, &id).await? {
            continue;
        }
        let sql = "DELETE FROM upload_parts WHERE upload_id = $1 AND part IN \
            (SELECT part FROM upload_parts WHERE upload_id = $1 ORDER BY part LIMIT $2)";
        let room = PARTS - cleared.parts;
        let values = [id.as_str().into(), number(room).into()];
        let removed = tx.execute_raw(statement(engine, sql, values)).await?.rows_affected();
        cleared.parts += removed;
        if removed == room {
            // There may be more of it.
            break;
        }
        tx.execute_raw(statement(engine, "DELETE FROM uploads WHERE id = $1", [id.into()])).await?;
        cleared.uploads += 1;
    }
    Ok(cleared)
}

/// Makes an upload unusable, unless a run refers to it; `false`: one does. Its row must be locked.
pub(super) async fn end(tx: &DatabaseTransaction, id: &str) -> Result<bool, DbErr> {
    let sql = "UPDATE uploads SET is_complete = $2, expires_at = 0 WHERE id = $1 \
        AND NOT EXISTS (SELECT 1 FROM run_uploads r WHERE r.upload_id = $1)";
    let values = [id.into(), GOING.into()];
    Ok(tx.execute_raw(statement(tx.get_database_backend(), sql, values)).await?.rows_affected() == 1)
}
