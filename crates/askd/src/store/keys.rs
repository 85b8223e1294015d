//! API keys and the hashes of their secrets.
//!
//! A key has one secret that is current (without an end) and at most one that it has replaced, which counts a while longer.
//! What changes a key stores the word of it, for the audit, in the same commit.

use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbBackend, DbErr, QueryResult, Statement, Value};

use super::Store;
use super::audit::{AuditRow, insert};
use super::error::StoreError;
use super::sql::{get, number, read_all, read_first, statement};
use super::writer::Operation;

/// A key as it is stored. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it may do, words with a space in between.
    pub scopes: String,
    /// What its runs are held to, JSON.
    pub policy: String,
    /// When it was made.
    pub created_at: i64,
    /// By which key.
    pub created_by: String,
    /// From when on it counts no more.
    pub expires_at: Option<i64>,
    /// Since when it counts no more.
    pub revoked_at: Option<i64>,
    /// When it was last used.
    pub last_used_at: Option<i64>,
    /// From where.
    pub last_used_address: Option<String>,
    /// From when on the secret counts no more that its current one has replaced; `None`: none is left of it.
    pub replaced_until: Option<i64>,
}

/// A key's secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretRow {
    /// The SHA-256 of the secret, in hexadecimal digits.
    pub hash: String,
    /// From when on it counts no more; `None`: it is the current one.
    pub expires_at: Option<i64>,
}

/// Stores a new key with its first secret.
#[derive(Clone, Debug)]
pub struct Create {
    /// The key.
    pub key: KeyRow,
    /// The hash of its secret.
    pub hash: String,
    /// As many keys as there may be.
    pub most: u64,
    /// The word of it.
    pub audit: AuditRow,
}

impl Operation for Create {
    /// Whether there was room.
    type Output = bool;

    async fn apply(&mut self, tx: &DatabaseTransaction) -> Result<bool, DbErr> {
        let (engine, key) = (tx.get_database_backend(), &self.key);
        // Two servers that make the last one at the same moment make one too many, which harms nobody.
        let sql = "INSERT INTO keys (id, name, scopes, policy, created_at, created_by, expires_at) \
            SELECT $1, $2, $3, $4, CAST($5 AS BIGINT), $6, CAST($7 AS BIGINT) WHERE (SELECT COUNT(*) FROM keys) < $8 \
            ON CONFLICT (id) DO NOTHING";
        let values = [
            key.id.as_str().into(),
            key.name.as_str().into(),
            key.scopes.as_str().into(),
            key.policy.as_str().into(),
            key.created_at.into(),
            key.created_by.as_str().into(),
            key.expires_at.into(),
            number(self.most).into(),
        ];
        let made = tx.execute_raw(statement(engine, sql, values)).await?.rows_affected() == 1;
        // After a commit whose answer was lost it is there already.
        if !made && look(tx, &key.id).await?.is_none() {
            return Ok(false);
        }
        add_secret(tx, &key.id, &self.hash, key.created_at).await?;
        insert(tx, &self.audit).await?;
        Ok(true)
    }
}

/// What became of a change of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// The key, as it is now.
    Done(Box<KeyRow>),
    /// It is revoked, and stays as it is.
    Revoked,
    /// It is not as it was seen, and stays as it is.
    Otherwise,
    /// There is none.
    Unknown,
}

/// Changes parts of a key that is not revoked. `None` stays as it is.
#[derive(Clone, Debug)]
pub struct Update {
    /// Which one.
    pub id: String,
    /// Only if what can be changed of it is as it was seen here.
    pub seen: Option<KeyRow>,
    /// What people call it.
    pub name: Option<String>,
    /// What it may do.
    pub scopes: Option<String>,
    /// What its runs are held to.
    pub policy: Option<String>,
    /// From when on it counts no more; `Some(None)`: never.
    pub expires_at: Option<Option<i64>>,
    /// The word of it.
    pub audit: AuditRow,
}

impl Operation for Update {
    type Output = Changed;

