//! Who did what. Rows are added and, when they are old, removed; nothing changes one.
//!
//! Changes of the configuration have rows of their own ([`super::config`]); a list shows both, in one order.

use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbBackend, DbErr, QueryResult, Statement, Value};
use serde_json::json;

use super::Store;
use super::error::StoreError;
use super::sql::{get, read_all, statement};
use super::writer::Operation;

/// What a change of the configuration is called in a list.
pub const CONFIG_CHANGED: &str = "config.changed";

/// What was done, or was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Its id: `aud_…`, or `cfg_…` for a change of the configuration.
    pub id: String,
    /// When, in milliseconds since 1970.
    pub created_at: i64,
    /// Who asked for it; `None`: somebody without a key that counts, or on the disk.
    pub key_id: Option<String>,
    /// From where, as far as it is known.
    pub address: Option<String>,
    /// In which request.
    pub request_id: Option<String>,
    /// What: `key.created`.
    pub action: String,
    /// What it was done to: the id of a key or of a run, a document, a route.
    pub subject: Option<String>,
    /// `done` or `denied`.
    pub outcome: String,
    /// More about it, a JSON object.
    pub detail: String,
}

/// Which rows to list, the newest first. Everything that is given must hold; [`Default`] lists nothing, for its limit is
/// 0.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Of this key.
    pub key: Option<String>,
    /// Of this action.
    pub action: Option<String>,
    /// Done to this, or refused for a path with this in it.
    pub subject: Option<String>,
    /// `done` or `denied`.
    pub outcome: Option<String>,
    /// Later than this, in milliseconds since 1970.
    pub after: Option<i64>,
    /// Earlier than this.
    pub before: Option<i64>,
    /// Behind this row, the last of the page before: its `created_at` and its id.
    pub page: Option<(i64, String)>,
    /// How many.
    pub limit: u64,
}

/// Adds a row.
#[derive(Clone, Debug)]
pub struct Insert(pub AuditRow);

impl Operation for Insert {
    type Output = ();

    async fn apply(&mut self, tx: &DatabaseTransaction) -> Result<(), DbErr> {
        insert(tx, &self.0).await
    }

    fn weight(&self) -> usize {
        self.0.detail.len()
    }
}

/// Adds a row, in the commit of what it tells of. A row that is there already, after a commit whose answer was lost, stays.
pub(super) async fn insert(tx: &DatabaseTransaction, row: &AuditRow) -> Result<(), DbErr> {
    let sql = "INSERT INTO audit (id, created_at, key_id, address, request_id, action, subject, outcome, detail) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (id) DO NOTHING";
    let optional = |text: &Option<String>| Value::from(text.as_deref());
    let values = [
        row.id.as_str().into(),
        row.created_at.into(),
        optional(&row.key_id),
        optional(&row.address),
        optional(&row.request_id),
        row.action.as_str().into(),
        optional(&row.subject),
        row.outcome.as_str().into(),
        row.detail.as_str().into(),
    ];
    tx.execute_raw(statement(tx.get_database_backend(), sql, values)).await.map(|_| ())
}

impl Store {
    /// A page of what was done, the newest first. Changes of the configuration that are pending, or that did not happen,
    /// are not among it.
    pub async fn audit(&self, filter: &AuditFilter) -> Result<Vec<AuditRow>, StoreError> {
        let rows = self.rows(filter.statement(self.backend())).await?;
        read_all(&rows, read)
    }
}

/// Columns that both tables have.
const COMMON: &str = "id, created_at, key_id, address, request_id";
const AUDIT: &str = "action, subject, outcome, detail, NULL AS workspace, NULL AS kind, NULL AS name, NULL AS batch \
    FROM audit";
const CONFIG: &str = "action, NULL AS subject, 'done' AS outcome, NULL AS detail, workspace, kind, name, batch \
    FROM config_changes";
/// What [`of_config`] makes of it.
const CONFIG_SUBJECT: &str = "kind || CASE WHEN name = '' THEN '' ELSE '/' || name END \
    || CASE WHEN workspace = '' THEN '' ELSE ' in ' || workspace END";
const ORDER: &str = "ORDER BY created_at DESC, id DESC LIMIT";

