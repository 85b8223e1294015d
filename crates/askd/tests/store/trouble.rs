//! A store that does not answer for a while: who waits, who is told, and that it works again by itself.

use std::time::{Duration, Instant};

use askd::store::append::Appended;
use askd::store::{Health, OpenError, Store, StoreError};
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, TransactionTrait as _};

use crate::both_engines;
use crate::cluster::Cluster;
use crate::place::{Place, append, eventually, last_seq, stored, submitted};

both_engines! {
    while_another_holds_the_store_the_patient_wait_and_the_impatient_are_told,
    readers_do_not_wait_for_a_writer,
}

/// Holds everything that the writer needs, until it is dropped.
async fn hold(place: &Place) -> DatabaseTransaction {
    let connection = place.connect().await;
    let tx = connection.begin().await.unwrap();
    let sql = if place.is_postgres() { "LOCK TABLE runs IN EXCLUSIVE MODE" } else { "UPDATE store SET probes = 0" };
    tx.execute_unprepared(sql).await.unwrap();
    tx
}

async fn while_another_holds_the_store_the_patient_wait_and_the_impatient_are_told(place: Place) {
    let place = place.patience(Duration::from_millis(1500));
    let store = place.open().await;
    submitted(&store, "run_1").await;
    submitted(&store, "run_2").await;
    let holder = hold(&place).await;
    let patient = store.write_patiently(append("run_1", 2, 2));
    let trouble = async {
        let asked = Instant::now();
        assert_eq!(store.write(append("run_2", 2, 2)).await, Err(StoreError::Late));
        assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
        eventually("the trouble shows", async || store.health() != Health::Working).await;
        holder.rollback().await.unwrap();
    };
    let (patient, ()) = tokio::join!(patient, trouble);
    assert_eq!(patient, Ok(Appended::Stored));
    eventually("it works again", async || store.health() == Health::Working).await;
    stored(&store, append("run_1", 3, 3)).await;
    store.close().await;
}

