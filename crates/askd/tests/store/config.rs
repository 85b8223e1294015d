//! The history of the CLI's configuration, and two servers that work on the same files.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use askd::ambient::Ambient;
use askd::config::Config;
use askd::config::change::{Action, Author, Condition, Edit, May, State};
use askd::config::dir::ConfigDir;
use askd::config::document::{Content, Etag};
use askd::config::error::ConfigError;
use askd::config::kind::Kind;
use askd::config::limits::Limits;
use askd::config::manager::Parts;
use askd::config::name::DocumentId;
use askd::config::scope::Scope;
use askd::lifecycle::Lifecycle;
use askd::store::Store;
use askd::store::config::{ChangeRow, Filter, Record, Settle, StoredContent};
use askd::store::prune::{Pruned, Retention};
use askd::workspaces::Workspaces;

use crate::both_engines;
use crate::place::Place;

both_engines! {
    changes_are_listed_by_document_and_come_in_pages,
    a_change_is_settled_once,
    a_server_finds_what_it_has_not_finished,
    contents_are_kept_once_and_as_long_as_a_version_needs_them,
    old_changes_go,
}

fn change(id: &str, name: &str, after: Option<&str>) -> ChangeRow {
    ChangeRow {
        id: id.to_owned(),
        owner: "server_1".to_owned(),
        batch: None,
        workspace: String::new(),
        kind: "rules".to_owned(),
        name: name.to_owned(),
        action: "updated".to_owned(),
        state: "done".to_owned(),
        before: None,
        after: after.map(str::to_owned),
        key_id: Some("key_1".to_owned()),
        address: None,
        request_id: Some("req_1".to_owned()),
        created_at: 1_000,
    }
}

fn content(hash: &str, files: &[&str]) -> StoredContent {
    let files = files.iter().map(|file| (*file).to_owned()).collect();
    StoredContent { hash: hash.to_owned(), size: 3, bytes: b"abc".to_vec(), files }
}

async fn record(store: &Store, changes: Vec<ChangeRow>, contents: Vec<StoredContent>) {
    let record = Record { changes, contents, now: 1_000 };
    // Once more, as after a commit whose answer was lost.
    for _ in 0..2 {
        store.write(record.clone()).await.unwrap();
    }
}

async fn ids(store: &Store, filter: Filter) -> Vec<String> {
    store.config_changes(&filter).await.unwrap().into_iter().map(|row| row.id).collect()
}

async fn changes_are_listed_by_document_and_come_in_pages(place: Place) {
    let store = place.open().await;
    let in_workspace = ChangeRow { workspace: "shop".into(), ..change("c4", "style", Some("h4")) };
    let changes =
        vec![change("c1", "style", Some("h1")), change("c2", "other", None), change("c3", "style", None), in_workspace];
    record(&store, changes.clone(), Vec::new()).await;
    let all = Filter { limit: 10, ..Filter::default() };
    assert_eq!(ids(&store, all.clone()).await, ["c4", "c3", "c2", "c1"]);
    assert_eq!(ids(&store, Filter { before: Some("c3".into()), limit: 1, ..Filter::default() }).await, ["c2"]);
    let user = Filter { workspace: Some(String::new()), ..all };
    assert_eq!(ids(&store, user.clone()).await, ["c3", "c2", "c1"]);
    let style = Filter { document: Some(("rules".into(), "style".into())), ..user };
    assert_eq!(ids(&store, style).await, ["c3", "c1"]);
    assert_eq!(store.config_change("c1").await.unwrap().as_ref(), Some(&changes[0]));
    assert_eq!(store.config_change("none").await.unwrap(), None);
    let newest = store.newest_config_changes("").await.unwrap();
    let mut newest: Vec<_> = newest.into_iter().map(|row| row.id).collect();
    newest.sort();
    assert_eq!(newest, ["c2", "c3"]);
    let newest = store.newest_config_change("shop", "rules", "style").await.unwrap();
    assert_eq!(newest.unwrap().id, "c4");
    store.close().await;
}

