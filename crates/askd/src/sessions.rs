//! Transcripts: one folder a session below `ASKD_DATA_DIR/sessions`, carried into the home of the run that continues
//! it and back again when the run's processes are gone.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use claude::environment::{CONFIG_FOLDER, PROJECT_DIR_NAME};
use rustix::fs::{
    AtFlags, FileType, FlockOperation, Mode, OFlags, ResolveFlags, Timespec, Timestamps, UTIME_NOW, flock, open,
    openat, openat2, renameat, statat, utimensat,
};
use rustix::io::{Errno, retry_on_intr};
use uuid::Uuid;

use crate::copy_tree::{Copier, CopyRules};
use crate::disk::removal;
use crate::disk::usage::{Taken, measure};
use returning::Pending;

pub mod returning;

/// Where transcripts are kept, and where older ones may be found.
#[derive(Debug, Clone)]
pub struct Sessions {
    folder: PathBuf,
    /// `CONFIG_DIR/projects`: sessions that the CLI made before askd, or beside it.
    foreign: PathBuf,
    max_bytes: u64,
    pending: Arc<Pending>,
}

/// More files than a session can have; big tool results and one transcript a subagent.
const MAX_ENTRIES: usize = 20_000;

/// How often a session is copied anew because it was exchanged meanwhile.
const COPIES: u32 = 5;

/// The longest last line of a transcript that is read, in bytes; the one that is looked for has a few hundred.
const LAST_LINE: u64 = 64 << 10;

/// What the name of a session that is being removed begins with.
const ASIDE: &str = ".removing-";

impl Sessions {
    /// Creates the folder if need be. `max_bytes` bounds what one session may hold.
    pub fn open(data_dir: &Path, config_dir: &Path, max_bytes: u64) -> io::Result<Self> {
        let folder = data_dir.join("sessions");
        fs::create_dir_all(&folder)?;
        Ok(Self { folder, foreign: config_dir.join("projects"), max_bytes, pending: Arc::default() })
    }

    /// Whether the session has a transcript here or among the CLI's own.
    pub fn exists(&self, session: Uuid) -> bool {
        self.transcript(session).is_file() || self.find_foreign(session).is_some()
    }

    /// Copies the session into a run's home, so that `--resume` finds it there. A run of the session may end meanwhile and
    /// put a newer one in its place, when it is to be forked: the copy is of one of the two, and not of both.
    pub fn carry_in(&self, session: Uuid, home: &Path) -> io::Result<()> {
        let source = if self.transcript(session).is_file() {
            self.folder.join(session.to_string())
        } else {
            self.find_foreign(session).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?
        };
        self.copy_whole(&source, session, &project_folder(home))
    }

    /// Copies a session of askd's own into a folder that is empty or not there, in the same way, with an older transcript
    /// that was put beside it.
    pub fn copy_out(&self, session: Uuid, target: &Path) -> io::Result<()> {
        if !fs::metadata(self.transcript(session))?.is_file() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let source = self.folder.join(session.to_string());
        self.copy_whole(&source, session, target)?;
        let older = older_name(session);
        self.copier().copy(&source.join(&older), &target.join(&older))
    }

    fn copy_whole(&self, source: &Path, session: Uuid, target: &Path) -> io::Result<()> {
        fs::create_dir_all(target)?;
        for _ in 0..COPIES {
            let before = identity(source, session)?;
            self.copy(source, session, target)?;
            if identity(source, session)? == before {
                return Ok(());
            }
            removal::remove(target)?;
            fs::create_dir_all(target)?;
        }
        Err(io::Error::other("the session is exchanged again and again while it is copied"))
    }

    fn copy(&self, source: &Path, session: Uuid, target: &Path) -> io::Result<()> {
        let mut copier = self.copier();
        for name in [file_name(session), session.to_string()] {
            copier.copy(&source.join(&name), &target.join(&name))?;
        }
        Ok(())
    }

    /// What an agent may have written is never followed.
    fn copier(&self) -> Copier {
        let rules =
            CopyRules { max_bytes: self.max_bytes, max_entries: MAX_ENTRIES, follow_links: false, left_out: "" };
        Copier::new(rules)
    }

    /// Moves the session out of a run's home; renames only, so that a crash in between loses nothing. To be called when
    /// the run's processes are gone, and only for a home whose copy was complete.
    pub fn carry_back(&self, session: Uuid, home: &Path) -> io::Result<()> {
        match open_project_folder(home)? {
            Some(source) => self.take(&source, session, &file_name(session)),
            None => Ok(()),
        }
    }