async fn readers_do_not_wait_for_a_writer(place: Place) {
    let store = place.open().await;
    submitted(&store, "run_1").await;
    let holder = hold(&place).await;
    assert_eq!(last_seq(&store, "run_1").await, 1);
    assert!(store.chunk_with("run_1", 1).await.unwrap().is_some());
    holder.rollback().await.unwrap();
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_that_crashes_and_comes_back_has_lost_nothing() {
    let mut cluster = tokio::task::spawn_blocking(Cluster::start).await.unwrap();
    let place = Place::at(cluster.url(&cluster.database().await)).patience(Duration::from_secs(3));
    let store = place.open().await;
    submitted(&store, "run_1").await;
    for seq in 2..20 {
        stored(&store, append("run_1", seq, seq)).await;
    }
    cluster.crash();
    assert_eq!(store.write(append("run_1", 20, 20)).await, Err(StoreError::Unavailable));
    assert!(matches!(store.health(), Health::Failing { .. }), "{:?}", store.health());
    assert!(matches!(store.run("run_1").await, Err(StoreError::Unavailable | StoreError::Late)));
    let restart = tokio::task::spawn_blocking(move || {
        cluster.start_again();
        cluster
    });
    let patient = async {
        for seq in 20..30 {
            assert_eq!(store.write_patiently(append("run_1", seq, seq)).await, Ok(Appended::Stored));
        }
    };
    let ((), cluster) = tokio::join!(patient, restart);
    assert_eq!((store.health(), last_seq(&store, "run_1").await), (Health::Working, 29));
    // A break that nobody notices until the next use costs nobody anything.
    let connection = place.connect().await;
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'askd'";
    connection.execute_unprepared(sql).await.unwrap();
    assert_eq!(last_seq(&store, "run_1").await, 29);
    stored(&store, append("run_1", 30, 30)).await;
    store.close().await;
    drop(cluster);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_without_the_rights_is_told_which_to_grant() {
    let cluster = tokio::task::spawn_blocking(Cluster::shared).await.unwrap();
    let (database, role) = (cluster.database().await, format!("role_{}", uuid::Uuid::new_v4().simple()));
    let owner = Place::at(cluster.url(&database));
    let connection = owner.connect().await;
    let grant = async |sql: &str| connection.execute_unprepared(&sql.replace("{role}", &role)).await.unwrap();
    grant("CREATE ROLE {role} LOGIN").await;
    let place = Place::at(cluster.url_of(&role, &database));
    for (rights, why) in [
        ("REVOKE ALL ON SCHEMA public FROM PUBLIC", "no schema has been selected"),
        ("GRANT USAGE ON SCHEMA public TO {role}", "permission denied for schema public (code 42501)"),
    ] {
        grant(rights).await;
        let text = Store::open(&place.settings, place.folder.path()).await.unwrap_err().to_string();
        assert!(text.contains(why) && text.contains("GRANT USAGE, CREATE ON SCHEMA public TO ROLE"), "{text}");
    }
    grant("GRANT USAGE, CREATE ON SCHEMA public TO {role}").await;
    let store = place.open().await;
    submitted(&store, "run_1").await;
    store.close().await;
    grant("DROP OWNED BY {role}").await;
    grant("DROP ROLE {role}").await;

    grant("CREATE TABLE runs (it TEXT)").await;
    let text = Store::open(&owner.settings, owner.folder.path()).await.unwrap_err().to_string();
    assert!(text.contains("\"runs\" already exists") && text.contains("a database of its own"), "{text}");
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_not_there_or_has_another_encoding_is_refused_by_name() {
    let cluster = tokio::task::spawn_blocking(Cluster::shared).await.unwrap();
    let refusal = async |database: &str| {
        let place = Place::at(cluster.url(database));
        Store::open(&place.settings, place.folder.path()).await.unwrap_err().to_string()
    };
    let text = refusal("nope").await;
    assert!(text.contains("database \"nope\" does not exist"), "{text}");

    let latin = format!("latin_{}", uuid::Uuid::new_v4().simple());
    let connection = Place::at(cluster.url(&cluster.database().await)).connect().await;
    let how = "ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'";
    connection.execute_unprepared(&format!("CREATE DATABASE {latin} {how}")).await.unwrap();
    let text = refusal(&latin).await;
    assert!(text.contains("its encoding is LATIN1") && text.contains("ENCODING 'UTF8'"), "{text}");
    connection.execute_unprepared(&format!("DROP DATABASE {latin} WITH (FORCE)")).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_says_why_without_its_password() {
    let open = async |url: &str| {
        let mut place = Place::sqlite().patience(Duration::from_millis(500));
        place.settings.database_url = Some(url.to_owned().into());
        let error = Store::open(&place.settings, place.folder.path()).await.unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(!told.contains("sesame"), "{told}");
        (error.to_string(), matches!(error, OpenError::Url(_)))
    };
    for url in ["mysql://user:sesame@localhost/askd", "sesame", "postgres://user:sesame@localhost:port/askd"] {
        let (text, is_url) = open(url).await;
        assert!(is_url && text.contains("write postgres://USER:PASSWORD@HOST/DATABASE"), "{text}");
    }
    let (text, _) = open("postgresql://user:sesame@127.0.0.1:1/askd").await;
    let why = "the PostgreSQL database of ASKD_DATABASE_URL cannot be used: ";
    assert!(text.contains(why) && text.contains("refused") && text.contains("host 127.0.0.1, port 1"), "{text}");

    let place = Place::sqlite();
    std::fs::write(place.folder.path().join("askd.db"), "this is a text and no database, sorry").unwrap();
    let error = Store::open(&place.settings, place.folder.path()).await.unwrap_err().to_string();
    assert!(error.contains("askd.db cannot be opened") && error.contains("not a database"), "{error}");
}