async fn a_change_is_settled_once(place: Place) {
    let store = place.open().await;
    let pending = |id: &str| ChangeRow { state: "pending".into(), ..change(id, "style", Some("h1")) };
    record(&store, vec![pending("c1"), pending("c2")], vec![content("h1", &[])]).await;
    let settle = |id: &str, state| Settle { ids: vec![id.to_owned()], state };
    assert_eq!(store.write(settle("c1", "done")).await, Ok(1));
    assert_eq!(store.write(settle("c1", "abandoned")).await, Ok(0));
    assert_eq!(store.write(settle("c2", "abandoned")).await, Ok(1));
    let newest = store.newest_config_change("", "rules", "style").await.unwrap().unwrap();
    assert_eq!((newest.id.as_str(), newest.state.as_str()), ("c1", "done"), "what did not happen does not count");
    store.close().await;
}

async fn a_server_finds_what_it_has_not_finished(place: Place) {
    let store = place.open().await;
    let pending = |id: &str, owner: &str, at| {
        let row = change(id, id, None);
        ChangeRow { owner: owner.into(), state: "pending".into(), created_at: at, ..row }
    };
    let changes = vec![
        pending("c1", "server_1", 5_000),
        pending("c2", "server_2", 5_000),
        pending("c3", "server_2", 1_000),
        change("c4", "done", None),
    ];
    record(&store, changes, Vec::new()).await;
    let found = store.pending_config_changes("server_1", 2_000).await.unwrap();
    let found: Vec<_> = found.into_iter().map(|row| row.id).collect();
    // The file belongs to one server, whatever it was called; a database belongs to many.
    assert_eq!(found, if place.is_postgres() { vec!["c1", "c3"] } else { vec!["c1", "c2", "c3"] });
    store.close().await;
}

async fn contents_are_kept_once_and_as_long_as_a_version_needs_them(place: Place) {
    let store = place.open().await;
    let changes = vec![
        change("c1", "style", Some("h1")),
        change("c2", "style", Some("h2")),
        change("c3", "style", Some("h1")),
        change("c4", "style", None),
        change("c5", "pdf", Some("manifest")),
        change("c6", "pdf", Some("h2")),
    ];
    let contents = vec![
        content("h1", &[]),
        content("h2", &[]),
        content("manifest", &["f1", "f2"]),
        content("f1", &[]),
        content("f2", &[]),
    ];
    record(&store, changes, contents).await;
    let kept = async || {
        let mut kept = Vec::new();
        for hash in ["h1", "h2", "manifest", "f1", "f2"] {
            if store.config_content(hash).await.unwrap().is_some() {
                kept.push(hash);
            }
        }
        kept
    };
    let later = 1_000 + 2 * 60 * 60 * 1_000;
    let keep = |config_versions, now| Retention { config_versions, now, ..Retention::default() };
    assert_eq!(store.prune(&keep(0, later)).await, Ok(Pruned::default()), "all are needed");
    let versions = store.prune(&keep(1, 2_000)).await.unwrap();
    assert_eq!((versions.config_versions, versions.config_contents), (3, 0), "what is young stays for a while");
    assert_eq!(store.prune(&keep(1, later)).await.unwrap().config_contents, 3);
    assert_eq!(kept().await, ["h1", "h2"]);
    assert_eq!(ids(&store, Filter { limit: 10, ..Filter::default() }).await.len(), 6, "the changes stay");
    // It comes again.
    record(&store, vec![change("c7", "pdf", Some("manifest"))], vec![content("manifest", &["f1"]), content("f1", &[])])
        .await;
    assert_eq!(kept().await, ["h1", "h2", "manifest", "f1"]);
    store.close().await;
}

