//! An older program does not touch the store of a newer one.

use std::process::{Command, ExitStatus};

use rustix::process::Signal;
use sea_orm::{ConnectionTrait as _, Database};

use crate::harness::{Engine, Folders, Outside, Program, launcher};

/// Starts the program, which is to refuse; its log.
async fn refused(folders: &Folders, variables: &[(&str, &str)]) -> (ExitStatus, String) {
    let mut program = Program::start(folders, variables);
    let status = program.ended().await;
    (status, program.log())
}

async fn made(folders: &Folders, variables: &[(&str, &str)]) {
    let mut program = Program::start(folders, variables);
    program.address().await;
    program.signal(Signal::TERM);
    assert!(program.ended().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_a_newer_version_is_refused_and_not_changed() {
    let folders = Folders::new();
    made(&folders, &[]).await;
    let file = folders.data().join("askd.db");
    let store = Database::connect(format!("sqlite://{}?mode=rw", file.display())).await.unwrap();
    store.execute_unprepared("UPDATE store SET version = 999; PRAGMA wal_checkpoint(TRUNCATE)").await.unwrap();
    store.close().await.unwrap();
    let before = std::fs::read(&file).unwrap();
    let (status, log) = refused(&folders, &[]).await;
    assert_eq!(status.code(), Some(2), "{log}");
    assert!(log.contains("999") && log.contains("askd.db"), "{log}");
    assert_eq!(std::fs::read(&file).unwrap(), before, "the file is what it was");
    let wal = folders.data().join("askd.db-wal");
    assert!(wal.metadata().map_or(0, |wal| wal.len()) == 0, "and nothing waits beside it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_a_newer_version_is_refused_and_not_changed() {
    let (folders, engine) = (Folders::new(), Engine::postgres().await);
    let url = engine.url();
    let variables = [("ASKD_DATABASE_URL", url.as_str())];
    made(&folders, &variables).await;
    let outside = Outside::of(&url).await;
    outside.execute("UPDATE store SET version = 999").await;
    let tables = "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = 'public'";
    let before = outside.number(tables).await;
    let (status, log) = refused(&folders, &variables).await;
    assert_eq!(status.code(), Some(2), "{log}");
    assert!(log.contains("999") && log.contains("ASKD_DATABASE_URL"), "{log}");
    assert_eq!(outside.number(tables).await, before);
    assert_eq!(outside.number("SELECT version FROM store").await, 999);
    outside.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cli_that_is_too_old_is_refused_before_the_store_is_changed() {
    let folders = Folders::new();
    made(&folders, &[]).await;
    let file = folders.data().join("askd.db");
    let before = std::fs::read(&file).unwrap();
    std::fs::remove_file(folders.data().join("cli.json")).unwrap();
    let old = [("ASKD_CHILD_ENV", "FAKE_CLAUDE"), ("FAKE_CLAUDE", "version 1.0.0")];
    let (status, log) = refused(&folders, &old).await;
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("1.0.0"), "{log}");
    assert_eq!(std::fs::read(&file).unwrap(), before);
    std::fs::remove_file(&file).unwrap();
    refused(&folders, &old).await;
    assert!(!file.exists(), "nor is a store made");
}

/// `askd migrate` with these arguments: its exit code, and what it says.
async fn migrate(folders: &Folders, arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    askd(folders, "migrate", arguments, variables).await
}

#[expect(clippy::disallowed_methods, reason = "the program under test")]
async fn askd(
    folders: &Folders,
    subcommand: &str,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> (Option<i32>, String) {
    let mut command = Command::new(launcher());
    command.arg(subcommand).args(arguments).env_clear();
    command.env("ASKD_DATA_DIR", folders.data()).env("ASKD_ALLOW_ROOT", "1").envs(variables.iter().copied());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_update_would_do_is_told_without_doing_it_and_can_be_done_alone() {
    let folders = Folders::new();
    let (code, said) = migrate(&folders, &["--check"], &[]).await;
    let file = folders.data().join("askd.db");
    assert!(code == Some(0) && said.starts_with(&format!("{}: there is no store yet", file.display())), "{said}");
    assert_eq!(folders.list("data"), [""; 0]);
    let nowhere = folders.root().join("nowhere");
    let elsewhere = [("ASKD_DATA_DIR", nowhere.to_str().unwrap())];
    let (code, said) = migrate(&folders, &["--check"], &elsewhere).await;
    assert!(code == Some(1) && said.contains("there is no folder") && !nowhere.exists(), "{code:?} {said}");
    let url = format!("sqlite://{}?mode=rwc", file.display());
    let first = include_str!("../../store/schemas/0001.sqlite.sql");
    let store = Database::connect(&url).await.unwrap();
    store.execute_unprepared(first).await.unwrap();
    store.close().await.unwrap();
    let before = std::fs::read(&file).unwrap();
    let (code, said) = migrate(&folders, &["--check"], &[]).await;
    assert!(code == Some(3) && said.contains("version 1"), "{code:?} {said}");
    assert_eq!(std::fs::read(&file).unwrap(), before, "nothing was changed");
    let (code, said) = migrate(&folders, &[], &[]).await;
    assert!(code == Some(0) && said.contains("had version 1"), "{code:?} {said}");
    assert_eq!(migrate(&folders, &["--check"], &[]).await.0, Some(0));
    // Not before a restore that was cut off is finished.
    folders.write("data/restoring/plan.json", "{}");
    for arguments in [&["--check"][..], &[]] {
        let (code, said) = migrate(&folders, arguments, &[]).await;
        assert!(code == Some(1) && said.contains("a restore into ASKD_DATA_DIR has begun"), "{said}");
    }
    std::fs::remove_dir_all(folders.data().join("restoring")).unwrap();
    // Not beside a server.
    let program = Program::start(&folders, &[]);
    program.address().await;
    assert_eq!(migrate(&folders, &["--check", "--json"], &[]).await.0, Some(0));
    drop(program);
    let store = Database::connect(&url).await.unwrap();
    store.execute_unprepared("UPDATE store SET version = 999").await.unwrap();
    store.close().await.unwrap();
    let (code, said) = migrate(&folders, &["--check"], &[]).await;
    assert!(code == Some(1) && said.contains("999"), "{code:?} {said}");
    // A backup of what it does not know might not be whole.
    let archive = folders.root().join("newer.tar.zst");
    let (code, said) = askd(&folders, "backup", &["--to", archive.to_str().unwrap()], &[]).await;
    assert!(code == Some(1) && said.contains("999") && !archive.exists(), "{code:?} {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_of_a_database_is_told_too() {
    let (folders, engine) = (Folders::new(), Engine::postgres().await);
    let url = engine.url();
    let variables = [("ASKD_DATABASE_URL", url.as_str())];
    let (code, said) = migrate(&folders, &["--check"], &variables).await;
    assert!(code == Some(0) && said.contains("no store yet"), "{said}");
    made(&folders, &variables).await;
    let (code, said) = migrate(&folders, &["--check"], &variables).await;
    assert!(code == Some(0) && said.contains("which is this askd's"), "{said}");
}
