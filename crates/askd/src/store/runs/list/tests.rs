//! How SQLite goes about the lists.

use sea_orm::ConnectionTrait as _;

use super::*;
use crate::settings::Settings;
use crate::store::sql::get;

/// What SQLite says it does for a list.
async fn plan(store: &Store, filter: &Filter) -> String {
    let mut statement = filter.statement(DbBackend::Sqlite);
    statement.sql = format!("EXPLAIN QUERY PLAN {}", statement.sql);
    let rows = store.inner.readers.query_all_raw(statement).await.unwrap();
    let lines: Vec<String> = rows.iter().map(|row| get(row, "detail").unwrap()).collect();
    lines.join("\n")
}

#[tokio::test]
async fn every_list_is_read_by_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&Settings::for_testing(folder.path()).store, folder.path()).await.unwrap();
    let every = Filter { limit: 21, before: Some((2_000, "run_1".into())), ..Filter::default() };
    let some = || Some("x".to_owned());
    let note = |name: &str| (name.to_owned(), "x".to_owned());
    let states = |states: &[&str]| states.iter().map(|state| (*state).to_owned()).collect::<Vec<_>>();
    for (filter, index) in [
        (Filter { before: None, ..every.clone() }, "runs_by_time"),
        (every.clone(), "runs_by_time"),
        (Filter { created_after: Some(1_000), ..every.clone() }, "runs_by_time"),
        (Filter { states: states(&["running"]), ..every.clone() }, "runs_by_state"),
        (Filter { states: states(&["running", "queued"]), ..every.clone() }, "runs_by_state"),
        (Filter { session: some(), ..every.clone() }, "runs_by_session"),
        (Filter { key: some(), ..every.clone() }, "runs_by_key"),
        (Filter { workspace: some(), ..every.clone() }, "runs_by_workspace"),
        (Filter { metadata: vec![note("a")], ..every.clone() }, "run_metadata_by_value"),
        (Filter { metadata: vec![note("a"), note("b")], ..every.clone() }, "run_metadata_by_value"),
    ] {
        let plan = plan(&store, &filter).await;
        let reads_all = |line: &&str| line.starts_with("SCAN") && !line.contains("SCAN page");
        // The newest of all are at the end of their index, which is left after a page.
        let scans: Vec<_> = plan.lines().filter(reads_all).filter(|line| !line.contains("runs_by_time")).collect();
        assert!(scans.is_empty() && plan.contains(index), "{filter:?}\n{plan}");
        let whole = plan.lines().any(|line| reads_all(&line));
        assert_eq!(whole, filter.before.is_none(), "{filter:?}\n{plan}");
    }
    store.close().await;
}