async fn old_changes_go(place: Place) {
    let store = place.open().await;
    let young = ChangeRow { created_at: 5_000, ..change("c2", "style", None) };
    let pending = ChangeRow { state: "pending".into(), ..change("c3", "style", None) };
    record(&store, vec![change("c1", "style", Some("h1")), young, pending], vec![content("h1", &[])]).await;
    let retention = Retention { config_before: 2_000, now: i64::MAX / 2, ..Retention::default() };
    let pruned = store.prune(&retention).await.unwrap();
    assert_eq!((pruned.config_changes, pruned.config_contents), (1, 1));
    assert_eq!(ids(&store, Filter { limit: 10, ..Filter::default() }).await, ["c3", "c2"]);
    store.close().await;
}

/// A server with an owner's name of its own.
fn server(store: &Store, folder: &Path, owner: &str) -> Config {
    Config::new(Parts {
        dir: ConfigDir::new(&folder.join("config"), 1 << 20),
        workspaces: Arc::new(Workspaces::open(&folder.join("workspace")).unwrap()),
        store: store.clone(),
        ambient: Ambient::system(),
        lifecycle: Lifecycle::default(),
        owner: owner.to_owned(),
        limits: Limits::new(1 << 20),
        secrets: Vec::new(),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_and_a_person_on_one_folder_lose_nothing() {
    const EACH: u32 = 20;
    let place = Place::postgres().await;
    let folder = place.folder.path();
    for name in ["config", "workspace"] {
        fs::create_dir_all(folder.join(name)).unwrap();
    }
    let stores = [place.open().await, place.open().await];
    let servers = [server(&stores[0], folder, "server_1"), server(&stores[1], folder, "server_2")];
    let id = DocumentId::new(Kind::Rule, Some("counter")).unwrap();
    let by = Author { key_id: "key_1".into(), address: None, request_id: "req_1".into(), may: May::Everything };
    let put = async |config: &Config, number: u32, condition: Condition| {
        let edit = Edit::Put(Content::Text(number.to_string()));
        config.edit(&Scope::User, &id, edit, &condition, &by).await
    };
    put(&servers[0], 0, Condition::None).await.unwrap();
    let count = async |config: &Config| {
        let mut counted = 0;
        while counted < EACH {
            let document = config.read(&Scope::User, &id).await.unwrap().unwrap();
            let next = document.content.text().unwrap().parse::<u32>().unwrap() + 1;
            match put(config, next, Condition::IfMatch(vec![document.etag])).await {
                Ok(_) => counted += 1,
                Err(ConfigError::Precondition { .. } | ConfigError::Conflict(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    // The person lets the number be and adds a space before it is too late, or not.
    let edits_by_hand = async {
        let file = folder.join("config/rules/by-hand.md");
        for number in 0..EACH {
            let before = fs::read_to_string(&file).ok();
            fs::write(&file, format!("by hand {number}")).unwrap();
            let other = DocumentId::new(Kind::Rule, Some("by-hand")).unwrap();
            let edit = Edit::Put(Content::Text(format!("by askd {number}")));
            servers[usize::try_from(number % 2).unwrap()]
                .edit(&Scope::User, &other, edit, &Condition::None, &by)
                .await
                .unwrap();
            assert_ne!(before, fs::read_to_string(&file).ok());
        }
        other_story(&servers[0]).await
    };
    let ((), (), by_hand) = tokio::join!(count(&servers[0]), count(&servers[1]), edits_by_hand);
    let there = fs::read_to_string(folder.join("config/rules/counter.md")).unwrap();
    assert_eq!(there, (2 * EACH).to_string());
    let changes = servers[1].history(Some(&Scope::User), Some(&id), None, 1_000).await.unwrap();
    let mut told = Vec::new();
    for change in changes.iter().filter(|change| change.state == State::Done) {
        assert_ne!(change.action, Action::Outside, "{change:?}");
        let content = servers[1].change(&change.id).await.unwrap().unwrap().1.unwrap();
        told.push(content.text().unwrap().parse::<u32>().unwrap());
    }
    told.sort_unstable();
    assert_eq!(told, (0..=2 * EACH).collect::<Vec<_>>());
    assert!(changes.iter().all(|change| change.state != State::Pending));
    assert_eq!(by_hand, 2 * u64::from(EACH), "each edit by hand and each by askd, once");
    for store in stores {
        store.close().await;
    }
}

async fn other_story(config: &Config) -> u64 {
    let id = DocumentId::new(Kind::Rule, Some("by-hand")).unwrap();
    let changes = config.history(Some(&Scope::User), Some(&id), None, 1_000).await.unwrap();
    let done: Vec<_> = changes.into_iter().filter(|change| change.state == State::Done).collect();
    let mut hashes: Vec<Etag> = done.iter().filter_map(|change| change.after).collect();
    hashes.sort();
    hashes.dedup();
    hashes.len() as u64
}

/// Set in the process that has a small file system for the configuration.
const INSIDE: &str = "ASKD_TEST_SMALL_CONFIG";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_and_a_read_only_one_nothing_changes() {
    if let Some((_, folder)) = std::env::vars_os().find(|(name, _)| name == INSIDE) {
        return full_and_read_only(Path::new(&folder)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let unshare = |script: &str| {
        #[expect(clippy::disallowed_methods, reason = "a mount namespace for this test, with itself inside")]
        let mut command = std::process::Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]);
        command.stdin(std::process::Stdio::null()).arg(folder.path());
        command
    };
    let mount = "mkdir -p \"$1/config\" && mount -t tmpfs -o size=1m tmpfs \"$1/config\"";
    if !unshare(mount).output().is_ok_and(|done| done.status.success()) {
        eprintln!("NOT RUN: this machine allows no user namespace with a mount of its own");
        return;
    }
    let mut again = unshare(&format!("{mount} && shift && exec \"$@\""));
    let name = "config::on_a_full_disk_and_a_read_only_one_nothing_changes";
    again.arg(std::env::current_exe().unwrap()).args(["--exact", name, "--nocapture"]).env(INSIDE, folder.path());
    let done = tokio::task::spawn_blocking(move || again.output().unwrap()).await.unwrap();
    let told = [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(done.status.success() && told.contains("1 passed"), "{told}");
}

async fn full_and_read_only(folder: &Path) {
    let place = Place::sqlite();
    let store = place.open().await;
    fs::create_dir(folder.join("workspace")).unwrap();
    let config = server(&store, folder, "server_1");
    let id = DocumentId::new(Kind::Rule, Some("style")).unwrap();
    let by = Author { key_id: "key_1".into(), address: None, request_id: "req_1".into(), may: May::Everything };
    let put = async |text: &str| {
        let edit = Edit::Put(Content::Text(text.to_owned()));
        config.edit(&Scope::User, &id, edit, &Condition::None, &by).await
    };
    put("small").await.unwrap();
    fs::write(folder.join("config/ballast"), vec![7; 900 << 10]).unwrap();
    let full = put(&"x".repeat(400_000)).await.unwrap_err();
    assert!(matches!(&full, ConfigError::Io(text) if text.contains("full")), "{full:?}");
    #[expect(clippy::disallowed_methods, reason = "in the test's own mount namespace")]
    let mut remount = std::process::Command::new("mount");
    remount.args(["-o", "remount,ro"]).arg(folder.join("config"));
    assert!(remount.status().unwrap().success());
    let read_only = put("new").await.unwrap_err();
    assert!(matches!(&read_only, ConfigError::ReadOnly(hint) if hint.contains("hint:")), "{read_only:?}");
    assert!(config.overview(&Scope::User).await.unwrap().read_only.is_some());
    let rules: Vec<_> =
        fs::read_dir(folder.join("config/rules")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(rules, ["style.md"]);
    assert_eq!(fs::read_to_string(folder.join("config/rules/style.md")).unwrap(), "small");
    let changes = config.history(Some(&Scope::User), Some(&id), None, 10).await.unwrap();
    let states: Vec<_> = changes.iter().map(|change| change.state).collect();
    assert_eq!(states, [State::Abandoned, State::Abandoned, State::Done]);
    store.close().await;
}
