//! Where a test's store is, and what it puts into it.

use std::future::Future;
use std::time::{Duration, Instant};

use askd::settings::Settings;
use askd::settings::groups;
use askd::store::Store;
use askd::store::append::{Append, Appended, RunPatch};
use askd::store::chunk::{Chunk, ChunkBuilder};
use askd::store::submit::{IdempotencyClaim, NewRun, Submit, Submitted};
use askd::store::uploads::Needed;
use sea_orm::{Database, DatabaseConnection};
use tempfile::TempDir;

use crate::cluster::Cluster;

/// A database of the test's own.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
    pub(crate) settings: groups::Store,
    url: String,
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings::for_testing(folder.path()).store;
        assert!(settings.database_url.is_none(), "a server for tests has an embedded store");
        let url = format!("sqlite://{}?mode=rwc", folder.path().join("askd.db").to_str().unwrap());
        Self { folder, settings, url }
    }

    pub(crate) async fn postgres() -> Self {
        let cluster = tokio::task::spawn_blocking(Cluster::shared).await.unwrap();
        Self::at(cluster.url(&cluster.database().await))
    }

    pub(crate) fn at(url: String) -> Self {
        let mut place = Self::sqlite();
        place.settings.database_url = Some(url.clone().into());
        place.url = url;
        place
    }

    pub(crate) fn patience(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    pub(crate) fn is_postgres(&self) -> bool {
        self.settings.database_url.is_some()
    }

    pub(crate) async fn open(&self) -> Store {
        Store::open(&self.settings, self.folder.path()).await.unwrap()
    }

    /// A connection beside the store's.
    pub(crate) async fn connect(&self) -> DatabaseConnection {
        Database::connect(&self.url).await.unwrap()
    }
}

/// A run that was submitted at some time, with event 1.
pub(crate) fn submit(id: &str, created_at: i64) -> Submit {
    Submit {
        run: NewRun {
            id: id.to_owned(),
            key_id: "key_1".to_owned(),
            session_id: format!("session of {id}"),
            workspace: Some("shop".to_owned()),
            state: "queued",
            epoch: 1,
            owner: "server_1".to_owned(),
            lease_ms: 60_000,
            on_disconnect: "cancel",
            request: format!("{{\"prompt\":\"of {id}\"}}"),
            listed: None,
            trace_context: Some(r#"{"ours":true}"#.to_owned()),
            log_bytes: 10,
            created_at,
        },
        metadata: Vec::new(),
        first_chunk: chunk(1, 1).compress(),
        idempotency: None,
        reserve: None,
        uploads: Needed::default(),
        secrets: None,
    }
}

/// Submits it and expects that it is new.
pub(crate) async fn submitted(store: &Store, id: &str) {
    assert_eq!(store.write(submit(id, 1_000)).await, Ok(Submitted::New));
}

/// A run that was submitted with the key `once`, which counts for ten seconds.
pub(crate) fn claimed(run: &str, at: i64, body: &str) -> Submit {
    let claim = IdempotencyClaim {
        key_id: "key_1".into(),
        route: "POST /v1/runs".into(),
        key: "once".into(),
        body_hash: body.into(),
        expires_before: at - 10_000,
    };
    Submit { idempotency: Some(claim), ..submit(run, at) }
}

/// Some events.
pub(crate) fn chunk(first: u64, last: u64) -> Chunk {
    let mut chunk = ChunkBuilder::new(first);
    for seq in first..=last {
        chunk.push(i64::try_from(seq).unwrap(), "agent.assistant", &format!("{{\"number\":{seq}}}"));
    }
    chunk.finish()
}

/// These events of a run in its first epoch.
pub(crate) fn append(run: &str, first: u64, last: u64) -> Append {
    let chunk = chunk(first, last);
    Append {
        run_id: run.to_owned(),
        epoch: 1,
        log_bytes: chunk.size() as u64,
        chunks: vec![(first, last, chunk.compress())],
        ..Append::default()
    }
}

/// The run's last event.
pub(crate) fn finish(run: &str, seq: u64, at: i64) -> Append {
    let cli_version = Some("2.1.300".to_owned());
    let patch = RunPatch { state: Some("completed"), finished_at: Some(at), cli_version, ..RunPatch::default() };
    Append { patch, ..append(run, seq, seq) }
}

/// Appends and expects that it is stored.
pub(crate) async fn stored(store: &Store, append: Append) {
    assert_eq!(store.write(append).await, Ok(Appended::Stored));
}

/// The number of the run's last event.
pub(crate) async fn last_seq(store: &Store, run: &str) -> u64 {
    store.run(run).await.unwrap().unwrap().last_seq
}

/// Every event of a run, read chunk by chunk.
pub(crate) async fn events(store: &Store, run: &str) -> Vec<(u64, String)> {
    let (mut events, last) = (Vec::new(), last_seq(store, run).await);
    while (events.len() as u64) < last {
        let next = events.len() as u64 + 1;
        let chunk = store.chunk_with(run, next).await.unwrap().unwrap();
        events.extend(chunk.events_after(next - 1).map(|event| (event.seq, event.data.to_owned())));
    }
    events
}

/// Asks again and again, for at most so long as nobody would wait.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, ask: impl Fn() -> F) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !ask().await {
        assert!(Instant::now() < deadline, "it never happened that {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
