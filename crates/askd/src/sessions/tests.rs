use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use rustix::fs::FlockOperation;

use super::exchange::lock;
use super::*;

mod prune;

struct Fixture {
    root: tempfile::TempDir,
    sessions: Sessions,
}

const ID: Uuid = Uuid::from_u128(7);

fn fixture() -> Fixture {
    let root = tempfile::tempdir().unwrap();
    let sessions = Sessions::open(&root.path().join("data"), &root.path().join("config"), 1 << 20).unwrap();
    Fixture { root, sessions }
}

impl Fixture {
    fn home(&self, name: &str) -> PathBuf {
        let home = self.root.path().join(name);
        fs::create_dir_all(project_folder(&home)).unwrap();
        home
    }

    fn write(home: &Path, text: &str) {
        let project = project_folder(home);
        fs::write(project.join(file_name(ID)), text).unwrap();
        fs::create_dir_all(project.join(ID.to_string()).join("subagents")).unwrap();
        fs::write(project.join(ID.to_string()).join("subagents/agent-1.jsonl"), text).unwrap();
    }

    fn read(home: &Path) -> String {
        fs::read_to_string(project_folder(home).join(file_name(ID))).unwrap()
    }

    fn read_extra(home: &Path) -> String {
        let extra = project_folder(home).join(ID.to_string()).join("subagents/agent-1.jsonl");
        fs::read_to_string(extra).unwrap()
    }
}

#[test]
fn a_session_travels_from_home_to_home() {
    let f = fixture();
    let first = f.home("first");
    Fixture::write(&first, "one");
    assert!(!f.sessions.exists(ID));
    f.sessions.carry_back(ID, &first).unwrap();
    assert!(f.sessions.exists(ID));

    let second = f.home("second");
    f.sessions.carry_in(ID, &second).unwrap();
    assert_eq!(Fixture::read(&second), "one");
    Fixture::write(&second, "two");
    f.sessions.carry_back(ID, &second).unwrap();

    let third = f.home("third");
    f.sessions.carry_in(ID, &third).unwrap();
    assert_eq!(Fixture::read(&third), "two");
    assert_eq!(Fixture::read_extra(&third), "two");
}

/// Holds a lock on the session's folder, and does something that must wait for it; `meanwhile` is done before it may.
fn while_locked(f: &Fixture, operation: FlockOperation, act: impl FnOnce() + Send, meanwhile: impl FnOnce()) {
    let held = open(f.sessions.folder.join(ID.to_string()), FOLDER, Mode::empty()).unwrap();
    lock(&held, operation).unwrap();
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            act();
            done.send(()).unwrap();
        });
        let early = is_done.recv_timeout(Duration::from_millis(200));
        meanwhile();
        drop(held);
        assert!(early.is_err(), "it did not wait");
    });
}

#[test]
fn a_session_in_the_middle_of_its_exchange_is_copied_when_that_is_done() {
    let f = fixture();
    let (first, second, fork) = (f.home("first"), f.home("second"), f.home("fork"));
    Fixture::write(&first, "one");
    f.sessions.carry_back(ID, &first).unwrap();
    Fixture::write(&second, "two");
    let (kept, later) = (f.sessions.folder.join(ID.to_string()), project_folder(&second));
    fs::remove_dir_all(kept.join(ID.to_string())).unwrap();
    fs::rename(later.join(ID.to_string()), kept.join(ID.to_string())).unwrap();
    while_locked(
        &f,
        FlockOperation::LockExclusive,
        || f.sessions.carry_in(ID, &fork).unwrap(),
        || fs::rename(later.join(file_name(ID)), kept.join(file_name(ID))).unwrap(),
    );
    assert_eq!((Fixture::read(&fork), Fixture::read_extra(&fork)), ("two".into(), "two".into()));
}

#[test]
fn a_session_is_not_exchanged_while_somebody_looks_at_it() {
    let f = fixture();
    let (first, second) = (f.home("first"), f.home("second"));
    Fixture::write(&first, "one");
    f.sessions.carry_back(ID, &first).unwrap();
    Fixture::write(&second, "two");
    let kept = f.sessions.folder.join(ID.to_string());
    let before = kept.join(ID.to_string()).join("subagents/agent-1.jsonl");
    while_locked(
        &f,
        FlockOperation::LockShared,
        || f.sessions.carry_back(ID, &second).unwrap(),
        || assert_eq!(fs::read_to_string(before).unwrap(), "one"),
    );
    assert_eq!(fs::read_to_string(f.sessions.transcript(ID)).unwrap(), "two");
}

