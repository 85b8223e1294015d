//! What a workspace cannot do to the server and to others.

use std::sync::mpsc;

use super::*;

fn shop() -> Scope {
    Scope::Workspace("shop".to_owned())
}

/// A workspace with rules that hold nothing and are large.
fn with_rules(place: &Place, count: usize, size: u64) {
    let rules = place.folder.path().join("workspace/shop/.claude/rules");
    fs::create_dir_all(&rules).unwrap();
    for number in 0..count {
        fs::File::create(rules.join(format!("r{number}.md"))).unwrap().set_len(size).unwrap();
    }
}

async fn dry(config: &Config, mode: Import, documents: Vec<(DocumentId, Content)>) -> Result<Imported, ConfigError> {
    config.replace(&shop(), documents, mode, true, &Condition::None, &by()).await
}

#[tokio::test]
async fn an_import_beside_files_that_are_too_large_reads_none_of_them() {
    let place = Place::new().await;
    with_rules(&place, 100, 16 << 20);
    let config = place.config();
    let brought = vec![(rule("new"), text("x"))];
    assert_eq!(dry(&config, Import::Merge, brought.clone()).await.unwrap().created, [rule("new")]);
    let error = dry(&config, Import::Replace, brought).await.unwrap_err();
    assert!(matches!(&error, ConfigError::TooLarge { what, .. } if what.contains("rules/r0.md")), "{error}");
}

#[tokio::test]
async fn a_workspace_that_holds_too_much_is_an_error_and_no_answer_about_a_part_of_it() {
    let place = Place::new().await;
    with_rules(&place, 20, 1_900_000);
    let config = place.config();
    let is_over = |error: &ConfigError| matches!(error, ConfigError::TooLarge { unit: "bytes", .. });
    assert!(config.overview(&shop()).await.is_err_and(|error| is_over(&error)));
    assert!(config.problems(&shop()).await.is_err_and(|error| is_over(&error)));
    assert!(dry(&config, Import::Merge, vec![]).await.is_err_and(|error| is_over(&error)));
    // One by one they can still be seen, and removed.
    assert!(config.read(&shop(), &rule("r0")).await.unwrap().is_some());
    let removed = config.edit(&shop(), &rule("r0"), Edit::Remove, &Condition::None, &by()).await.unwrap();
    assert_eq!(removed.outcome, Outcome::Removed);
}

#[tokio::test]
async fn workspaces_on_a_disk_that_hangs_hold_up_nothing_of_the_users() {
    let place = Place::new().await;
    with_rules(&place, 1, 1);
    let config = place.config();
    let (entered, inside) = mpsc::channel();
    let (mut release, mut tasks) = (Vec::new(), tokio::task::JoinSet::new());
    for _ in 0..4 {
        let (config, entered, (hold, kept)) = (config.clone(), entered.clone(), mpsc::channel::<()>());
        release.push(hold);
        tasks.spawn(async move {
            let hangs = move |_: &Inner, _: &Root| {
                entered.send(()).unwrap();
                Ok(kept.recv().is_ok())
            };
            config.reading(&shop(), hangs).await
        });
    }
    let all = tokio::task::spawn_blocking(move || inside.iter().take(4).count());
    assert_eq!(all.await.unwrap(), 4);
    put(&config, &rule("a"), "x").await.unwrap();
    assert!(config.read(&Scope::User, &rule("a")).await.unwrap().is_some());
    drop(release);
    assert_eq!(tasks.join_all().await.len(), 4);
}

#[tokio::test]
async fn what_changes_hold_at_once_is_bounded() {
    for (size, kilobytes) in [(0, 64), (64 << 10, 64), (1 << 20, 1_024), (usize::MAX, 64 << 10)] {
        assert_eq!(super::super::place(size).await.unwrap().num_permits(), kilobytes);
    }
}