    /// The last line of the session's transcript in a run's home, if it is not longer than any that askd reads.
    pub fn last_line(&self, session: Uuid, home: &Path) -> io::Result<Option<String>> {
        let Some(folder) = open_project_folder(home)? else { return Ok(None) };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&folder, file_name(session), flags, Mode::empty()) {
            Ok(file) => fs::File::from(file),
            Err(Errno::NOENT | Errno::LOOP) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Ok(None);
        }
        let mut end = vec![0; usize::try_from(metadata.len().min(LAST_LINE)).unwrap_or_default()];
        let from = metadata.len() - end.len() as u64;
        file.read_exact_at(&mut end, from)?;
        let end = String::from_utf8_lossy(&end);
        Ok(end.trim_end().rsplit_once('\n').map(|(_, last)| last.to_owned()))
    }

    /// The same for a home that a dead server left. The session may have gone on elsewhere since: the newer transcript
    /// stays, and the older one is put beside it.
    pub fn recover(&self, session: Uuid, home: &Path) -> io::Result<()> {
        let Some(source) = open_project_folder(home)? else { return Ok(()) };
        let stored = fs::metadata(self.transcript(session)).and_then(|metadata| metadata.modified()).ok();
        let left = fs::symlink_metadata(project_folder(home).join(file_name(session)));
        let left = left.and_then(|metadata| metadata.modified()).ok();
        if stored.is_some() && stored > left {
            tracing::warn!(%session, "a session has gone on since; its older transcript is kept beside it");
            return self.take(&source, session, &older_name(session));
        }
        self.take(&source, session, &file_name(session))
    }

    /// Moves a session's files from an open folder. What an agent can have put there instead of a file or a folder, a
    /// link or a pipe, is left.
    fn take(&self, source: &OwnedFd, session: Uuid, kept_as: &str) -> io::Result<()> {
        let (name, extras) = (file_name(session), session.to_string());
        if kind(source, &name)? != Some(FileType::RegularFile) {
            return Ok(());
        }
        let folder = self.folder.join(&extras);
        fs::create_dir_all(&folder)?;
        let target = open(&folder, FOLDER, Mode::empty())?;
        // Only renames, and nobody looks in between, so that whoever copies the session meanwhile finds out (`identity`).
        let aside = folder.join(format!("{ASIDE}{extras}"));
        remove_if_there(&aside)?;
        lock(&target, FlockOperation::NonBlockingLockExclusive)?;
        if kept_as == name && kind(source, &extras)? == Some(FileType::Directory) {
            match fs::rename(folder.join(&extras), &aside) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            renameat(source, &extras, &target, &extras)?;
        }
        // By it the oldest sessions are found, and an agent can have given its own any time, one that never comes too.
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let times = Timestamps { last_access: now, last_modification: now };
        utimensat(source, &name, &times, AtFlags::SYMLINK_NOFOLLOW)?;
        renameat(source, &name, &target, kept_as)?;
        drop(target);
        remove_if_there(&aside)
    }

    /// Removes the sessions whose transcript is older than `retention` and that are not `in_use`; gives their number.
    pub fn prune(&self, now: SystemTime, retention: Duration, in_use: impl Fn(Uuid) -> bool) -> io::Result<usize> {
        let mut removed = 0;
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let Some(name) = name.to_str() else { continue };
            let pruned = if name.starts_with(ASIDE) {
                // A crash came between.
                removal::remove(&self.folder.join(name)).map(|()| false)
            } else if let Ok(session) = name.parse() {
                self.prune_one(session, now, retention, &in_use)
            } else {
                continue;
            };
            match pruned {
                Ok(pruned) => removed += usize::from(pruned),
                // It must not keep all others.
                Err(error) => tracing::warn!(session = name, %error, "cannot remove an old session"),
            }
        }
        Ok(removed)
    }

    fn prune_one(
        &self,
        session: Uuid,
        now: SystemTime,
        retention: Duration,
        in_use: impl Fn(Uuid) -> bool,
    ) -> io::Result<bool> {
        // A clock that was set forward is believed: a limit by the newest transcript, say, would keep the transcripts
        // of an idle server for ever, and that they go is a promise.
        let is_old = now.duration_since(self.last_written(session)?).is_ok_and(|age| age > retention);
        Ok(is_old && self.remove(session, in_use)?)
    }

    /// When the session was last used.
    fn last_written(&self, session: Uuid) -> io::Result<SystemTime> {
        // A crash may have left a folder without a transcript.
        let transcript = fs::metadata(self.transcript(session));
        transcript.or_else(|_| fs::metadata(self.folder.join(session.to_string())))?.modified()
    }

    /// Removes sessions, those first that were not used for the longest time, until all together take no more than
    /// `most` bytes; never one that is `in_use`. Gives their number.
    pub fn prune_to_size(&self, most: u64, in_use: impl Fn(Uuid) -> bool) -> io::Result<usize> {
        let mut sessions = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let Some(session) = entry.file_name().to_str().and_then(|name| name.parse::<Uuid>().ok()) else { continue };
            // One that cannot be looked at, or has gone, must not keep all others.
            let Ok(written) = self.last_written(session) else { continue };
            let bytes = match measure(&entry.path(), MAX_ENTRIES) {
                Ok(Taken::Bytes(bytes)) => bytes,
                Ok(Taken::TooMuchToLookAt) => self.max_bytes,
                Err(_) => continue,
            };
            sessions.push((written, session, bytes));
        }
        sessions.sort_unstable();
        let mut taken = sessions.iter().map(|(_, _, bytes)| bytes).sum::<u64>();
        let mut removed = 0;
        for (_, session, bytes) in sessions {
            if taken <= most {
                break;
            }
            match self.remove(session, &in_use) {
                Ok(true) => {
                    taken = taken.saturating_sub(bytes);
                    removed += 1;
                }
                Ok(false) => {}
                Err(error) => tracing::warn!(%session, %error, "cannot remove an old session"),
            }
        }
        Ok(removed)
    }

    /// Removes a session unless it is in use; whether it is gone.
    fn remove(&self, session: Uuid, in_use: impl Fn(Uuid) -> bool) -> io::Result<bool> {
        let (folder, aside) = (self.folder.join(session.to_string()), self.folder.join(format!("{ASIDE}{session}")));
        if in_use(session) {
            return Ok(false);
        }
        remove_if_there(&aside)?;
        fs::rename(&folder, &aside)?;
        // Who looks from here on finds no session. Who looked just before may have entered the queue meanwhile.
        if in_use(session) && fs::rename(&aside, &folder).is_ok() {
            return Ok(false);
        }
        // Where it could not go back, the run has already put a newer one there.
        removal::remove(&aside)?;
        Ok(true)
    }

    fn transcript(&self, session: Uuid) -> PathBuf {
        self.folder.join(session.to_string()).join(file_name(session))
    }

    fn find_foreign(&self, session: Uuid) -> Option<PathBuf> {
        let name = file_name(session);
        let folders = fs::read_dir(&self.foreign).ok()?;
        folders.flatten().map(|entry| entry.path()).find(|folder| folder.join(&name).is_file())
    }
}

