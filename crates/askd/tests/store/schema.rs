//! Databases of other versions: earlier ones are brought up to date, later ones are refused.
//!
//! `schemas` holds a database of each version with rows in it. After a new version of the schema: raise [`LAST`], and let
//! `ASKD_UPDATE_SCHEMAS=1 cargo test -p askd --test store schema` write the new files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use askd::store::audit::{AuditFilter, AuditRow};
use askd::store::config::{ChangeRow, Record, StoredContent};
use askd::store::keys::{Create, KeyRow};
use askd::store::runs::Filter;
use askd::store::{OpenError, Store};
use sea_orm::{ConnectionTrait as _, DbBackend, QueryResult, Statement};

use crate::both_engines;
use crate::place::{Place, append, events, finish, stored, submit};

/// The version of the schema that this askd writes.
const LAST: i64 = 6;

/// Every table, in an order in which they can be filled.
const TABLES: [&str; 23] = [
    "store",
    "runs",
    "run_requests",
    "run_options",
    "run_metadata",
    "event_chunks",
    "sessions",
    "idempotency",
    "stream_tokens",
    "config_contents",
    "config_content_files",
    "config_changes",
    "keys",
    "key_secrets",
    "audit",
    "budget_days",
    "usage_days",
    "usage_models",
    "usage_sessions",
    "uploads",
    "upload_parts",
    "run_uploads",
    "run_secrets",
];

both_engines! {
    every_earlier_schema_is_brought_up_to_date_with_its_rows,
    a_later_schema_is_refused,
    several_servers_may_open_a_new_database_at_once,
}

async fn every_earlier_schema_is_brought_up_to_date_with_its_rows(place: Place) {
    if std::env::vars_os().any(|(name, _)| name == "ASKD_UPDATE_SCHEMAS") {
        write_dump(&place).await;
    }
    for version in 1..=LAST {
        let place = if place.is_postgres() { Place::postgres().await } else { Place::sqlite() };
        let dump = std::fs::read_to_string(file(&place, version)).unwrap();
        let connection = place.connect().await;
        connection.execute_unprepared(&dump).await.unwrap();
        connection.close().await.unwrap();

        let store = place.open().await;
        assert_eq!(version_of(&place).await, LAST);
        let row = store.run("run_ended").await.unwrap().unwrap();
        assert_eq!(
            (row.state.as_str(), row.last_seq, row.request.as_str()),
            ("completed", 5, "{\"it\":\"is 'quoted'\"}")
        );
        assert_eq!(row.trace_context.is_some(), version >= 6);
        assert_eq!(events(&store, "run_ended").await[4], (5, "{\"number\":5}".to_owned()));
        let metadata = vec![("ticket".to_owned(), "A-7".to_owned())];
        let found = store.runs(&Filter { metadata, limit: 9, ..Filter::default() }).await.unwrap();
        assert_eq!(found, [row]);
        assert_eq!(store.session("session of run_ended").await.unwrap().unwrap().last_run_at, 9_000);
        stored(&store, append("run_waiting", 2, 3)).await;
        if version >= 3 {
            assert_eq!(store.config_change("cfg_1").await.unwrap().as_ref(), configuration().changes.first());
            assert_eq!(store.config_content("file").await.unwrap(), Some((3, vec![0, 1, 255])));
        }
        if version >= 4 {
            let (key, secrets) = store.key_with_secrets("key_1").await.unwrap().unwrap();
            assert_eq!((key, secrets.len()), (new_key().key, 1));
            let audit = store.audit(&AuditFilter { limit: 9, ..AuditFilter::default() }).await.unwrap();
            assert!(audit.contains(&new_key().audit), "{audit:?}");
        }
        store.close().await;
    }
}

