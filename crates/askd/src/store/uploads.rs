//! Uploads: bytes that a key has sent for its runs to come.
//!
//! An upload's row comes first and claims the room; its bytes follow in parts, and it is there once it is complete. Whatever
//! is over, because its time has passed, its client went away or somebody has deleted it, goes part by part, and only when
//! no run that has not ended refers to it ([`Store::clear_uploads`]).

use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbBackend, DbErr, QueryResult, Statement, Value};

use super::Store;
use super::error::StoreError;
use super::sql::{get, get_number, number, read_all, read_first, statement};
use super::writer::Operation;

mod clear;
mod references;

pub use clear::Cleared;
pub(super) use clear::clear;
pub use references::Needed;
pub(super) use references::{missing, refer, release};

/// The most bytes in a part.
pub const PART: usize = 256 << 10;

/// What an upload takes up at least, of what a key and the server have for all of them: its rows are no bytes of it.
pub const LEAST: u64 = 64 << 10;

/// Its bytes are on their way.
const COMING: i64 = 0;
/// It can be used.
const THERE: i64 = 1;
/// It is over, and its parts go.
const GOING: i64 = 2;

/// An upload as it is stored. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadRow {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub key_id: String,
    /// Of what type its bytes are.
    pub media_type: String,
    /// What its sender calls it.
    pub name: Option<String>,
    /// Its bytes; as long as it is not complete, what is set aside for them.
    pub size: u64,
    /// The SHA-256 of its bytes, in hexadecimal digits; empty as long as it is not complete.
    pub sha256: String,
    /// When it was begun.
    pub created_at: i64,
    /// From when on it cannot be used, and goes.
    pub expires_at: i64,
}

/// Claims the room for an upload that is about to come.
#[derive(Clone, Debug)]
pub struct BeginUpload {
    /// The upload; its end is the time by which it must be complete.
    pub upload: UploadRow,
    /// How much all uploads of its key may take up, in bytes.
    pub most_of_key: u64,
    /// How much all uploads may take up, in bytes.
    pub most: u64,
}

/// Whether there was room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// Its parts may come.
    Room,
    /// Its key has too many.
    KeyFull {
        /// What they take up, in bytes.
        used: u64,
    },
    /// There are too many.
    Full,
}

/// So that of two servers which begin one at the same moment the second sees what the first has claimed; the number is any
/// that nobody else takes.
const LOCK: &str = "SELECT pg_advisory_xact_lock(7161516942)";

/// What uploads take up. All that it looks at is in the index `uploads_by_key`.
const USED: &str = "SELECT CAST(COALESCE(SUM(CASE WHEN size < $1 THEN $1 ELSE size END), 0) AS BIGINT) AS used \
    FROM uploads WHERE is_complete <> 2 AND id <> $2";

const INSERT: &str = "INSERT INTO uploads \
    (id, key_id, media_type, name, size, sha256, created_at, expires_at, is_complete) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (id) DO NOTHING";

impl Operation for BeginUpload {
    type Output = Begun;

    async fn apply(&mut self, tx: &DatabaseTransaction) -> Result<Begun, DbErr> {
        let (engine, upload) = (tx.get_database_backend(), &self.upload);
        if engine == DbBackend::Postgres {
            tx.execute_unprepared(LOCK).await?;
        }
        let wanted = upload.size.max(LEAST);
        let own = used(tx, Some(&upload.key_id), &upload.id).await?;
        if own.saturating_add(wanted) > self.most_of_key {
            return Ok(Begun::KeyFull { used: own });
        }
        if used(tx, None, &upload.id).await?.saturating_add(wanted) > self.most {
            return Ok(Begun::Full);
        }
        let values = [
            upload.id.as_str().into(),
            upload.key_id.as_str().into(),
            upload.media_type.as_str().into(),
            upload.name.clone().into(),
            number(upload.size).into(),
            upload.sha256.as_str().into(),
            upload.created_at.into(),
            upload.expires_at.into(),
            COMING.into(),
        ];
        tx.execute_raw(statement(engine, INSERT, values)).await?;
        Ok(Begun::Room)
    }

    fn takes_shared_rows(&self) -> bool {
        true
    }
}

/// What the uploads of a key, or of all keys, take up. One that is just being stored does not count: after a commit whose
/// answer was lost it is there already.
async fn used(tx: &DatabaseTransaction, key_id: Option<&str>, but: &str) -> Result<u64, DbErr> {
    let row = tx.query_one_raw(room(tx.get_database_backend(), key_id, but)).await?;
    row.map_or(Ok(0), |row| get_number(&row, "used"))
}