/// What tells a session's files from those that a later run puts in their place, which it does by renaming. Never that of
/// some old and some new ones.
fn identity(folder: &Path, session: Uuid) -> io::Result<[Option<(u64, u64)>; 2]> {
    let folder = open(folder, FOLDER, Mode::empty())?;
    lock(&folder, FlockOperation::NonBlockingLockShared)?;
    Ok([file_name(session), session.to_string()].map(|name| {
        let stat = statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        Some((stat.st_dev, stat.st_ino))
    }))
}

/// Keeps those who exchange a session's files and those who look at them apart, other servers too, until the folder is
/// closed. Under it there are a few renames, or two looks: who holds it longer is none of ours, and not waited for.
fn lock(folder: &OwnedFd, operation: FlockOperation) -> io::Result<()> {
    for _ in 0..LOCK_TRIES {
        match retry_on_intr(|| flock(folder, operation)) {
            Err(Errno::WOULDBLOCK) => std::thread::sleep(LOCK_PAUSE),
            // A network's file system without locks, or without such for folders.
            Err(Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::BADF) => return Ok(()),
            locked => return Ok(locked?),
        }
    }
    Ok(())
}

/// Two seconds together.
const LOCK_TRIES: u32 = 200;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

fn file_name(session: Uuid) -> String {
    format!("{session}.jsonl")
}

/// Of a home that a dead server left, when the session has gone on elsewhere.
fn older_name(session: Uuid) -> String {
    format!("{session}.older.jsonl")
}

