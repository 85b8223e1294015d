//! The whole of a scope: its hash, its export, its lists, and what a run gets of it.

use super::*;
use crate::config::change::Page;

fn page(after: Option<&str>, limit: usize) -> Page {
    Page { after: after.map(str::to_owned), offset: 0, limit, nested: true }
}

async fn whole(config: &Config) -> Etag {
    config.overview(&Scope::User).await.unwrap().etag
}

#[tokio::test]
async fn an_export_carries_the_hash_of_exactly_what_it_holds() {
    let place = Place::new().await;
    let config = place.config();
    put(&config, &rule("a"), "one").await.unwrap();
    let export = config.export(&Scope::User).await.unwrap();
    assert_eq!(export.etag, whole(&config).await);
    let mut lines = String::new();
    for document in &export.documents {
        crate::config::read::line(&mut lines, &document.id, document.etag);
    }
    assert_eq!(export.etag, Etag::of_bytes(lines.as_bytes()));
}

#[tokio::test]
async fn the_whole_has_one_hash_also_beside_linked_documents() {
    let place = Place::new().await;
    let config = place.config();
    place.write("mounted/text", "theirs");
    fs::create_dir(place.path("rules")).unwrap();
    std::os::unix::fs::symlink("../mounted/text", place.path("rules/linked.md")).unwrap();
    put(&config, &rule("own"), "mine").await.unwrap();
    let export = config.export(&Scope::User).await.unwrap();
    assert_eq!(export.documents.len(), 2);
    let tag = Condition::IfMatch(vec![whole(&config).await]);
    let import = async |documents: Vec<(DocumentId, Content)>| {
        config.replace(&Scope::User, documents, Import::Replace, false, &tag, &by()).await
    };
    let gone = import(vec![(rule("own"), text("new"))]).await.unwrap_err();
    assert!(matches!(gone, ConfigError::Link { .. }), "{gone}");
    let other = import(vec![(rule("linked"), text("mine"))]).await.unwrap_err();
    assert!(matches!(other, ConfigError::Link { .. }), "{other}");
    let brought = vec![(rule("own"), text("new")), (rule("linked"), text("theirs"))];
    let done = import(brought).await.unwrap();
    assert_eq!((done.updated, done.unchanged), (vec![rule("own")], 1));
    assert_eq!(done.etag, Some(whole(&config).await));
}

#[tokio::test]
async fn what_an_export_cannot_hold_is_named_and_no_import_removes_it() {
    let place = Place::new().await;
    let config = place.config();
    put(&config, &rule("a"), "one").await.unwrap();
    for bytes in [vec![0xff], vec![b'x'; (16 << 20) + 1]] {
        fs::write(place.path("rules/odd.md"), &bytes).unwrap();
        let error = config.export(&Scope::User).await.unwrap_err();
        assert!(matches!(&error, ConfigError::Conflict(text) if text.contains("`rules/odd.md`")), "{error}");
        let documents = vec![(rule("a"), text("two"))];
        let import = config.replace(&Scope::User, documents, Import::Replace, false, &Condition::None, &by()).await;
        assert!(import.is_err(), "{import:?}");
        assert_eq!(fs::metadata(place.path("rules/odd.md")).unwrap().len(), bytes.len() as u64);
        assert_eq!(place.read("rules/a.md"), "one");
    }
}

#[tokio::test]
async fn a_list_is_cut_into_pages_before_anything_is_read() {
    let place = Place::new().await;
    let config = place.config();
    for name in ["a", "b", "c/d", "e"] {
        place.write(&format!("rules/{name}.md"), "text");
    }
    let list = async |page: Page| {
        let listed = config.list(&Scope::User, Kind::Rule, page).await.unwrap();
        let names: Vec<_> = listed.entries.iter().map(|entry| entry.id.name().unwrap().to_owned()).collect();
        (names.join(" "), listed.next, listed.total)
    };
    assert_eq!(list(page(None, 2)).await, ("a b".into(), Some("b".into()), 4));
    assert_eq!(list(page(Some("b"), 2)).await, ("c/d e".into(), None, 4));
    assert_eq!(list(page(Some("bb"), 1)).await, ("c/d".into(), Some("c/d".into()), 4));
    let flat = Page { after: None, offset: 1, limit: 5, nested: false };
    assert_eq!(list(flat).await, ("b e".into(), None, 3));
}

#[tokio::test]
async fn a_folder_that_is_too_full_is_listed_in_part_and_says_so() {
    let place = Place::new().await;
    let config = place.config();
    let most = config.limits().documents;
    for number in 0..=most {
        place.write(&format!("rules/r{number:05}.md"), "x");
    }
    let listed = config.list(&Scope::User, Kind::Rule, page(None, 1)).await.unwrap();
    assert_eq!((listed.total, listed.entries[0].id.clone()), (most, rule("r00000")));
    let problems = config.problems(&Scope::User).await.unwrap();
    assert!(problems.iter().any(|(_, report)| report.warnings.iter().any(|one| one.message.contains("more than"))));
    assert_eq!(put(&config, &rule("new"), "text").await.unwrap_err(), ConfigError::TooMany(most));
    assert_eq!(config.export(&Scope::User).await.unwrap_err(), ConfigError::TooMany(most));
    put(&config, &rule("r00001"), "another").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_never_sees_half_an_import() {
    let place = Place::new().await;
    let config = place.config();
    let documents = |name: &str| {
        let id = |kind| DocumentId::new(kind, None).unwrap();
        let hooks = if name == "a" { r#"{"hooks": {}}"# } else { "{}" };
        let servers = format!(r#"{{"mcpServers": {{"{name}": {{"command": "c"}}}}}}"#);
        vec![
            (id(Kind::ClaudeMd), text(name)),
            (id(Kind::Settings), text(hooks)),
            (id(Kind::McpServers), text(&servers)),
        ]
    };
    let import = async |name: &str| {
        config.replace(&Scope::User, documents(name), Import::Merge, false, &Condition::None, &by()).await.unwrap();
    };
    import("a").await;
    let seeding = {
        let config = config.clone();
        tokio::task::spawn_blocking(move || {
            for _ in 0..60 {
                let home = tempfile::tempdir().unwrap();
                let seeded = config.seed(home.path()).unwrap();
                let text = home.path().join(claude::environment::CONFIG_FOLDER).join("CLAUDE.md");
                let name = fs::read_to_string(text).unwrap();
                assert!(seeded.mcp_servers.contains_key(&name) && seeded.has_hooks == (name == "a"));
            }
        })
    };
    for name in ["b", "a"].into_iter().cycle() {
        import(name).await;
        if seeding.is_finished() {
            break;
        }
    }
    seeding.await.unwrap();
}
