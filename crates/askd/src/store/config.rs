//! The history of the CLI's configuration: changes, and the contents that they left.
//!
//! A change is stored before it is made (`pending`) together with the content that it will leave, and marked afterwards.
//! Whoever finds a pending one later compares hashes with the disk. Contents are kept once, under their SHA-256, however
//! many changes left them; a skill's is a manifest, which needs the contents of its files.

use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbErr, QueryResult, Statement, Value};

use super::Store;
use super::error::StoreError;
use super::sql::{get, number, read_all, read_first, statement};
use super::writer::Operation;

/// A change as it is stored. Texts that there are not (a workspace, a name) are empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeRow {
    /// Its id; later ones are greater.
    pub id: String,
    /// The server that makes it.
    pub owner: String,
    /// What it belongs together with.
    pub batch: Option<String>,
    /// The workspace.
    pub workspace: String,
    /// The document's kind.
    pub kind: String,
    /// The document's name.
    pub name: String,
    /// What is done.
    pub action: String,
    /// `pending`, `done` or `abandoned`.
    pub state: String,
    /// The hash of what was there.
    pub before: Option<String>,
    /// The hash of what is there then.
    pub after: Option<String>,
    /// Who asked for it.
    pub key_id: Option<String>,
    /// From where.
    pub address: Option<String>,
    /// In which request.
    pub request_id: Option<String>,
    /// When, in milliseconds since 1970.
    pub created_at: i64,
}

/// A content under its hash.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredContent {
    /// The SHA-256 of the bytes as they are before compression, in hexadecimal digits.
    pub hash: String,
    /// How many bytes that is.
    pub size: u64,
    /// Compressed with zstd.
    pub bytes: Vec<u8>,
    /// The hashes of the contents that it needs: those of a skill's files.
    pub files: Vec<String>,
}

impl std::fmt::Debug for StoredContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({} bytes)", self.hash, self.size)
    }
}

/// Stores changes with the contents that they leave, all in one commit.
#[derive(Clone, Debug)]
pub struct Record {
    /// The changes.
    pub changes: Vec<ChangeRow>,
    /// The contents that their `after` names, and those of files. What is stored already costs nothing.
    pub contents: Vec<StoredContent>,
    /// Now, in milliseconds since 1970.
    pub now: i64,
}

impl Operation for Record {
    type Output = ();

    async fn apply(&mut self, tx: &DatabaseTransaction) -> Result<(), DbErr> {
        let engine = tx.get_database_backend();
        // The time is written even if the content is there: whoever removes what nobody needs must see that it is needed.
        let content = "INSERT INTO config_contents (hash, size, bytes, used_at) VALUES ($1, $2, $3, $4) \
            ON CONFLICT (hash) DO UPDATE SET used_at = excluded.used_at";
        // In one order, so that two servers never wait for each other.
        self.contents.sort_by(|one, other| one.hash.cmp(&other.hash));
        for stored in &self.contents {
            let bytes = Value::Bytes(Some(stored.bytes.clone()));
            let values = [stored.hash.as_str().into(), number(stored.size).into(), bytes, self.now.into()];
            tx.execute_raw(statement(engine, content, values)).await?;
        }
        let file = "INSERT INTO config_content_files (manifest, file) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        for stored in &self.contents {
            for needed in &stored.files {
                tx.execute_raw(statement(engine, file, [stored.hash.as_str().into(), needed.as_str().into()])).await?;
            }
        }
        for change in &self.changes {
            tx.execute_raw(change.insert(engine)).await?;
        }
        Ok(())
    }

    fn weight(&self) -> usize {
        self.contents.iter().map(|content| content.bytes.len()).sum()
    }
}

/// Says what became of pending changes.
#[derive(Clone, Debug)]
pub struct Settle {
    /// Which ones. Those that are settled already stay as they are.
    pub ids: Vec<String>,
    /// `done` or `abandoned`.
    pub state: &'static str,
}

impl Operation for Settle {
    /// How many were pending.
    type Output = u64;

    async fn apply(&mut self, tx: &DatabaseTransaction) -> Result<u64, DbErr> {
        let sql = "UPDATE config_changes SET state = $2, is_kept = CASE WHEN $2 = 'done' THEN is_kept ELSE 0 END \
            WHERE id = $1 AND state = 'pending'";
        let mut settled = 0;
        for id in &self.ids {
            let values = [id.as_str().into(), self.state.into()];
            settled += tx.execute_raw(statement(tx.get_database_backend(), sql, values)).await?.rows_affected();
        }
        Ok(settled)
    }
}

/// Which changes to list, the newest first. Everything that is given must hold; [`Default`] lists nothing, for its limit
/// is 0.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this workspace; empty: of none.
    pub workspace: Option<String>,
    /// Of this kind and name.
    pub document: Option<(String, String)>,
    /// Older than this one.
    pub before: Option<String>,
    /// How many.
    pub limit: u64,
}

const SELECT: &str = "SELECT id, owner, batch, workspace, kind, name, action, state, before_hash, after_hash, key_id, \
    address, request_id, created_at FROM config_changes";

/// Changes that one look for pending ones brings.
const PAGE: u64 = 5_000;

/// More servers than work on one document at the same moment.
const RECENT: u64 = 32;