async fn a_later_schema_is_refused(place: Place) {
    place.open().await.close().await;
    let connection = place.connect().await;
    connection.execute_unprepared("UPDATE store SET version = 1000, brought_by = '9.8.7'").await.unwrap();
    let error = Store::open(&place.settings, place.folder.path()).await.unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 1000, known: LAST, .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("was brought to schema version 1000 by askd 9.8.7, and this is askd "), "{text}");
    assert!(text.contains("install that askd or a later one; the only way back is the backup"), "{text}");
    let error = Store::version(&place.settings, place.folder.path()).await.unwrap_err();
    assert_eq!(error.to_string(), text, "whoever asks hears the same");
    // One that has done away with this column.
    connection.execute_unprepared("ALTER TABLE store DROP COLUMN brought_by").await.unwrap();
    let text = Store::open(&place.settings, place.folder.path()).await.unwrap_err().to_string();
    assert!(text.contains("by a later askd"), "{text}");
    connection.close().await.unwrap();
    assert_eq!(version_of(&place).await, 1000, "it was left as it is");
}

async fn several_servers_may_open_a_new_database_at_once(place: Place) {
    let opened = futures_util::future::join_all((0..4).map(|_| place.open())).await;
    assert_eq!(version_of(&place).await, LAST);
    for store in opened {
        store.close().await;
    }
}

async fn version_of(place: &Place) -> i64 {
    let connection = place.connect().await;
    let row = query(&connection, "SELECT version FROM store").await.remove(0);
    connection.close().await.unwrap();
    row.try_get_by_index(0).unwrap()
}

fn file(place: &Place, version: i64) -> PathBuf {
    let engine = if place.is_postgres() { "postgres" } else { "sqlite" };
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/store/schemas/{version:04}.{engine}.sql"))
}

/// A skill and its history.
fn configuration() -> Record {
    let content = |hash: &str, files: &[&str]| StoredContent {
        hash: hash.to_owned(),
        size: 3,
        bytes: vec![0, 1, 255],
        files: files.iter().map(|file| (*file).to_owned()).collect(),
    };
    let change = ChangeRow {
        id: "cfg_1".to_owned(),
        owner: "server_1".to_owned(),
        batch: None,
        workspace: String::new(),
        kind: "skills".to_owned(),
        name: "pdf".to_owned(),
        action: "created".to_owned(),
        state: "done".to_owned(),
        before: None,
        after: Some("manifest".to_owned()),
        key_id: Some("key_1".to_owned()),
        address: Some("127.0.0.1".to_owned()),
        request_id: Some("req_1".to_owned()),
        created_at: 1_000,
    };
    let contents = vec![content("manifest", &["file"]), content("file", &[])];
    Record { changes: vec![change], contents, now: 1_000 }
}

/// A key, and the word of it.
fn new_key() -> Create {
    let key = KeyRow {
        id: "key_1".to_owned(),
        name: "ci".to_owned(),
        scopes: "ask runs:read".to_owned(),
        policy: r#"{"models":["haiku"],"max_usd_per_run":0.1,"max_usd_per_day":1.5}"#.to_owned(),
        created_at: 1_000,
        created_by: "admin".to_owned(),
        expires_at: Some(9_000),
        revoked_at: None,
        last_used_at: None,
        last_used_address: None,
        replaced_until: None,
    };
    let audit = AuditRow {
        id: "aud_1".to_owned(),
        created_at: 1_000,
        key_id: Some("admin".to_owned()),
        address: Some("127.0.0.1".to_owned()),
        request_id: Some("req_1".to_owned()),
        action: "key.created".to_owned(),
        subject: Some("key_1".to_owned()),
        outcome: "done".to_owned(),
        detail: r#"{"name":"ci"}"#.to_owned(),
    };
    Create { key, hash: "hash".to_owned(), most: 9, audit }
}

