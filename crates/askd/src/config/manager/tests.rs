use std::fs;
use std::path::PathBuf;

use super::*;
use crate::config::change::{Change, May, Outcome, State};
use crate::config::document::{Etag, Skill, SkillFile};
use crate::config::history::{NewChange, to_store};
use crate::settings::Settings;
use crate::store::config::Record;

mod faults;
mod hostile;
mod parts;
mod whole;

/// A server's configuration, and folders that several servers may share.
struct Place {
    folder: tempfile::TempDir,
    store: Store,
}

impl Place {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["config", "workspace", "data"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let settings = Settings::for_testing(folder.path());
        let store = Store::open(&settings.store, &folder.path().join("data")).await.unwrap();
        Self { folder, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("config").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// A server on it.
    fn config(&self) -> Config {
        Config::new(Parts {
            dir: ConfigDir::new(&self.folder.path().join("config"), 1 << 20),
            workspaces: Arc::new(Workspaces::open(&self.folder.path().join("workspace")).unwrap()),
            store: self.store.clone(),
            ambient: Ambient::system(),
            lifecycle: Lifecycle::default(),
            owner: "server".to_owned(),
            limits: Limits::new(1 << 20),
            secrets: vec!["the-key-of-the-server".to_owned().into()],
        })
    }

    /// Changes that nobody has finished.
    async fn intend(
        &self,
        config: &Config,
        batch: bool,
        changes: &[(&DocumentId, Option<&str>, Option<&str>)],
    ) -> Vec<ChangeId> {
        let batch = batch.then(|| config.new_id());
        let mut record = Record { changes: Vec::new(), contents: Vec::new(), now: 0 };
        let mut ids = Vec::new();
        for &(document, before, after) in changes {
            let etag = |text: Option<&str>| text.map(|text| Etag::of_bytes(text.as_bytes()));
            let new = NewChange {
                id: config.new_id(),
                owner: "server",
                batch,
                scope: &Scope::User,
                document,
                action: Action::Updated,
                state: State::Pending,
                before: etag(before),
                after: etag(after),
                by: Some(&by()),
                at: config.inner.parts.ambient.now(),
            };
            ids.push(new.id);
            record.changes.push(new.row());
            if let Some(after) = after {
                record.contents.extend(to_store(&text(after)).unwrap());
            }
        }
        self.store.write(record).await.unwrap();
        ids
    }
}

fn rule(name: &str) -> DocumentId {
    DocumentId::new(Kind::Rule, Some(name)).unwrap()
}

fn text(text: &str) -> Content {
    Content::Text(text.to_owned())
}

fn by() -> Author {
    let address = Some(std::net::IpAddr::from([127, 0, 0, 1]));
    Author { key_id: "key_1".into(), address, request_id: "req_1".into(), may: May::Everything }
}

async fn put(config: &Config, id: &DocumentId, content: &str) -> Result<Written, ConfigError> {
    config.edit(&Scope::User, id, Edit::Put(text(content)), &Condition::None, &by()).await
}

async fn restore(config: &Config, written: &Written) {
    let found = config.change(&written.change.unwrap()).await.unwrap().unwrap();
    config.restore(found, &Condition::None, &by()).await.unwrap();
}

async fn history(config: &Config, id: &DocumentId) -> Vec<Change> {
    config.history(Some(&Scope::User), Some(id), None, 100).await.unwrap()
}

/// What the history says, the newest first, without what was abandoned.
async fn story(config: &Config, id: &DocumentId) -> Vec<(Action, Option<String>)> {
    let mut story = Vec::new();
    for change in history(config, id).await.into_iter().filter(|change| change.state == State::Done) {
        let content = config.change(&change.id).await.unwrap().unwrap().1;
        story.push((change.action, content.and_then(|content| content.text().map(str::to_owned))));
    }
    story
}

fn told(action: Action, text: &str) -> (Action, Option<String>) {
    (action, Some(text.to_owned()))
}

#[tokio::test]
async fn a_document_lives_and_its_history_tells_it() {
    let (place, id) = (Place::new().await, rule("style"));
    let config = place.config();
    assert_eq!(config.read(&Scope::User, &id).await.unwrap(), None);
    let one = Etag::of_bytes(b"one");
    assert_eq!(put(&config, &id, "one").await.unwrap().outcome, Outcome::Created(one));
    let unchanged = put(&config, &id, "one").await.unwrap();
    assert_eq!((unchanged.outcome, unchanged.change), (Outcome::Unchanged(one), None));
    let document = config.read(&Scope::User, &id).await.unwrap().unwrap();
    assert_eq!((document.etag, document.content), (one, text("one")));
    let two = put(&config, &id, "two").await.unwrap();
    assert_eq!(two.outcome, Outcome::Updated(Etag::of_bytes(b"two")));
    let removed = config.edit(&Scope::User, &id, Edit::Remove, &Condition::None, &by()).await.unwrap();
    assert_eq!(removed.outcome, Outcome::Removed);
    let again = config.edit(&Scope::User, &id, Edit::Remove, &Condition::None, &by()).await;
    assert_eq!(again.unwrap_err(), ConfigError::NotFound);
    restore(&config, &two).await;
    assert_eq!(place.read("rules/style.md"), "two");
    let expected = [
        told(Action::Restored, "two"),
        (Action::Removed, None),
        told(Action::Updated, "two"),
        told(Action::Created, "one"),
    ];
    assert_eq!(story(&config, &id).await, expected);
    let newest = history(&config, &id).await.remove(0);
    assert_eq!((newest.key_id.as_deref(), newest.request_id.as_deref()), (Some("key_1"), Some("req_1")));
    assert_eq!((newest.address.as_deref(), newest.before), (Some("127.0.0.1"), None));
    assert!(history(&config, &id).await.iter().all(|change| change.state == State::Done));
    let page = config.history(None, None, Some(newest.id), 2).await.unwrap();
    assert_eq!(page.iter().map(|change| change.action).collect::<Vec<_>>(), [Action::Removed, Action::Updated]);
}

fn unmet(current: Option<Etag>, condition: Condition) -> ConfigError {
    ConfigError::Precondition { current, condition }
}

#[tokio::test]
async fn a_condition_that_does_not_hold_changes_nothing_and_says_what_is_there() {
    let (place, id) = (Place::new().await, rule("style"));
    let config = place.config();
    let edit =
        async |condition: Condition| config.edit(&Scope::User, &id, Edit::Put(text("new")), &condition, &by()).await;
    let one = Etag::of_bytes(b"one");
    assert_eq!(edit(Condition::IfExists).await.unwrap_err(), unmet(None, Condition::IfExists));
    put(&config, &id, "one").await.unwrap();
    for condition in [Condition::IfAbsent, Condition::IfMatch(vec![Etag::of_bytes(b"other")])] {
        assert_eq!(edit(condition.clone()).await.unwrap_err(), unmet(Some(one), condition));
    }
    assert_eq!(place.read("rules/style.md"), "one");
    assert!(edit(Condition::IfMatch(vec![one])).await.is_ok());
}

#[tokio::test]
async fn an_edit_by_hand_is_seen_and_kept() {
    let (place, id) = (Place::new().await, rule("style"));
    let config = place.config();
    // Also of a file that was there before askd was.
    place.write("rules/style.md", "the operator's");
    put(&config, &id, "one").await.unwrap();
    place.write("rules/style.md", "by hand");
    let tag = Condition::IfMatch(vec![Etag::of_bytes(b"one")]);
    let lost = config.edit(&Scope::User, &id, Edit::Put(text("two")), &tag, &by()).await.unwrap_err();
    assert_eq!(lost, unmet(Some(Etag::of_bytes(b"by hand")), tag));
    put(&config, &id, "two").await.unwrap();
    fs::remove_file(place.path("rules/style.md")).unwrap();
    let expected = [
        (Action::Outside, None),
        told(Action::Updated, "two"),
        told(Action::Outside, "by hand"),
        told(Action::Updated, "one"),
        told(Action::Outside, "the operator's"),
    ];
    assert_eq!(story(&config, &id).await, expected);
    assert_eq!(config.history(None, None, None, 100).await.unwrap().len(), 5, "and is noted once");
    assert_eq!(history(&config, &id).await[0].key_id, None);
}

#[tokio::test]
async fn a_skill_changes_file_by_file_and_is_stored_once() {
    let place = Place::new().await;
    let config = place.config();
    let id = DocumentId::new(Kind::Skill, Some("pdf")).unwrap();
    let edit = async |edit: Edit| config.edit(&Scope::User, &id, edit, &Condition::None, &by()).await;
    let file = |text: &str, executable| SkillFile { bytes: text.as_bytes().to_vec(), executable };
    let main = "---\nname: pdf\ndescription: Reads PDF files.\n---\nRead them.\n";
    let add = |path: &str| Edit::PutSkillFile {
        path: path.to_owned(),
        file: file("#!/bin/sh\n", true),
        condition: Condition::None,
    };
    assert_eq!(edit(add("run.sh")).await.unwrap_err(), ConfigError::NotFound);
    let first = edit(Edit::PutSkillText(main.to_owned())).await.unwrap();
    edit(add("run.sh")).await.unwrap();
    edit(Edit::PutSkillText(main.replace("Read", "Open"))).await.unwrap();
    let remove = || Edit::RemoveSkillFile { path: "run.sh".to_owned(), condition: Condition::None };
    let there = config.read(&Scope::User, &id).await.unwrap().unwrap();
    let Content::Skill(Skill { files }) = &there.content else { panic!("no skill") };
    assert_eq!(files.keys().collect::<Vec<_>>(), ["SKILL.md", "run.sh"]);
    let shown = config.history(Some(&Scope::User), Some(&id), None, 1).await.unwrap().remove(0);
    assert_eq!(config.change(&shown.id).await.unwrap().unwrap().1, Some(there.content));
    edit(remove()).await.unwrap();
    assert_eq!(edit(remove()).await.unwrap_err(), ConfigError::NotFound);
    restore(&config, &first).await;
    assert_eq!(place.read("skills/pdf/SKILL.md"), main);
    assert!(!place.path("skills/pdf/run.sh").exists());
}

#[tokio::test]
async fn no_secret_of_the_server_comes_into_a_document() {
    let (place, id) = (Place::new().await, rule("style"));
    let config = place.config();
    assert_eq!(put(&config, &id, "use the-key-of-the-server").await.unwrap_err(), ConfigError::Secret);
    assert!(!place.path("rules").exists());
    assert_eq!(history(&config, &id).await, []);
}

#[tokio::test]
async fn the_whole_has_bounds() {
    let place = Place::new().await;
    let config = place.config();
    let three = "x".repeat(400_000);
    for name in ["a", "b"] {
        put(&config, &rule(name), &three).await.unwrap();
    }
    let error = put(&config, &rule("c"), &three).await.unwrap_err();
    assert!(matches!(&error, ConfigError::TooLarge { what, .. } if what.contains("ASKD_MAX_CONFIG")), "{error}");
    put(&config, &rule("a"), "small").await.unwrap();
    put(&config, &rule("c"), &three).await.unwrap();
}

#[tokio::test]
async fn what_nobody_said_became_of_it_is_found_out_from_the_disk() {
    let place = Place::new().await;
    let (done, undone, other, gone) = (rule("done"), rule("undone"), rule("other"), rule("gone"));
    let config = place.config();
    for (id, text) in [("done", "new"), ("undone", "old"), ("other", "by hand")] {
        place.write(&format!("rules/{id}.md"), text);
    }
    let changes = [
        (&done, Some("old"), Some("new")),
        (&undone, Some("old"), Some("new")),
        (&other, Some("old"), Some("new")),
        (&gone, Some("old"), None),
    ];
    let ids = place.intend(&config, false, &changes).await;
    // What was displaced and not removed yet, and what was not in its place yet.
    place.write(&format!("rules/.askd-{}", ids[0]), "old");
    place.write(&format!("rules/.askd-{}", ids[1]), "ne");
    // What somebody wrote in the very moment of the change.
    place.write(&format!("rules/.askd-{}", ids[3]), "in the last moment");
    assert_eq!(config.settle().await.unwrap(), 4);
    assert_eq!(config.settle().await.unwrap(), 0);
    let states = async |id: &DocumentId| {
        let changes = history(&config, id).await;
        changes.into_iter().map(|change| (change.action, change.state)).collect::<Vec<_>>()
    };
    assert_eq!(states(&done).await, [(Action::Updated, State::Done)]);
    assert_eq!(states(&undone).await, [(Action::Updated, State::Abandoned)]);
    assert_eq!(states(&other).await, [(Action::Outside, State::Done), (Action::Updated, State::Abandoned)]);
    assert!(story(&config, &gone).await.contains(&told(Action::Outside, "in the last moment")));
    let mut names: Vec<_> =
        fs::read_dir(place.path("rules")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["done.md", "other.md", "undone.md"], "nothing of ours is left");
}

#[tokio::test]
async fn an_import_that_was_begun_is_finished_and_one_that_was_not_is_forgotten() {
    let place = Place::new().await;
    let config = place.config();
    let (a, b, c) = (rule("a"), rule("b"), rule("c"));
    for name in ["a", "c"] {
        place.write(&format!("rules/{name}.md"), "old");
    }
    let changes = [(&a, Some("old"), Some("new")), (&b, None, Some("new")), (&c, Some("old"), None)];
    place.intend(&config, true, &changes).await;
    assert_eq!(config.settle().await.unwrap(), 3);
    assert!(
        place.read("rules/a.md") == "old" && place.read("rules/c.md") == "old" && !place.path("rules/b.md").exists()
    );
    place.intend(&config, true, &changes).await;
    place.write("rules/a.md", "new");
    assert_eq!(config.settle().await.unwrap(), 3);
    assert!(
        place.read("rules/a.md") == "new" && place.read("rules/b.md") == "new" && !place.path("rules/c.md").exists()
    );
    assert_eq!(story(&config, &b).await, [told(Action::Updated, "new")]);
}

#[tokio::test]
async fn what_is_not_settled_is_settled_before_the_next_change() {
    let (place, id) = (Place::new().await, rule("style"));
    let config = place.config();
    place.write("rules/style.md", "new");
    place.intend(&config, false, &[(&id, None, Some("new"))]).await;
    put(&config, &id, "newer").await.unwrap();
    assert_eq!(story(&config, &id).await, [told(Action::Updated, "newer"), told(Action::Updated, "new")]);
}

#[tokio::test]
async fn an_import_brings_all_or_nothing() {
    let place = Place::new().await;
    let config = place.config();
    let import = async |names: &[&str], content: &str, mode, dry_run, condition: Condition| {
        let documents = names.iter().map(|name| (rule(name), text(content))).collect();
        config.replace(&Scope::User, documents, mode, dry_run, &condition, &by()).await
    };
    put(&config, &rule("own"), "mine").await.unwrap();
    let dry = import(&["a", "b"], "one", Import::Merge, true, Condition::None).await.unwrap();
    assert_eq!((dry.created, place.path("rules/a.md").exists()), (vec![rule("a"), rule("b")], false));
    let done = import(&["a", "b"], "one", Import::Merge, false, Condition::None).await.unwrap();
    assert_eq!(done.etag, Some(config.overview(&Scope::User).await.unwrap().etag));
    let whole = Condition::IfMatch(vec![done.etag.unwrap()]);
    let done = import(&["b", "c"], "two", Import::Replace, false, whole.clone()).await.unwrap();
    assert_eq!((done.created, done.updated), (vec![rule("c")], vec![rule("b")]));
    assert_eq!((done.removed, done.unchanged), (vec![rule("a"), rule("own")], 0));
    let late = import(&["b"], "three", Import::Merge, false, whole).await.unwrap_err();
    assert!(matches!(late, ConfigError::Precondition { current: Some(_), .. }));
    let refused = import(&["b", "c", "b"], "three", Import::Merge, false, Condition::None).await.unwrap_err();
    assert!(matches!(&refused, ConfigError::Invalid(report) if report.errors[0].file.as_deref() == Some("rules/b.md")));
    assert_eq!((place.read("rules/b.md"), place.read("rules/c.md")), ("two".to_owned(), "two".to_owned()));
    let same = import(&["b"], "two", Import::Merge, false, Condition::None).await.unwrap();
    assert_eq!(same.unchanged, 1);
    assert_eq!(story(&config, &rule("own")).await, [(Action::Imported, None), told(Action::Created, "mine")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_home_never_gets_half_a_skill() {
    let place = Place::new().await;
    let config = place.config();
    let id = DocumentId::new(Kind::Skill, Some("pdf")).unwrap();
    let skill = |number: usize| {
        let text = format!("---\nname: pdf\ndescription: d\n---\n{number}\n");
        let file = |text: &str| SkillFile { bytes: text.as_bytes().to_vec(), executable: false };
        let files = [("SKILL.md", file(&text)), ("a.txt", file(&text)), ("z/b.txt", file(&text))];
        Content::Skill(Skill { files: files.into_iter().map(|(path, file)| (path.to_owned(), file)).collect() })
    };
    let put = async |number| {
        config.edit(&Scope::User, &id, Edit::Put(skill(number)), &Condition::None, &by()).await.unwrap();
    };
    put(0).await;
    let seeding = {
        let config = config.clone();
        tokio::task::spawn_blocking(move || {
            for _ in 0..60 {
                let home = tempfile::tempdir().unwrap();
                config.seed(home.path()).unwrap();
                let skills = home.path().join(claude::environment::CONFIG_FOLDER).join("skills");
                let read = |name: &str| fs::read_to_string(skills.join("pdf").join(name)).unwrap();
                let main = read("SKILL.md");
                assert!(main == read("a.txt") && main == read("z/b.txt"));
                assert_eq!(fs::read_dir(&skills).unwrap().count(), 1, "nothing of ours");
            }
        })
    };
    for number in 1.. {
        put(number).await;
        if seeding.is_finished() {
            break;
        }
    }
    seeding.await.unwrap();
}

#[tokio::test]
async fn ids_are_given_out_in_order() {
    let config = Place::new().await.config();
    let ids: Vec<_> = (0..10_000).map(|_| config.new_id()).collect();
    assert!(ids.is_sorted_by(|one, other| one < other && one.to_string() < other.to_string()));
    assert_eq!(ids[0].0.get_version_num(), 7);
}

#[tokio::test]
async fn a_store_that_does_not_answer_lets_nothing_happen() {
    let (place, id) = (Place::new().await, rule("style"));
    let config = place.config();
    place.store.close().await;
    assert!(matches!(put(&config, &id, "one").await, Err(ConfigError::Store(_))));
    assert!(!place.path("rules").exists());
}
