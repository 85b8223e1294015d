//! What callers are told, and what the history says, when something goes wrong at the worst moment.

use super::*;

/// What lies beside a document has no place of its own any more.
fn nothing_of_ours_is_left(place: &Place) {
    let names = fs::read_dir(place.path("rules")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.into_iter().all(|name| !name.to_string_lossy().starts_with(".askd-")));
}

fn spoil(config: &Config, spoil: Spoil) {
    *config.inner.spoil.lock().unwrap() = Some(spoil);
}

#[tokio::test]
async fn a_disk_that_fails_after_the_rename_is_not_told_as_if_nothing_had_happened() {
    let (place, id) = (Place::new().await, rule("style"));
    let config = place.config();
    put(&config, &id, "one").await.unwrap();
    spoil(&config, |_| Err(ConfigError::Io("the disk fails".to_owned())));
    let error = put(&config, &id, "two").await.unwrap_err();
    assert!(matches!(&error, ConfigError::Unnoted(text) if text.contains("the server's log")), "{error}");
    assert!(error.to_string().starts_with("the change is in force"), "{error}");
    assert_eq!(place.read("rules/style.md"), "two");
    assert_eq!(story(&config, &id).await, [told(Action::Updated, "two"), told(Action::Created, "one")]);
    nothing_of_ours_is_left(&place);
}

#[tokio::test]
async fn a_mistake_of_the_server_after_the_rename_is_told_the_same_way() {
    let (place, id) = (Place::new().await, rule("style"));
    let config = place.config();
    spoil(&config, |_| std::panic::resume_unwind(Box::new("no message in the test's output")));
    assert!(matches!(put(&config, &id, "one").await, Err(ConfigError::Unnoted(_))));
    assert_eq!(story(&config, &id).await, [told(Action::Created, "one")]);
    assert!(config.inner.in_flight.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_failed_before_anything_happened_is_told_as_it_is() {
    let (place, id) = (Place::new().await, rule("style"));
    let config = place.config();
    place.write("rules/Style.md", "differs in case");
    let error = put(&config, &id, "one").await.unwrap_err();
    assert!(matches!(&error, ConfigError::Conflict(text) if text.contains("upper and lower case")), "{error}");
    let states: Vec<_> = history(&config, &id).await.into_iter().map(|change| change.state).collect();
    assert_eq!(states, [State::Abandoned]);
}

#[tokio::test]
async fn a_change_that_a_thread_still_works_on_is_settled_by_nobody_else() {
    let (place, id) = (Place::new().await, rule("style"));
    let config = place.config();
    place.write("rules/style.md", "old");
    let ids = place.intend(&config, false, &[(&id, Some("old"), Some("new"))]).await;
    let working = config.in_flight(ids);
    assert_eq!(config.settle().await.unwrap(), 0);
    drop(working);
    assert_eq!(config.settle().await.unwrap(), 1);
}

#[tokio::test]
async fn a_link_in_the_place_of_a_document_does_not_close_the_scope_for_ever() {
    let place = Place::new().await;
    let config = place.config();
    let (a, b, c) = (rule("a"), rule("b"), rule("c"));
    place.write("rules/elsewhere.txt", "theirs");
    // An import was begun, and then somebody put a link and a folder where the rest of it was to be.
    place.write("rules/a.md", "new");
    std::os::unix::fs::symlink("elsewhere.txt", place.path("rules/b.md")).unwrap();
    fs::create_dir(place.path("rules/c.md")).unwrap();
    let changes = [(&a, Some("old"), Some("new")), (&b, Some("old"), Some("new")), (&c, Some("old"), Some("new"))];
    place.intend(&config, true, &changes).await;
    assert_eq!(config.settle().await.unwrap(), 3);
    assert_eq!(config.settle().await.unwrap(), 0);
    put(&config, &rule("other"), "text").await.unwrap();
    assert!(matches!(put(&config, &b, "mine").await, Err(ConfigError::Link { .. })));
    assert_eq!((place.read("rules/elsewhere.txt"), place.read("rules/a.md")), ("theirs".into(), "new".into()));
    assert_eq!(story(&config, &a).await, [told(Action::Updated, "new")]);
}

#[tokio::test]
async fn the_rest_of_an_import_that_can_never_be_made_is_given_up() {
    let place = Place::new().await;
    let config = place.config();
    let (a, b) = (rule("a"), rule("b"));
    place.write("rules/a.md", "new");
    place.write("rules/B.md", "differs in case");
    place.intend(&config, true, &[(&a, Some("old"), Some("new")), (&b, None, Some("new"))]).await;
    assert_eq!(config.settle().await.unwrap(), 2);
    put(&config, &a, "newer").await.unwrap();
    assert!(!place.path("rules/b.md").exists());
}