    async fn apply(&mut self, tx: &DatabaseTransaction) -> Result<Changed, DbErr> {
        let sql = "UPDATE keys SET name = COALESCE($2, name), scopes = COALESCE($3, scopes), \
            policy = COALESCE($4, policy), expires_at = CASE WHEN $5 = 1 THEN $6 ELSE expires_at END \
            WHERE id = $1 AND revoked_at IS NULL AND ($7 = 0 OR (name = $8 AND scopes = $9 AND policy = $10 \
            AND COALESCE(expires_at, -1) = $11))";
        let (engine, seen) = (tx.get_database_backend(), self.seen.as_ref());
        let optional = |text: &Option<String>| Value::from(text.as_deref());
        let values = [
            self.id.as_str().into(),
            optional(&self.name),
            optional(&self.scopes),
            optional(&self.policy),
            i64::from(self.expires_at.is_some()).into(),
            self.expires_at.flatten().into(),
            i64::from(seen.is_some()).into(),
            seen.map_or("", |seen| &seen.name).into(),
            seen.map_or("", |seen| &seen.scopes).into(),
            seen.map_or("", |seen| &seen.policy).into(),
            seen.and_then(|seen| seen.expires_at).unwrap_or(-1).into(),
        ];
        if tx.execute_raw(statement(engine, sql, values)).await?.rows_affected() == 1 {
            insert(tx, &self.audit).await?;
            return changed(tx, &self.id).await;
        }
        let now = changed(tx, &self.id).await?;
        if !matches!(now, Changed::Done(_)) {
            return Ok(now);
        }
        // After a commit whose answer was lost it is no longer as it was seen, by this very change.
        let again = statement(engine, "SELECT 1 FROM audit WHERE id = $1", [self.audit.id.as_str().into()]);
        Ok(if tx.query_one_raw(again).await?.is_some() { now } else { Changed::Otherwise })
    }

    fn takes_shared_rows(&self) -> bool {
        true
    }
}

/// Gives a key that is not revoked a new secret. The current one counts a while longer, and the one before it no more.
#[derive(Clone, Debug)]
pub struct Rotate {
    /// Which one.
    pub id: String,
    /// The hash of the new secret.
    pub hash: String,
    /// Now.
    pub now: i64,
    /// Until when the current one counts; what is not later than `now` ends it at once.
    pub until: i64,
    /// The word of it.
    pub audit: AuditRow,
}

impl Operation for Rotate {
    type Output = Changed;

    async fn apply(&mut self, tx: &DatabaseTransaction) -> Result<Changed, DbErr> {
        let engine = tx.get_database_backend();
        let id = || Value::from(self.id.as_str());
        // Its row first: of two rotations at the same moment one waits for the other.
        let lock = "UPDATE keys SET id = id WHERE id = $1 AND revoked_at IS NULL";
        let there = tx.execute_raw(statement(engine, lock, [id()])).await?.rows_affected() == 1;
        let known = "SELECT hash FROM key_secrets WHERE key_id = $1 AND hash = $2";
        // After a commit whose answer was lost it is the current one already, and must not end itself.
        let again = tx.query_one_raw(statement(engine, known, [id(), self.hash.as_str().into()])).await?.is_some();
        if there && !again {
            let before = "DELETE FROM key_secrets WHERE key_id = $1 AND expires_at IS NOT NULL";
            tx.execute_raw(statement(engine, before, [id()])).await?;
            if self.until > self.now {
                let sql = "UPDATE key_secrets SET expires_at = $2 WHERE key_id = $1";
                tx.execute_raw(statement(engine, sql, [id(), self.until.into()])).await?;
            } else {
                tx.execute_raw(statement(engine, "DELETE FROM key_secrets WHERE key_id = $1", [id()])).await?;
            }
            add_secret(tx, &self.id, &self.hash, self.now).await?;
            insert(tx, &self.audit).await?;
        }
        changed(tx, &self.id).await
    }

    fn takes_shared_rows(&self) -> bool {
        true
    }
}

/// Revokes a key. What was revoked before stays as it is, without a further word.
#[derive(Clone, Debug)]
pub struct Revoke {
    /// Which one.
    pub id: String,
    /// Now.
    pub now: i64,
    /// The word of it.
    pub audit: AuditRow,
}

impl Operation for Revoke {
    /// The key; `None`: there is none.
    type Output = Option<KeyRow>;

    async fn apply(&mut self, tx: &DatabaseTransaction) -> Result<Option<KeyRow>, DbErr> {
        let sql = "UPDATE keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
        let values = [self.id.as_str().into(), self.now.into()];
        if tx.execute_raw(statement(tx.get_database_backend(), sql, values)).await?.rows_affected() == 1 {
            insert(tx, &self.audit).await?;
        }
        look(tx, &self.id).await
    }

    fn takes_shared_rows(&self) -> bool {
        true
    }
}

/// When and from where a key was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// Which one.
    pub id: String,
    /// When.
    pub at: i64,
    /// From where.
    pub address: Option<String>,
}

/// Notes when keys were last used. What is noted already and is later stays.
#[derive(Clone, Debug)]
pub struct NoteUses(pub Vec<Use>);

impl Operation for NoteUses {
    type Output = ();

