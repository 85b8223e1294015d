//! How SQLite goes about uploads.

use super::*;
use crate::settings::Settings;

/// What SQLite says it does for a statement.
async fn plan(store: &Store, mut statement: Statement) -> String {
    statement.sql = format!("EXPLAIN QUERY PLAN {}", statement.sql);
    let rows = store.rows(statement).await.unwrap();
    let lines: Vec<String> = rows.iter().map(|row| get(row, "detail").unwrap()).collect();
    lines.join("\n")
}

#[tokio::test]
async fn room_and_lists_are_read_by_an_index_and_nothing_is_sorted() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&Settings::for_testing(folder.path()).store, folder.path()).await.unwrap();
    let of_key = |key_id: Option<&str>| UploadFilter { key_id: key_id.map(Into::into), limit: 9, ..Default::default() };
    let next = |filter| UploadFilter { before: Some((1, "upl_1".to_owned())), ..filter };
    let engine = DbBackend::Sqlite;
    for (statement, read) in [
        (room(engine, Some("key_1"), "upl_1"), "SEARCH uploads USING COVERING INDEX uploads_by_key (key_id=?)"),
        (room(engine, None, "upl_1"), "SCAN uploads USING COVERING INDEX uploads_by_key"),
        (of_key(Some("key_1")).statement(engine), "SEARCH uploads USING INDEX uploads_by_key (key_id=?)"),
        (of_key(None).statement(engine), "SCAN uploads USING INDEX uploads_by_time"),
        (
            next(of_key(Some("key_1"))).statement(engine),
            "SEARCH uploads USING INDEX uploads_by_key (key_id=? AND (created_at,id)<(?,?))",
        ),
        (next(of_key(None)).statement(engine), "SEARCH uploads USING INDEX uploads_by_time ((created_at,id)<(?,?))"),
    ] {
        assert_eq!(plan(&store, statement.clone()).await, read, "{}", statement.sql);
    }
    store.close().await;
}