/// Two statements, so that for a key only its own are looked at.
fn room(engine: DbBackend, key_id: Option<&str>, but: &str) -> Statement {
    let mut values: Vec<Value> = vec![number(LEAST).into(), but.into()];
    let mut sql = USED.to_owned();
    if let Some(key) = key_id {
        values.push(key.into());
        sql.push_str(" AND key_id = $3");
    }
    Statement::from_sql_and_values(engine, &sql, values)
}

/// Stores the next part of an upload.
#[derive(Debug)]
pub struct AddPart {
    /// The upload.
    pub upload_id: String,
    /// The number of the part, from 0.
    pub part: u64,
    /// Its bytes: [`PART`] of them, fewer in the last one only.
    pub bytes: Vec<u8>,
}

impl Operation for AddPart {
    /// Whether the upload still comes; else nothing was stored.
    type Output = bool;

    async fn apply(&mut self, tx: &DatabaseTransaction) -> Result<bool, DbErr> {
        let engine = tx.get_database_backend();
        let id: Value = self.upload_id.as_str().into();
        let coming = "SELECT 1 FROM uploads WHERE id = $1 AND is_complete = $2";
        if tx.query_one_raw(statement(engine, coming, [id.clone(), COMING.into()])).await?.is_none() {
            return Ok(false);
        }
        let sql = "INSERT INTO upload_parts (upload_id, part, bytes) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        let values = [id, number(self.part).into(), Value::Bytes(Some(self.bytes.clone()))];
        tx.execute_raw(statement(engine, sql, values)).await.map(|_| true)
    }

    fn weight(&self) -> usize {
        self.bytes.len()
    }
}

/// Makes an upload usable, all of whose parts are stored.
#[derive(Clone, Debug)]
pub struct CompleteUpload {
    /// Which one.
    pub id: String,
    /// How many bytes it has.
    pub size: u64,
    /// Their SHA-256, in hexadecimal digits.
    pub sha256: String,
    /// From when on it cannot be used, and goes.
    pub expires_at: i64,
}

impl Operation for CompleteUpload {
    /// The upload; `None`: it has gone meanwhile.
    type Output = Option<UploadRow>;

    async fn apply(&mut self, tx: &DatabaseTransaction) -> Result<Option<UploadRow>, DbErr> {
        let engine = tx.get_database_backend();
        let sql = "UPDATE uploads SET size = $2, sha256 = $3, expires_at = $4, is_complete = $5 \
            WHERE id = $1 AND is_complete <> $6";
        let values = [
            self.id.as_str().into(),
            number(self.size).into(),
            self.sha256.as_str().into(),
            self.expires_at.into(),
            THERE.into(),
            GOING.into(),
        ];
        tx.execute_raw(statement(engine, sql, values)).await?;
        let sql = format!("{SELECT} WHERE id = $1 AND is_complete = {THERE}");
        let row = tx.query_one_raw(statement(engine, &sql, [self.id.as_str().into()])).await?;
        row.as_ref().map(UploadRow::read).transpose()
    }
}

/// Gives up an upload whose bytes come no more; its parts go with [`Store::clear_uploads`].
#[derive(Clone, Debug)]
pub struct AbandonUpload {
    /// Which one; it may also not be there.
    pub id: String,
}

impl Operation for AbandonUpload {
    type Output = ();

    async fn apply(&mut self, tx: &DatabaseTransaction) -> Result<(), DbErr> {
        let sql = "UPDATE uploads SET is_complete = $2, expires_at = 0 WHERE id = $1 AND is_complete = $3";
        let values = [self.id.as_str().into(), GOING.into(), COMING.into()];
        tx.execute_raw(statement(tx.get_database_backend(), sql, values)).await.map(|_| ())
    }
}

/// Deletes an upload; its parts go with [`Store::clear_uploads`].
#[derive(Clone, Debug)]
pub struct DeleteUpload {
    /// Which one.
    pub id: String,
    /// Whose it must be; `None`: anybody's.
    pub key_id: Option<String>,
    /// One that cannot be used any more is none.
    pub now: i64,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone.
    Done,
    /// A run that has not ended refers to it, and it stays.
    InUse,
    /// There is none.
    Unknown,
}

impl Operation for DeleteUpload {
    type Output = Deleted;

