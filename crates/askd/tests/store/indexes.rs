//! How PostgreSQL goes about large tables. What SQLite does is asked of it beside the statements, in `src/store`.

use std::collections::BTreeMap;

use askd::store::uploads::{BeginUpload, Begun, UploadFilter, UploadRow};
use askd::store::usage::sums::{UsageBy, UsageFilter};
use sea_orm::{ConnectionTrait as _, Statement};

use crate::place::{Place, eventually};

/// Many uploads of 50 keys, and what many sessions of theirs have used on 400 days.
const ROWS: &str = "
INSERT INTO uploads SELECT 'upl_' || i, 'key_' || i % 50, 'image/png', 'a.png', 5000, repeat('a', 64), i, 1000000 + i, 1
    FROM generate_series(1, 20000) i;
INSERT INTO usage_sessions SELECT 's' || i / 3, 'key_' || i % 50, i % 401, 'shop', 'large', 1, 1, 1, 1, 1, 1, 1, 1
    FROM generate_series(1, 20000) i;
ANALYZE uploads;
ANALYZE usage_sessions";

/// How often each index was read, and each of the two tables from its beginning to its end.
async fn reads(place: &Place) -> BTreeMap<String, i64> {
    let connection = place.connect().await;
    let sql = "SELECT indexrelname::text AS name, idx_scan AS reads FROM pg_stat_user_indexes \
        UNION ALL SELECT relname::text, seq_scan FROM pg_stat_user_tables WHERE relname IN ('uploads', 'usage_sessions')";
    let rows = connection.query_all_raw(Statement::from_string(connection.get_database_backend(), sql)).await.unwrap();
    connection.close().await.unwrap();
    let read = |row: &sea_orm::QueryResult| (row.try_get("", "name").unwrap(), row.try_get("", "reads").unwrap());
    rows.iter().map(read).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_postgresql_is_read_by_its_indexes() {
    let place = Place::postgres().await;
    place.open().await.close().await;
    let connection = place.connect().await;
    connection.execute_unprepared(ROWS).await.unwrap();
    connection.close().await.unwrap();
    let before = reads(&place).await;

    let store = place.open().await;
    let list =
        |key_id: Option<&str>| UploadFilter { key_id: key_id.map(Into::into), limit: 9, ..UploadFilter::default() };
    assert_eq!(store.uploads(&list(None)).await.unwrap().len(), 9);
    assert_eq!(store.uploads(&list(Some("key_7"))).await.unwrap().len(), 9);
    let of_key = UsageFilter { key: Some("key_7".into()), ..UsageFilter::of_days(370, 400, UsageBy::Session, 9) };
    assert_eq!(store.usage(&of_key).await.unwrap().len(), 9);
    let upload = UploadRow {
        id: "upl_new".to_owned(),
        key_id: "key_7".to_owned(),
        media_type: "image/png".to_owned(),
        name: None,
        size: 1,
        sha256: String::new(),
        created_at: 1,
        expires_at: 2,
    };
    let begin = BeginUpload { upload, most_of_key: 1 << 50, most: 1 << 50 };
    assert_eq!(store.write(begin).await, Ok(Begun::Room));
    store.close().await;

    // PostgreSQL counts what a connection has read when that ends, and what its planner has looked at too. For the room of all
    // keys, all uploads are looked at.
    eventually("every index was read", async || {
        let after = reads(&place).await;
        let more = |name: &str| after[name] - before[name];
        let by_index = more("uploads_by_time").min(more("usage_sessions_by_key")).min(more("uploads_by_key") - 1) >= 1;
        by_index && more("uploads") == 1
    })
    .await;
    assert_eq!(reads(&place).await["usage_sessions"], before["usage_sessions"], "read from its beginning to its end");
}