impl AuditFilter {
    /// A page of each table, of which the newest are taken: an index gives each.
    fn statement(&self, engine: DbBackend) -> Statement {
        let (mut conditions, mut values) = (Vec::new(), Vec::<Value>::new());
        let mut add = |sql: &str, value: Value| {
            values.push(value);
            conditions.push(format!("{sql} ${}", values.len()));
        };
        if let Some(key) = &self.key {
            add("key_id =", key.as_str().into());
        }
        if let Some(time) = self.after {
            add("created_at >", time.into());
        }
        if let Some(time) = self.before {
            add("created_at <", time.into());
        }
        if let Some((time, id)) = &self.page {
            values.extend([(*time).into(), id.as_str().into()]);
            conditions.push(format!("(created_at, id) < (${}, ${})", values.len() - 1, values.len()));
        }
        let mut of_audit = Vec::new();
        let mut of_changes = vec!["state = 'done'".to_owned()];
        if let Some(subject) = &self.subject {
            values.push(subject.as_str().into());
            let exact = values.len();
            of_changes.push(format!("{CONFIG_SUBJECT} = ${exact}"));
            // A value that stands in no statement is refused.
            if self.action.as_deref() != Some(CONFIG_CHANGED) {
                values.push(format!("%/{}%", escaped(subject)).into());
                of_audit.push(format!("(subject = ${exact} OR subject LIKE ${} ESCAPE '!')", values.len()));
            }
        }
        if let Some(outcome) = &self.outcome {
            values.push(outcome.as_str().into());
            of_audit.push(format!("outcome = ${}", values.len()));
            // Of these nothing is noted that was refused.
            of_changes.push(format!("${} = 'done'", values.len()));
        }
        let page = |table: &str, more: &[String]| {
            let conditions: Vec<_> = conditions.iter().chain(more).map(String::as_str).collect();
            let conditions =
                if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
            format!("SELECT * FROM (SELECT {COMMON}, {table} {conditions} {ORDER} {}) page", self.limit)
        };
        let pages = match self.action.as_deref() {
            Some(CONFIG_CHANGED) => page(CONFIG, &of_changes),
            Some(action) => {
                values.push(action.into());
                of_audit.push(format!("action = ${}", values.len()));
                page(AUDIT, &of_audit)
            }
            None => format!("{} UNION ALL {}", page(AUDIT, &of_audit), page(CONFIG, &of_changes)),
        };
        let sql = format!("SELECT * FROM ({pages}) rows_of_both {ORDER} {}", self.limit);
        Statement::from_sql_and_values(engine, sql, values)
    }
}

/// A text in a pattern of `LIKE` that stands for itself.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '!' | '%' | '_') {
            escaped.push('!');
        }
        escaped.push(c);
    }
    escaped
}

fn read(row: &QueryResult) -> Result<AuditRow, DbErr> {
    let kind: Option<String> = get(row, "kind")?;
    let (action, subject, detail) = match kind {
        None => (get(row, "action")?, get(row, "subject")?, get(row, "detail")?),
        Some(kind) => of_config(row, &kind)?,
    };
    Ok(AuditRow {
        id: get(row, "id")?,
        created_at: get(row, "created_at")?,
        key_id: get(row, "key_id")?,
        address: get(row, "address")?,
        request_id: get(row, "request_id")?,
        action,
        subject,
        outcome: get(row, "outcome")?,
        detail,
    })
}

/// Action, subject and detail of a change of the configuration.
fn of_config(row: &QueryResult, kind: &str) -> Result<(String, Option<String>, String), DbErr> {
    let present = |column| get::<String>(row, column).map(|text| Some(text).filter(|text| !text.is_empty()));
    let (workspace, name) = (present("workspace")?, present("name")?);
    let document = name.as_ref().map_or_else(|| kind.to_owned(), |name| format!("{kind}/{name}"));
    let subject = match &workspace {
        None => document,
        Some(workspace) => format!("{document} in {workspace}"),
    };
    let (change, batch) = (get::<String>(row, "action")?, get::<Option<String>>(row, "batch")?);
    let detail = json!({"change": change, "workspace": workspace, "kind": kind, "name": name, "batch": batch});
    Ok((CONFIG_CHANGED.to_owned(), Some(subject), detail.to_string()))
}