impl Store {
    /// A page of changes, the newest first.
    pub async fn config_changes(&self, filter: &Filter) -> Result<Vec<ChangeRow>, StoreError> {
        let (mut conditions, mut values) = (Vec::new(), Vec::new());
        let mut add = |sql: &str, value: &str| {
            values.push(Value::from(value));
            conditions.push(format!("{sql} ${}", values.len()));
        };
        if let Some(workspace) = &filter.workspace {
            add("workspace =", workspace);
        }
        if let Some((kind, name)) = &filter.document {
            add("kind =", kind);
            add("name =", name);
        }
        if let Some(before) = &filter.before {
            add("id <", before);
        }
        let conditions =
            if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
        let sql = format!("{SELECT} {conditions} ORDER BY id DESC LIMIT {}", filter.limit);
        let rows = self.rows(Statement::from_sql_and_values(self.backend(), sql, values)).await?;
        read_all(&rows, ChangeRow::read)
    }

    /// A change.
    pub async fn config_change(&self, id: &str) -> Result<Option<ChangeRow>, StoreError> {
        let rows = self.rows(statement(self.backend(), &format!("{SELECT} WHERE id = $1"), [id.into()])).await?;
        read_first(&rows, ChangeRow::read)
    }

    /// The last change of each document of a workspace (empty: of none) that was made or may have been.
    pub async fn newest_config_changes(&self, workspace: &str) -> Result<Vec<ChangeRow>, StoreError> {
        let sql = format!(
            "{SELECT} WHERE id IN (SELECT MAX(id) FROM config_changes WHERE workspace = $1 AND state <> 'abandoned' \
             GROUP BY kind, name)"
        );
        let rows = self.rows(statement(self.backend(), &sql, [workspace.into()])).await?;
        read_all(&rows, ChangeRow::read)
    }

    /// The last changes of one document that were made or may have been, the newest first.
    pub async fn recent_config_changes(
        &self,
        workspace: &str,
        kind: &str,
        name: &str,
    ) -> Result<Vec<ChangeRow>, StoreError> {
        let sql = format!(
            "{SELECT} WHERE workspace = $1 AND kind = $2 AND name = $3 AND state <> 'abandoned' ORDER BY id DESC LIMIT {RECENT}"
        );
        let rows = self.rows(statement(self.backend(), &sql, [workspace.into(), kind.into(), name.into()])).await?;
        read_all(&rows, ChangeRow::read)
    }

    /// The last change of one document that was made or may have been.
    pub async fn newest_config_change(
        &self,
        workspace: &str,
        kind: &str,
        name: &str,
    ) -> Result<Option<ChangeRow>, StoreError> {
        let sql = format!(
            "{SELECT} WHERE workspace = $1 AND kind = $2 AND name = $3 AND state <> 'abandoned' ORDER BY id DESC LIMIT 1"
        );
        let rows = self.rows(statement(self.backend(), &sql, [workspace.into(), kind.into(), name.into()])).await?;
        read_first(&rows, ChangeRow::read)
    }

    /// Changes of which nobody has said what became of them, the oldest first: those of this owner and, in a database of
    /// several servers, those that are older than `older`. With SQLite all are this owner's.
    pub async fn pending_config_changes(&self, owner: &str, older: i64) -> Result<Vec<ChangeRow>, StoreError> {
        let all = i64::from(!self.is_shared());
        let sql = format!(
            "{SELECT} WHERE state = 'pending' AND ($3 = 1 OR owner = $1 OR created_at < $2) ORDER BY id LIMIT {PAGE}"
        );
        let rows = self.rows(statement(self.backend(), &sql, [owner.into(), older.into(), all.into()])).await?;
        read_all(&rows, ChangeRow::read)
    }

    /// A content's bytes, compressed, and how many there are uncompressed.
    pub async fn config_content(&self, hash: &str) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let sql = "SELECT size, bytes FROM config_contents WHERE hash = $1";
        let rows = self.rows(statement(self.backend(), sql, [hash.into()])).await?;
        read_first(&rows, |row| Ok((super::sql::get_number(row, "size")?, get(row, "bytes")?)))
    }
}

impl ChangeRow {
    fn insert(&self, engine: sea_orm::DbBackend) -> Statement {
        let sql = "INSERT INTO config_changes (id, owner, batch, workspace, kind, name, action, state, before_hash, \
            after_hash, is_kept, key_id, address, request_id, created_at) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT (id) DO NOTHING";
        let text = |text: &str| Value::from(text);
        let optional = |text: &Option<String>| Value::from(text.as_deref());
        let values = [
            text(&self.id),
            text(&self.owner),
            optional(&self.batch),
            text(&self.workspace),
            text(&self.kind),
            text(&self.name),
            text(&self.action),
            text(&self.state),
            optional(&self.before),
            optional(&self.after),
            i64::from(self.after.is_some()).into(),
            optional(&self.key_id),
            optional(&self.address),
            optional(&self.request_id),
            self.created_at.into(),
        ];
        statement(engine, sql, values)
    }

    fn read(row: &QueryResult) -> Result<Self, DbErr> {
        Ok(Self {
            id: get(row, "id")?,
            owner: get(row, "owner")?,
            batch: get(row, "batch")?,
            workspace: get(row, "workspace")?,
            kind: get(row, "kind")?,
            name: get(row, "name")?,
            action: get(row, "action")?,
            state: get(row, "state")?,
            before: get(row, "before_hash")?,
            after: get(row, "after_hash")?,
            key_id: get(row, "key_id")?,
            address: get(row, "address")?,
            request_id: get(row, "request_id")?,
            created_at: get(row, "created_at")?,
        })
    }
}