#[test]
fn a_session_that_ends_again_and_again_meanwhile_is_copied_whole() {
    let f = fixture();
    let first = f.home("first");
    Fixture::write(&first, "0");
    f.sessions.carry_back(ID, &first).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for turn in 1..40 {
                let home = f.home(&format!("turn-{turn}"));
                Fixture::write(&home, &turn.to_string());
                f.sessions.carry_back(ID, &home).unwrap();
            }
        });
        for fork in 0..40 {
            let home = f.home(&format!("fork-{fork}"));
            if f.sessions.carry_in(ID, &home).is_err() {
                continue;
            }
            assert_eq!(Fixture::read_extra(&home), Fixture::read(&home));
        }
    });
    let kept = f.root.path().join("data/sessions").join(ID.to_string());
    assert_eq!(fs::read_dir(kept).unwrap().count(), 2, "nothing is left aside");
}

#[test]
fn a_session_of_the_cli_itself_is_found() {
    let f = fixture();
    let foreign = f.root.path().join("config/projects/-some-folder");
    fs::create_dir_all(&foreign).unwrap();
    fs::write(foreign.join(file_name(ID)), "old").unwrap();
    let home = f.home("home");
    f.sessions.carry_in(ID, &home).unwrap();
    assert_eq!(Fixture::read(&home), "old");
}

#[test]
fn links_that_an_agent_planted_are_not_followed() {
    let f = fixture();
    let home = f.home("home");
    symlink("/etc/hostname", project_folder(&home).join(file_name(ID))).unwrap();
    f.sessions.carry_back(ID, &home).unwrap();
    assert!(!f.sessions.exists(ID));
}

#[test]
fn a_link_anywhere_on_the_way_is_not_followed() {
    let f = fixture();
    let (home, other) = (f.home("home"), f.home("other"));
    Fixture::write(&other, "stolen");
    fs::remove_dir_all(home.join(CONFIG_FOLDER).join("projects")).unwrap();
    symlink(other.join(CONFIG_FOLDER).join("projects"), home.join(CONFIG_FOLDER).join("projects")).unwrap();
    f.sessions.carry_back(ID, &home).unwrap();
    assert!(!f.sessions.exists(ID));
}

#[test]
fn a_home_left_by_a_crash_gives_its_session_back() {
    let f = fixture();
    let home = f.home("dead");
    Fixture::write(&home, "kept");
    f.sessions.recover(ID, &home).unwrap();
    assert!(f.sessions.exists(ID));
    f.sessions.recover(ID, &f.root.path().join("no such home")).unwrap();
}

#[test]
fn a_session_that_has_gone_on_since_is_not_set_back() {
    let f = fixture();
    let (dead, later, next) = (f.home("dead"), f.home("later"), f.home("next"));
    Fixture::write(&dead, "old");
    let left = fs::File::options().write(true).open(project_folder(&dead).join(file_name(ID))).unwrap();
    left.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    Fixture::write(&later, "new");
    f.sessions.carry_back(ID, &later).unwrap();
    f.sessions.recover(ID, &dead).unwrap();
    f.sessions.carry_in(ID, &next).unwrap();
    assert_eq!(Fixture::read(&next), "new");
    let beside = f.root.path().join("data/sessions").join(ID.to_string()).join(format!("{ID}.older.jsonl"));
    assert_eq!(fs::read_to_string(beside).unwrap(), "old");
    let out = f.root.path().join("out");
    let too_large = f.sessions.copy_out(ID, &out, 8).unwrap_err();
    assert_eq!(too_large.kind(), std::io::ErrorKind::FileTooLarge, "one bound for both");
    fs::remove_dir_all(&out).unwrap();
    f.sessions.copy_out(ID, &out, 9).unwrap();
    assert_eq!(fs::read_to_string(out.join(older_name(ID))).unwrap(), "old", "a backup has both");
}
