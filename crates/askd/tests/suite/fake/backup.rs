//! `askd backup` beside a server at work, and `askd restore`: what was acknowledged before comes back, and nothing is run twice.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use askd::store::backup::known_schema;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Engine, Folders, Program, UNPRIVILEGED, V1, eventually, integrity, launcher, marked_processes};

mod lock;
mod rights;
mod sessions;

/// `askd COMMAND` with the data folder given.
#[expect(clippy::disallowed_methods, reason = "the program under test")]
fn askd(data: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(launcher());
    command.args(arguments).env_clear().env("ASKD_DATA_DIR", data).env("ASKD_ALLOW_ROOT", "1");
    command.envs(variables.iter().copied()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn done(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A backup that must succeed; its summary.
async fn backup(data: &Path, to: &Path) -> Value {
    let to = to.display().to_string();
    let output = done(askd(data, &["backup", "--json", "--to", &to], &[])).await;
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A restore, whatever comes of it.
async fn restore(data: &Path, from: &Path, more: &[&str]) -> Output {
    let from = from.display().to_string();
    let arguments: Vec<_> = ["restore", "--from", &from].into_iter().chain(more.iter().copied()).collect();
    done(askd(data, &arguments, &[])).await
}

/// A server on the data of these folders.
fn serve(folders: &Folders) -> Program {
    Program::start(folders, &[("MAX_CONCURRENT", "5")])
}

/// What is in a folder, but for what a server makes anew.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What a backup needs as long as it is at work.
fn scratch(folder: &Path) -> Vec<String> {
    names(folder).into_iter().filter(|name| name.contains("askd-")).collect()
}

/// Whether only root could do what a test wants, and it is not; says so.
fn needs_root(test: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        let line = format!("NOT RUN: {test}: only root works in the folders of others\n");
        drop(std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()));
    }
    !is_root
}

/// Five runs that never stop talking, one of which waits behind them, and one that ends after the other.
struct Load {
    client: V1,
    at_work: Vec<String>,
    waiting: String,
    /// With all their events, as they were acknowledged.
    ended: Vec<(String, Vec<Value>)>,
}

impl Load {
    async fn begin(program: &Program) -> Self {
        let client = V1::at(program.address().await);
        let mut at_work = Vec::new();
        for _ in 0..4 {
            at_work.push(client.submit(&json!({"prompt": "!noise\n!drip 1000000 2 2000"})).await);
        }
        for run in &at_work {
            client.reaches(run, "running").await;
        }
        let session = client.run(&at_work[0]).await["session_id"].clone();
        // It waits for its session, not for a place.
        let waiting = client.submit(&json!({"prompt": "!touch twice", "session_id": session})).await;
        Self { client, at_work, waiting, ended: Vec::new() }
    }

    async fn one_more_ends(&mut self, word: &str) {
        let run = self.client.submit(&json!({"prompt": format!("!say {word}\n!big 50k\n!result {word}")})).await;
        let ended = self.client.ended(&run).await;
        assert_eq!(ended["state"], "completed", "{ended}");
        let events = self.client.events(&run).await;
        self.ended.push((run, events));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_brings_back_all_that_was_acknowledged_before_it() {
    let folders = Folders::new();
    let mut program = serve(&folders);
    let mut load = Load::begin(&program).await;
    let mut archives = Vec::new();
    for number in 0..3 {
        load.one_more_ends(&format!("word-{number}")).await;
        let archive = folders.root().join(format!("backup-{number}.tar.zst"));
        let taken = backup(&folders.data(), &archive).await;
        assert_eq!((&taken["warnings"], &taken["schema"]), (&json!([]), &json!(known_schema())), "{taken}");
        archives.push((archive, load.ended.clone()));
    }
    program.signal(Signal::KILL);
    program.ended().await;
    eventually("the end of every process", || marked_processes(&folders.data()).is_empty().then_some(())).await;
    assert_eq!(integrity(&folders.data().join("askd.db")).await, "ok");
    assert_eq!(scratch(folders.root()), [""; 0], "nothing is left beside the archives");

    for (archive, ended) in archives {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&archive).unwrap().permissions().mode() & 0o777, 0o600);
        let fresh = Folders::new();
        let output = restore(&fresh.data(), &archive, &[]).await;
        assert!(output.status.success(), "{}", said(&output));
        let mut program = serve(&fresh);
        let client = V1::at(program.address().await);
        for (run, events) in &ended {
            assert_eq!(&client.events(run).await, events);
        }
        // Whoever was at work is lost, with the events that came before, and so is who waited: it may have been run since.
        for run in load.at_work.iter().chain([&load.waiting]) {
            let run = client.run(run).await;
            assert_eq!(run["state"], "lost", "{run}");
            assert!(run["error"]["message"].as_str().unwrap().contains("restored from a backup"), "{run}");
        }
        assert!(client.events(&load.at_work[0]).await.len() > 2);
        assert!(!fresh.workspace().join("twice").exists());
        // A transcript is there for each that has ended: the conversation goes on.
        let (last, _) = ended.last().unwrap();
        let session = client.run(last).await["session_id"].clone();
        let next = client.submit(&json!({"prompt": "!recall", "session_id": session})).await;
        let told = client.ended(&next).await;
        assert!(told["result"].as_str().unwrap().contains("!result word-"), "{told}");
        assert!(!fresh.data().join("restored.json").exists(), "settled once");
        program.signal(Signal::TERM);
        assert!(program.ended().await.success());
        // And from then on it is a server like any other.
        let program = serve(&fresh);
        assert_eq!(V1::at(program.address().await).run(last).await["state"], "completed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_refuses_what_would_lose_something_and_changes_nothing() {
    let (folders, fresh) = (Folders::new(), Folders::new());
    let mut program = serve(&folders);
    let client = V1::at(program.address().await);
    let run = client.submit(&json!({"prompt": "hello"})).await;
    client.ended(&run).await;
    let archive = folders.root().join("backup");
    backup(&folders.data(), &archive).await;
    let refuses = async |data: PathBuf, archive: PathBuf, why: &str| {
        let before = names(&data);
        let output = restore(&data, &archive, &[]).await;
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(why), "{why}: {}", said(&output));
        assert_eq!(names(&data), before, "{why}");
    };
    refuses(folders.data(), archive.clone(), "works in ASKD_DATA_DIR").await;
    program.signal(Signal::TERM);
    assert!(program.ended().await.success());
    refuses(folders.data(), archive.clone(), "which is not empty").await;
    let whole = std::fs::read(&archive).unwrap();
    let damaged = folders.root().join("damaged");
    for (bytes, why) in [
        (&whole[..whole.len() / 2], "is damaged"),
        (&whole[..whole.len() - 1], "is damaged"),
        (&b"nonsense"[..], "is damaged, or no backup of askd"),
    ] {
        std::fs::write(&damaged, bytes).unwrap();
        refuses(fresh.data(), damaged.clone(), why).await;
    }
    let mut turned = whole.clone();
    turned[whole.len() / 2] ^= 1;
    std::fs::write(&damaged, &turned).unwrap();
    refuses(fresh.data(), damaged.clone(), "is damaged").await;
    refuses(fresh.data(), folders.root().join("none"), "cannot read").await;
    let again = done(askd(&folders.data(), &["backup", "--to", &archive.display().to_string()], &[])).await;
    assert!(said(&again).contains("is there already"), "{}", said(&again));
    assert_eq!(std::fs::read(&archive).unwrap(), whole);

    // What is there is put aside if that is wanted.
    let output = restore(&folders.data(), &archive, &["--replace", "--json"]).await;
    assert!(output.status.success(), "{}", said(&output));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let before = PathBuf::from(told["before"].as_str().unwrap());
    assert!(before.join("askd.db").is_file() && before.starts_with(folders.data()), "{told}");
    let program = serve(&folders);
    assert_eq!(V1::at(program.address().await).run(&run).await["state"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_goes_through_a_pipe() {
    let (folders, fresh) = (Folders::new(), Folders::new());
    let program = serve(&folders);
    let client = V1::at(program.address().await);
    let run = client.submit(&json!({"prompt": "hello"})).await;
    client.ended(&run).await;
    let output = done(askd(&folders.data(), &["backup", "--to", "-"], &[])).await;
    assert!(output.status.success());
    let archive = fresh.root().join("piped");
    std::fs::write(&archive, &output.stdout).unwrap();
    let mut command = askd(&fresh.data(), &["restore", "--from", "-"], &[]);
    command.stdin(std::fs::File::open(&archive).unwrap());
    let output = done(command).await;
    assert!(output.status.success(), "{}", said(&output));
    let program = serve(&fresh);
    assert_eq!(V1::at(program.address().await).run(&run).await["state"], "completed");
    assert_eq!(scratch(&folders.data()), [""; 0], "nothing is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_backup_to_a_pipe_has_left_goes_when_a_server_starts() {
    let folders = Folders::new();
    let mut program = serve(&folders);
    let client = V1::at(program.address().await);
    let run = client.submit(&json!({"prompt": "!noise\n!big 1m"})).await;
    client.ended(&run).await;
    // Nobody reads what it writes, and more comes than a pipe holds.
    let mut child = askd(&folders.data(), &["backup", "--to", "-"], &[]).spawn().unwrap();
    eventually("a backup at work", || (scratch(&folders.data()).len() == 1).then_some(())).await;
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(scratch(&folders.data()).len(), 1, "nobody has cleared it away");
    program.signal(Signal::TERM);
    assert!(program.ended().await.success());
    program = serve(&folders);
    program.address().await;
    eventually("that it is gone", || scratch(&folders.data()).is_empty().then_some(())).await;
    let told = "cleared away temporary files that were left";
    eventually("a line in the log", || program.log().contains(told).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_postgresql_is_told_what_to_do_and_its_transcripts_are_backed_up_alone() {
    let (folders, engine) = (Folders::new(), Engine::postgres().await);
    let url = engine.url();
    let variables = [("ASKD_DATABASE_URL", url.as_str())];
    let program = Program::start(&folders, &variables);
    let client = V1::at(program.address().await);
    let run = client.submit(&json!({"prompt": "first"})).await;
    let session = client.ended(&run).await["session_id"].clone();
    let archive = folders.root().join("backup").display().to_string();
    let refused = done(askd(&folders.data(), &["backup", "--to", &archive], &variables)).await;
    assert!(said(&refused).contains("pg_dump") && !refused.status.success(), "{}", said(&refused));
    // The transcript comes a moment after the end.
    let transcript = format!("sessions/{0}/{0}.jsonl", session.as_str().unwrap());
    eventually("the transcript", || folders.data().join(&transcript).exists().then_some(())).await;
    let taken = done(askd(&folders.data(), &["backup", "--sessions-only", "--to", &archive], &variables)).await;
    assert!(taken.status.success(), "{}", said(&taken));
    let fresh = Folders::new();
    let output = done(askd(&fresh.data(), &["restore", "--from", &archive], &variables)).await;
    assert!(output.status.success(), "{}", said(&output));
    let text = |folders: &Folders| std::fs::read(folders.data().join(&transcript)).unwrap();
    assert_eq!(text(&fresh), text(&folders));
}

/// Kills it after so long, unless it has ended.
async fn kill_after(mut child: Child, time: Duration) -> bool {
    tokio::time::sleep(time).await;
    let was_alive = child.try_wait().unwrap().is_none();
    drop(child.kill());
    child.wait().unwrap();
    was_alive
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_killed_leaves_the_server_whole_and_the_next_one_works() {
    let folders = Folders::new();
    let program = serve(&folders);
    let mut load = Load::begin(&program).await;
    load.one_more_ends("before").await;
    let (mut killed, mut left) = (0, 0);
    for round in 0..8_u64 {
        // Dated, as cron has them: no later backup has the name.
        let archive = folders.root().join(format!("backup-{round}"));
        let child = askd(&folders.data(), &["backup", "--to", &archive.display().to_string()], &[]).spawn().unwrap();
        killed += u32::from(kill_after(child, Duration::from_millis(5 + round * 13)).await);
        left = left.max(scratch(folders.root()).len());
    }
    assert!(killed > 0, "every backup was faster than its killer");
    assert_eq!(left, 1, "each takes away what the one before has left");
    load.one_more_ends("after").await;
    backup(&folders.data(), &folders.root().join("backup")).await;
    assert_eq!(scratch(folders.root()), [""; 0], "what the killed ones have left is gone");
    drop(program);
    eventually("the end of every process", || marked_processes(&folders.data()).is_empty().then_some(())).await;
    assert_eq!(integrity(&folders.data().join("askd.db")).await, "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_killed_has_happened_or_has_not() {
    let (folders, target) = (Folders::new(), Folders::new());
    let mut program = serve(&folders);
    let mut load = Load::begin(&program).await;
    load.one_more_ends("kept").await;
    let archive = folders.root().join("backup");
    backup(&folders.data(), &archive).await;
    program.signal(Signal::KILL);
    program.ended().await;
    // What is there before: another server's.
    let mut other = serve(&target);
    let client = V1::at(other.address().await);
    let old = client.submit(&json!({"prompt": "old"})).await;
    client.ended(&old).await;
    other.signal(Signal::TERM);
    assert!(other.ended().await.success());
    let new = load.ended[0].0.clone();
    // How long it takes here, so that some are killed early and some late.
    let begun = std::time::Instant::now();
    assert!(restore(&Folders::new().data(), &archive, &[]).await.status.success());
    let whole = begun.elapsed();
    let (mut restored, mut killed) = (false, 0);
    for round in 0..8_u32 {
        let from = archive.display().to_string();
        if round == 7 {
            assert!(restore(&target.data(), &archive, &["--replace"]).await.status.success());
            restored = true;
        } else {
            let child = askd(&target.data(), &["restore", "--replace", "--from", &from], &[]).spawn().unwrap();
            killed += u32::from(kill_after(child, whole * (round + 2) / 8).await);
        }
        let program = serve(&target);
        let client = V1::at(program.address().await);
        let status = async |run: &str| client.get(&format!("/v1/runs/{run}")).await.status;
        let seen = (status(&old).await, status(&new).await);
        // Once it has happened, it goes on from there.
        restored |= seen.1 == 200;
        assert_eq!(seen, if restored { (404, 200) } else { (200, 404) }, "round {round}");
        assert!(!target.data().join("restoring").exists());
        drop(program);
        eventually("the end of every process", || marked_processes(&target.data()).is_empty().then_some(())).await;
    }
    assert!(killed > 0, "every restore was faster than its killer");
    assert_eq!(integrity(&target.data().join("askd.db")).await, "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_moves_what_is_askd_s_and_only_where_it_can() {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    let (folders, target) = (Folders::new(), Folders::new());
    let mut program = serve(&folders);
    let client = V1::at(program.address().await);
    let run = client.submit(&json!({"prompt": "hello"})).await;
    client.ended(&run).await;
    program.signal(Signal::TERM);
    assert!(program.ended().await.success());
    let archive = folders.root().join("backup");
    backup(&folders.data(), &archive).await;
    target.give_to(UNPRIVILEGED);
    // A file system of its own: root's, and nobody may even look.
    std::fs::DirBuilder::new().mode(0o000).create(target.data().join("lost+found")).unwrap();
    let output = restore(&target.data(), &archive, &[]).await;
    assert!(output.status.success(), "{}", said(&output));
    // Somebody's notes, and two within the same second.
    std::fs::write(target.data().join("notes"), "mine").unwrap();
    let mut aside = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let output = restore(&target.data(), &archive, &["--replace", "--json"]).await;
        assert!(output.status.success(), "{}", said(&output));
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        let before = PathBuf::from(told["before"].as_str().unwrap());
        assert!(before.join("askd.db").is_file() && before.join("sessions").is_dir(), "{told}");
        aside.insert(before);
    }
    assert_eq!(aside.len(), 3, "each in a folder of its own");
    for name in ["notes", "lost+found"] {
        assert!(target.data().join(name).exists(), "{name} is not askd's");
    }
    // What cannot be moved is seen before anything has.
    let homes = target.data().join("homes");
    std::fs::DirBuilder::new().mode(0o500).create(&homes).unwrap();
    let before = names(&target.data());
    let refused = restore(&target.data(), &archive, &["--replace"]).await;
    assert!(said(&refused).contains("`homes` there cannot be moved"), "{}", said(&refused));
    assert_eq!((refused.status.code(), names(&target.data())), (Some(1), before));
    std::fs::set_permissions(&homes, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::remove_dir(&homes).unwrap();
    if rustix::process::geteuid().is_root() {
        crate::harness::give(&target.data(), 0);
    }
    let program = serve(&target);
    assert_eq!(V1::at(program.address().await).run(&run).await["state"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_leaves_to_the_server_what_it_needs_of_the_disk() {
    let folders = Folders::new();
    let mut program = serve(&folders);
    program.address().await;
    program.signal(Signal::TERM);
    assert!(program.ended().await.success());
    let to = folders.root().join("backup").display().to_string();
    let refused = done(askd(&folders.data(), &["backup", "--to", &to], &[("ASKD_MIN_FREE_DISK", "1000000GiB")])).await;
    assert!(said(&refused).contains("ASKD_MIN_FREE_DISK"), "{}", said(&refused));
    assert_eq!((refused.status.code(), scratch(folders.root())), (Some(1), vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_does_not_start_on_a_restored_store_that_it_cannot_take_for_its_own() {
    use rustix::fs::{IFlags, ioctl_setflags};
    let (folders, fresh) = (Folders::new(), Folders::new());
    let mut program = serve(&folders);
    program.address().await;
    program.signal(Signal::TERM);
    assert!(program.ended().await.success());
    let archive = folders.root().join("backup");
    backup(&folders.data(), &archive).await;
    assert!(restore(&fresh.data(), &archive, &[]).await.status.success());
    let note = std::fs::File::open(fresh.data().join("restored.json")).unwrap();
    if ioctl_setflags(&note, IFlags::IMMUTABLE).is_err() {
        let line = b"NOT RUN: a_server_does_not_start_on_a_restored_store: no file can be made immutable here\n";
        drop(std::io::Write::write_all(&mut std::io::stderr(), line));
        return;
    }
    let mut program = serve(&fresh);
    let (status, log) = (program.ended().await, program.log());
    ioctl_setflags(&note, IFlags::empty()).unwrap();
    assert!(status.code() == Some(1) && log.contains("cannot remove `restored.json`"), "{log}");
    let mut program = serve(&fresh);
    program.address().await;
    program.signal(Signal::TERM);
    assert!(program.ended().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_backup_leaves_nothing() {
    let folders = Folders::new();
    let program = serve(&folders);
    let mut load = Load::begin(&program).await;
    load.one_more_ends("before").await;
    // How long it takes here, so that one at least is interrupted in the middle.
    let begun = std::time::Instant::now();
    backup(&folders.data(), &folders.root().join("measured")).await;
    let whole = begun.elapsed();
    let archive = folders.root().join("backup").display().to_string();
    let mut interrupted = 0;
    for round in 0..5_u32 {
        let mut child = askd(&folders.data(), &["backup", "--to", &archive], &[]).spawn().unwrap();
        tokio::time::sleep(whole * (round + 1) / 7).await;
        let _ = rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::INT);
        let status = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
        interrupted += u32::from(status.code() == Some(130));
        // A signal before the program hears signals ends it as the system does, and then nothing was begun.
        assert_eq!(scratch(folders.root()), [""; 0], "{status}");
        drop(std::fs::remove_file(&archive));
    }
    assert!(interrupted > 0, "every backup was faster than its interruption");
}