    async fn apply(&mut self, tx: &DatabaseTransaction) -> Result<Deleted, DbErr> {
        let engine = tx.get_database_backend();
        // Nobody refers to it from now on; who has done so before is seen by the next statement.
        let sql =
            format!("{SELECT} WHERE id = $1 AND is_complete = {THERE} AND expires_at > $2 {}", for_update(engine));
        let row = tx.query_one_raw(statement(engine, &sql, [self.id.as_str().into(), self.now.into()])).await?;
        let Some(upload) = row.as_ref().map(UploadRow::read).transpose()? else { return Ok(Deleted::Unknown) };
        if self.key_id.as_ref().is_some_and(|key| *key != upload.key_id) {
            return Ok(Deleted::Unknown);
        }
        if clear::end(tx, &self.id).await? { Ok(Deleted::Done) } else { Ok(Deleted::InUse) }
    }
}

/// What keeps others from a row until the end of the transaction. SQLite has one writer anyway.
fn for_update(engine: DbBackend) -> &'static str {
    if engine == DbBackend::Postgres { "FOR UPDATE" } else { "" }
}

const SELECT: &str = "SELECT id, key_id, media_type, name, size, sha256, created_at, expires_at FROM uploads";

/// Which uploads to list, the newest first.
#[derive(Clone, Debug, Default)]
pub struct UploadFilter {
    /// Of one key.
    pub key_id: Option<String>,
    /// Those that come after this one, by its time and id.
    pub before: Option<(i64, String)>,
    /// Those that can no longer be used are left out.
    pub now: i64,
    /// The most rows.
    pub limit: u64,
}

impl UploadFilter {
    fn statement(&self, engine: DbBackend) -> Statement {
        let mut values: Vec<Value> = vec![self.now.into()];
        // The sum keeps SQLite from the index of the ends: few of those that are there are over, and it would have to sort.
        let mut sql = format!("{SELECT} WHERE is_complete = {THERE} AND expires_at + 0 > $1");
        if let Some(key) = &self.key_id {
            values.push(key.as_str().into());
            sql = format!("{sql} AND key_id = ${}", values.len());
        }
        if let Some((created_at, id)) = &self.before {
            values.extend([(*created_at).into(), id.as_str().into()]);
            sql = format!("{sql} AND (created_at, id) < (${}, ${})", values.len() - 1, values.len());
        }
        let sql = format!("{sql} ORDER BY created_at DESC, id DESC LIMIT {}", number(self.limit));
        Statement::from_sql_and_values(engine, &sql, values)
    }
}

impl Store {
    /// An upload that can be used.
    pub async fn upload(&self, id: &str, now: i64) -> Result<Option<UploadRow>, StoreError> {
        let sql = format!("{SELECT} WHERE id = $1 AND is_complete = {THERE} AND expires_at > $2");
        let rows = self.rows(statement(self.backend(), &sql, [id.into(), now.into()])).await?;
        read_first(&rows, UploadRow::read)
    }

    /// An upload that is kept, also when its time is over: a run may refer to it.
    pub async fn kept_upload(&self, id: &str) -> Result<Option<UploadRow>, StoreError> {
        let sql = format!("{SELECT} WHERE id = $1 AND is_complete = {THERE}");
        let rows = self.rows(statement(self.backend(), &sql, [id.into()])).await?;
        read_first(&rows, UploadRow::read)
    }

    /// Uploads that can be used.
    pub async fn uploads(&self, filter: &UploadFilter) -> Result<Vec<UploadRow>, StoreError> {
        let rows = self.rows(filter.statement(self.backend())).await?;
        read_all(&rows, UploadRow::read)
    }

    /// A part of an upload; `None` behind the last one.
    pub async fn upload_part(&self, id: &str, part: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT bytes FROM upload_parts WHERE upload_id = $1 AND part = $2";
        let rows = self.rows(statement(self.backend(), sql, [id.into(), number(part).into()])).await?;
        read_first(&rows, |row| get(row, "bytes"))
    }
}

impl UploadRow {
    fn read(row: &QueryResult) -> Result<Self, DbErr> {
        Ok(Self {
            id: get(row, "id")?,
            key_id: get(row, "key_id")?,
            media_type: get(row, "media_type")?,
            name: get(row, "name")?,
            size: get_number(row, "size")?,
            sha256: get(row, "sha256")?,
            created_at: get(row, "created_at")?,
            expires_at: get(row, "expires_at")?,
        })
    }
}

#[cfg(test)]
mod tests;