/// Writes a database of the version that this askd knows.
async fn write_dump(place: &Place) {
    let store = place.open().await;
    let mut ended = submit("run_ended", 1_000);
    ended.metadata = vec![("ticket".into(), "A-7".into())];
    ended.run.request = "{\"it\":\"is 'quoted'\"}".into();
    store.write(ended).await.unwrap();
    stored(&store, append("run_ended", 2, 4)).await;
    stored(&store, finish("run_ended", 5, 9_000)).await;
    store.write(submit("run_waiting", 2_000)).await.unwrap();
    store.write(configuration()).await.unwrap();
    store.write(new_key()).await.unwrap();
    store.close().await;

    let connection = place.connect().await;
    for sql in [
        "INSERT INTO budget_days (key_id, day, spent_micros, reserved_micros) VALUES ('key_1', 20000, 250000, 100000)",
        "INSERT INTO usage_days (key_id, day, workspace, runs, cost_micros) VALUES ('key_1', 20000, 'shop', 3, 250000)",
    ] {
        connection.execute_unprepared(sql).await.unwrap();
    }
    let mut dump = format!("-- A database of schema version {LAST}, written by tests/store/schema.rs.\n");
    for sql in definitions(&connection).await {
        writeln!(dump, "{sql};").unwrap();
    }
    for table in TABLES {
        for row in rows(&connection, table).await {
            writeln!(dump, "{row};").unwrap();
        }
    }
    std::fs::write(file(place, LAST), dump).unwrap();
}

/// The statements that made the tables. PostgreSQL does not keep them, so they are put together from its catalogue.
async fn definitions(connection: &sea_orm::DatabaseConnection) -> Vec<String> {
    let postgres = "
        SELECT 'CREATE TABLE ' || c.relname || ' (' || (
                SELECT string_agg(a.attname || ' ' || format_type(a.atttypid, NULL)
                    || coalesce(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '')
                    || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END, ', ' ORDER BY a.attnum)
                FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
                WHERE a.attrelid = c.oid AND a.attnum > 0) || ')', 1 AS place
            FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
        UNION ALL
        SELECT 'ALTER TABLE ' || conrelid::regclass || ' ADD CONSTRAINT ' || conname || ' ' || pg_get_constraintdef(oid),
            CASE contype WHEN 'f' THEN 3 ELSE 2 END
            FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype IN ('p', 'c', 'f')
        UNION ALL
        SELECT indexdef, 4 FROM pg_indexes WHERE schemaname = 'public' AND indexname NOT IN (SELECT conname FROM pg_constraint)
        ORDER BY 2, 1";
    let sqlite = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type = 'index', rowid";
    let is_postgres = connection.get_database_backend() == DbBackend::Postgres;
    let rows = query(connection, if is_postgres { postgres } else { sqlite }).await;
    rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
}

/// A statement for each row, with every value quoted by the database itself.
async fn rows(connection: &sea_orm::DatabaseConnection, table: &str) -> Vec<String> {
    let is_postgres = connection.get_database_backend() == DbBackend::Postgres;
    let columns = if is_postgres {
        format!(
            "SELECT attname::text FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 ORDER BY attnum"
        )
    } else {
        format!("SELECT name FROM pragma_table_info('{table}')")
    };
    let quote = if is_postgres { "quote_nullable" } else { "quote" };
    let columns = query(connection, &columns).await;
    let quoted = columns.iter().map(|row| format!("{quote}({})", row.try_get_by_index::<String>(0).unwrap()));
    let sql = format!("SELECT {} FROM {table} ORDER BY 1", quoted.collect::<Vec<_>>().join(" || ', ' || "));
    let rows = query(connection, &sql).await;
    let values = rows.iter().map(|row| row.try_get_by_index::<String>(0).unwrap());
    values.map(|values| format!("INSERT INTO {table} VALUES ({values})")).collect()
}

async fn query(connection: &sea_orm::DatabaseConnection, sql: &str) -> Vec<QueryResult> {
    connection.query_all_raw(Statement::from_string(connection.get_database_backend(), sql)).await.unwrap()
}