    async fn apply(&mut self, tx: &DatabaseTransaction) -> Result<(), DbErr> {
        // In one order, so that two servers never wait for each other.
        self.0.sort_by(|one, other| one.id.cmp(&other.id));
        // A key that another server is changing is passed over: whoever changes it may wait for one that this has taken.
        let free = match tx.get_database_backend() {
            DbBackend::Postgres => " AND id = (SELECT id FROM keys WHERE id = $1 FOR UPDATE SKIP LOCKED)",
            _ => "",
        };
        let sql = format!(
            "UPDATE keys SET last_used_at = $2, last_used_address = $3 \
             WHERE id = $1 AND (last_used_at IS NULL OR last_used_at <= $2){free}"
        );
        for used in &self.0 {
            let values = [used.id.as_str().into(), used.at.into(), used.address.as_deref().into()];
            tx.execute_raw(statement(tx.get_database_backend(), &sql, values)).await?;
        }
        Ok(())
    }

    fn takes_shared_rows(&self) -> bool {
        true
    }
}

const SELECT: &str = "SELECT k.id, k.name, k.scopes, k.policy, k.created_at, k.created_by, k.expires_at, k.revoked_at, \
    k.last_used_at, k.last_used_address, \
    (SELECT MAX(o.expires_at) FROM key_secrets o WHERE o.key_id = k.id) AS replaced_until";

impl Store {
    /// A key with its secrets, those that count no more included.
    pub async fn key_with_secrets(&self, id: &str) -> Result<Option<(KeyRow, Vec<SecretRow>)>, StoreError> {
        let sql = format!(
            "{SELECT}, s.hash AS secret_hash, s.expires_at AS secret_expires_at \
             FROM keys k JOIN key_secrets s ON s.key_id = k.id WHERE k.id = $1"
        );
        let rows = self.rows(statement(self.backend(), &sql, [id.into()])).await?;
        let Some(key) = read_first(&rows, KeyRow::read)? else { return Ok(None) };
        let secrets = read_all(&rows, |row| {
            Ok(SecretRow { hash: get(row, "secret_hash")?, expires_at: get(row, "secret_expires_at")? })
        })?;
        Ok(Some((key, secrets)))
    }

    /// A key.
    pub async fn key(&self, id: &str) -> Result<Option<KeyRow>, StoreError> {
        let rows = self.rows(of_id(self.backend(), id)).await?;
        read_first(&rows, KeyRow::read)
    }

    /// A page of keys, the newest first. `before` is the last one of the page before: its `created_at` and its id.
    pub async fn keys(&self, before: Option<(i64, String)>, limit: u64) -> Result<Vec<KeyRow>, StoreError> {
        let (condition, values) = match before {
            None => ("", Vec::new()),
            Some((time, id)) => ("WHERE (k.created_at, k.id) < ($1, $2)", vec![time.into(), id.into()]),
        };
        let sql = format!("{SELECT} FROM keys k {condition} ORDER BY k.created_at DESC, k.id DESC LIMIT {limit}");
        let rows = self.rows(Statement::from_sql_and_values(self.backend(), sql, values)).await?;
        read_all(&rows, KeyRow::read)
    }
}

fn of_id(engine: DbBackend, id: &str) -> Statement {
    statement(engine, &format!("{SELECT} FROM keys k WHERE k.id = $1"), [id.into()])
}

async fn look(tx: &DatabaseTransaction, id: &str) -> Result<Option<KeyRow>, DbErr> {
    let row = tx.query_one_raw(of_id(tx.get_database_backend(), id)).await?;
    row.as_ref().map(KeyRow::read).transpose()
}

/// What became of a change, by what is there after it.
async fn changed(tx: &DatabaseTransaction, id: &str) -> Result<Changed, DbErr> {
    Ok(match look(tx, id).await? {
        None => Changed::Unknown,
        Some(key) if key.revoked_at.is_some() => Changed::Revoked,
        Some(key) => Changed::Done(Box::new(key)),
    })
}

async fn add_secret(tx: &DatabaseTransaction, id: &str, hash: &str, now: i64) -> Result<(), DbErr> {
    let sql = "INSERT INTO key_secrets (key_id, hash, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    let values = [id.into(), hash.into(), now.into()];
    tx.execute_raw(statement(tx.get_database_backend(), sql, values)).await.map(|_| ())
}

impl KeyRow {
    fn read(row: &QueryResult) -> Result<Self, DbErr> {
        Ok(Self {
            id: get(row, "id")?,
            name: get(row, "name")?,
            scopes: get(row, "scopes")?,
            policy: get(row, "policy")?,
            created_at: get(row, "created_at")?,
            created_by: get(row, "created_by")?,
            expires_at: get(row, "expires_at")?,
            revoked_at: get(row, "revoked_at")?,
            last_used_at: get(row, "last_used_at")?,
            last_used_address: get(row, "last_used_address")?,
            replaced_until: get(row, "replaced_until")?,
        })
    }
}