fn project_folder(home: &Path) -> PathBuf {
    home.join(CONFIG_FOLDER).join("projects").join(PROJECT_DIR_NAME)
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The folder of a home's transcripts. Each part of the path may have been replaced by a link: none is followed.
fn open_project_folder(home: &Path) -> io::Result<Option<OwnedFd>> {
    let flags = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let below = Path::new(CONFIG_FOLDER).join("projects").join(PROJECT_DIR_NAME);
    let opened = open(home, FOLDER | OFlags::NOFOLLOW, Mode::empty())
        .and_then(|home| openat2(home, &below, FOLDER, Mode::empty(), flags));
    match opened {
        Ok(folder) => Ok(Some(folder)),
        Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What lies under a name; a link counts as a link.
fn kind(folder: &OwnedFd, name: &str) -> io::Result<Option<FileType>> {
    match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn remove_if_there(folder: &Path) -> io::Result<()> {
    match removal::remove(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

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
    fn the_time_that_an_agent_gave_its_transcript_does_not_count() {
        let f = fixture();
        let home = f.home("home");
        Fixture::write(&home, "old");
        let file = fs::File::options().write(true).open(project_folder(&home).join(file_name(ID))).unwrap();
        let begun = file.metadata().unwrap().modified().unwrap();
        file.set_modified(begun + Duration::from_hours(24 * 365 * 100)).unwrap();
        f.sessions.carry_back(ID, &home).unwrap();
        let hour = Duration::from_hours(1);
        assert_eq!(f.sessions.prune(begun + hour * 3, hour * 2, |_| false).unwrap(), 1);
    }

    #[test]
    fn old_sessions_go_unless_they_are_in_use() {
        let f = fixture();
        let home = f.home("home");
        Fixture::write(&home, "old");
        f.sessions.carry_back(ID, &home).unwrap();
        let hour = Duration::from_hours(1);
        let later = |hours| SystemTime::UNIX_EPOCH + fs_age(&f) + hour * hours;
        assert_eq!(f.sessions.prune(later(1), hour * 2, |_| false).unwrap(), 0);
        assert_eq!(f.sessions.prune(later(3), hour * 2, |id| id == ID).unwrap(), 0);
        assert_eq!(f.sessions.prune(later(3), hour * 2, |_| false).unwrap(), 1);
        assert!(!f.sessions.exists(ID));
    }

    #[test]
    fn beyond_their_size_those_go_that_were_not_used_for_the_longest_time() {
        let f = fixture();
        let hour = Duration::from_hours(1);
        for number in 1..=4_u32 {
            let session = Uuid::from_u128(number.into());
            let folder = f.sessions.folder.join(session.to_string());
            fs::create_dir_all(folder.join(session.to_string())).unwrap();
            fs::write(folder.join(session.to_string()).join("big"), vec![1; 256 << 10]).unwrap();
            fs::write(folder.join(file_name(session)), "x").unwrap();
            let file = fs::File::options().write(true).open(folder.join(file_name(session))).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + hour * number).unwrap();
        }
        let there = || (1..=4).filter(|number| f.sessions.exists(Uuid::from_u128(*number))).collect::<Vec<_>>();
        assert_eq!(f.sessions.prune_to_size(2 << 20, |_| false).unwrap(), 0, "there is room for all");
        assert_eq!(f.sessions.prune_to_size(600 << 10, |session| session.as_u128() == 1).unwrap(), 2);
        assert_eq!(there(), [1, 4], "the oldest is in use");
    }

    #[test]
    fn a_session_that_is_taken_up_while_it_goes_comes_back() {
        let f = fixture();
        let home = f.home("home");
        Fixture::write(&home, "old");
        f.sessions.carry_back(ID, &home).unwrap();
        let looks = std::cell::Cell::new(0);
        let later = SystemTime::UNIX_EPOCH + fs_age(&f) + Duration::from_hours(2);
        let in_use = |_| looks.replace(looks.get() + 1) > 0;
        assert_eq!(f.sessions.prune(later, Duration::from_hours(1), in_use).unwrap(), 0);
        assert!(f.sessions.exists(ID) && looks.get() == 2);
    }

    #[test]
    fn what_cannot_be_removed_does_not_keep_the_rest_and_what_a_crash_left_goes() {
        let f = fixture();
        let home = f.home("home");
        Fixture::write(&home, "old");
        f.sessions.carry_back(ID, &home).unwrap();
        for file in 8..20 {
            fs::write(f.sessions.folder.join(Uuid::from_u128(file).to_string()), "no folder").unwrap();
        }
        let left = f.sessions.folder.join(format!("{ASIDE}{}", Uuid::from_u128(20)));
        fs::create_dir(&left).unwrap();
        let later = SystemTime::UNIX_EPOCH + fs_age(&f) + Duration::from_hours(2);
        assert_eq!(f.sessions.prune(later, Duration::from_hours(1), |_| false).unwrap(), 1);
        assert!(!f.sessions.exists(ID) && !left.exists());
    }

    fn fs_age(f: &Fixture) -> Duration {
        let modified = fs::metadata(f.sessions.transcript(ID)).unwrap().modified().unwrap();
        modified.duration_since(SystemTime::UNIX_EPOCH).unwrap()
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
        f.sessions.copy_out(ID, &out).unwrap();
        assert_eq!(fs::read_to_string(out.join(older_name(ID))).unwrap(), "old", "a backup has both");
    }
}
