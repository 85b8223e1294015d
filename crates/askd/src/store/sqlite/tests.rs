//! What the connections really are.

use std::os::unix::fs::PermissionsExt as _;

use sea_orm::{QueryResult, TryGetable};

use super::*;
use crate::store::sql::statement;

async fn pragma<T: TryGetable>(connection: &DatabaseConnection, name: &str) -> T {
    let sql = format!("PRAGMA {name}");
    let asked = connection.query_one_raw(statement(sea_orm::DbBackend::Sqlite, &sql, [])).await;
    let row: QueryResult = asked.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

#[tokio::test]
async fn the_file_and_its_connections_are_as_they_should_be() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::new(folder.path(), SqliteSynchronous::Full).unwrap();
    database.check().await.unwrap();
    let writer = database.writer();
    crate::store::migrations::migrate(&writer).await.unwrap();
    let full = 2;
    assert_eq!(pragma::<i64>(&writer, "synchronous").await, full);
    assert_eq!(pragma::<i64>(&database.checkpointer(), "synchronous").await, full);
    assert_eq!(pragma::<i64>(&writer, "auto_vacuum").await, 2, "2 means incremental");
    assert_eq!(pragma::<i64>(&writer, "foreign_keys").await, 1);
    assert_eq!(pragma::<i64>(&writer, "wal_autocheckpoint").await, 0);
    assert_eq!(pragma::<i64>(&writer, "page_size").await, i64::from(PAGE));
    assert_eq!(pragma::<String>(&writer, "journal_mode").await, "wal");
    assert_eq!(pragma::<i64>(&database.readers(), "query_only").await, 1);
    for file in [FILE.to_owned(), format!("{FILE}-wal"), format!("{FILE}-shm")] {
        let mode = folder.path().join(&file).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let faster = Database::new(folder.path(), SqliteSynchronous::Normal).unwrap();
    assert_eq!(pragma::<i64>(&faster.writer(), "synchronous").await, 1);
}
