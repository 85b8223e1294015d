//! The private home of a run: made before its process starts, removed when the process tree is gone.

use std::collections::HashSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use claude::environment::{CONFIG_FOLDER, TEMP_FOLDER};
use uuid::Uuid;

use crate::disk::removal;
use crate::sessions::Sessions;

/// Where homes lie.
#[derive(Debug, Clone)]
pub struct Homes {
    folder: PathBuf,
    /// One file a home: the session whose transcript is in it. Not in the home, where the agent could change it.
    owners: PathBuf,
    held: Arc<Held>,
}

/// The names of homes that somebody in this process holds.
#[derive(Debug, Default)]
struct Held(Mutex<HashSet<String>>);

impl Held {
    fn names(&self) -> MutexGuard<'_, HashSet<String>> {
        // No code that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One home.
#[derive(Debug)]
pub struct Home {
    path: PathBuf,
    name: String,
    owner: PathBuf,
    held: Arc<Held>,
}

impl Drop for Home {
    fn drop(&mut self) {
        self.held.names().remove(&self.name);
    }
}

/// Where it is noted whose transcript is in which home: one file a home, which holds the session's id.
pub fn owners(data_dir: &Path) -> PathBuf {
    data_dir.join("owners")
}

/// Names are short, because the deny rules against other homes name every prefix of the own one
/// ([`claude::run_settings::RunSettings::deny_siblings`]); random, because only live homes must not collide.
const NAME_LENGTH: usize = 8;

impl Homes {
    /// Creates the folder if need be.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let folder = data_dir.join("homes");
        let owners = owners(data_dir);
        for folder in [&folder, &owners] {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        Ok(Self { folder, owners, held: Arc::default() })
    }

    /// The folder of all homes.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes an empty home with the folders that the CLI expects.
    pub fn create(&self, random: impl Fn() -> Uuid) -> io::Result<Home> {
        let home = loop {
            let name = random().simple().to_string()[..NAME_LENGTH].to_owned();
            // Before it is there, so that it is never taken for one that nobody holds.
            if !self.held.names().insert(name.clone()) {
                continue;
            }
            let (path, owner) = (self.folder.join(&name), self.owners.join(&name));
            let home = Home { path, name, owner, held: Arc::clone(&self.held) };
            match DirBuilder::new().mode(0o700).create(&home.path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                created => break created.map(|()| home)?,
            }
        };
        let filled = [CONFIG_FOLDER, TEMP_FOLDER]
            .into_iter()
            .try_for_each(|folder| DirBuilder::new().mode(0o700).create(home.path.join(folder)));
        if let Err(error) = filled {
            // The disk may be full: what is there of the home must not stay.
            home.remove()?;
            return Err(error);
        }
        Ok(home)
    }

    /// Clears away the homes of a dead server, after their sessions were moved back. To be called when none of its
    /// processes is left. A home that cannot be cleared away stays, and is tried again at the next start.
    pub fn recover(&self, sessions: &Sessions) -> io::Result<usize> {
        self.clear_unless(sessions, |_| Some(None::<()>))
    }

    /// Clears away the homes that nobody in this process holds, after their sessions were moved back: those of runs of
    /// which something could not be ended, or not be kept. `hold` keeps runs from a session as long as what it gives is
    /// kept; a home of whose session it gives nothing stays. To be called when none of those runs' processes is left; gives
    /// the number of homes.
    pub fn clear<H>(&self, sessions: &Sessions, hold: impl Fn(Uuid) -> Option<H>) -> io::Result<usize> {
        self.clear_unless(sessions, |home| {
            let name = home.file_name().and_then(|name| name.to_str());
            if name.is_some_and(|name| self.held.names().contains(name)) {
                return None;
            }
            match self.owner(home) {
                Some(session) => hold(session).map(Some),
                None => Some(None),
            }
        })
    }

    /// `may_go` gives nothing for a home that stays.
    fn clear_unless<H>(&self, sessions: &Sessions, may_go: impl Fn(&Path) -> Option<Option<H>>) -> io::Result<usize> {
        let mut count = 0;
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            // A run that took the session up in between would work with its older transcript, and then put that over this one.
            let Some(_held) = may_go(&path) else { continue };
            match self.recover_one(&path, sessions) {
                Ok(()) => count += 1,
                Err(error) => {
                    tracing::error!(home = %path.display(), %error, "cannot clear away the home of an earlier run");
                }
            }
        }
        Ok(count)
    }

    fn recover_one(&self, path: &Path, sessions: &Sessions) -> io::Result<()> {
        let Some(name) = path.file_name() else { return Ok(()) };
        // Without an owner the run had not begun, and its copy of a transcript may be incomplete.
        if let Some(session) = self.owner(path) {
            sessions.recover(session, path)?;
        }
        if fs::symlink_metadata(path)?.is_dir() {
            removal::remove(path)?;
        } else {
            fs::remove_file(path)?;
        }
        remove_file_if_there(&self.owners.join(name))
    }

    /// The session whose transcript is in a home.
    fn owner(&self, home: &Path) -> Option<Uuid> {
        fs::read_to_string(self.owners.join(home.file_name()?)).ok()?.parse().ok()
    }
}

impl Home {
    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its name in the folder of homes.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Notes whose transcript is in it. From now on a server that finds this home takes the transcript back.
    pub fn claim(&self, session: Uuid) -> io::Result<()> {
        let new = self.owner.with_extension("new");
        fs::write(&new, session.to_string())?;
        fs::rename(&new, &self.owner)
    }

    /// Removes it with everything in it.
    pub fn remove(&self) -> io::Result<()> {
        removal::remove(&self.path)?;
        remove_file_if_there(&self.owner)
    }
}

fn remove_file_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_home_is_private_and_goes_with_everything_in_it() {
        let data = tempfile::tempdir().unwrap();
        let home = Homes::open(data.path()).unwrap().create(Uuid::new_v4).unwrap();
        assert_eq!(fs::metadata(home.path()).unwrap().permissions().mode() & 0o777, 0o700);
        let locked = home.path().join("a/b");
        fs::create_dir_all(&locked).unwrap();
        fs::write(locked.join("file"), "").unwrap();
        fs::set_permissions(&locked, Permissions::from_mode(0o000)).unwrap();
        let path = home.path().to_owned();
        home.remove().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn two_homes_never_share_a_folder() {
        let data = tempfile::tempdir().unwrap();
        let homes = Homes::open(data.path()).unwrap();
        let ids =
            std::cell::RefCell::new(vec![Uuid::from_u128(2 << 96), Uuid::from_u128(1 << 96), Uuid::from_u128(1 << 96)]);
        let next = || ids.borrow_mut().pop().unwrap();
        let (first, second) = (homes.create(next).unwrap(), homes.create(next).unwrap());
        assert_ne!(first.path(), second.path());
    }

    struct Fixture {
        data: tempfile::TempDir,
        homes: Homes,
        sessions: Sessions,
    }

    fn fixture() -> Fixture {
        let data = tempfile::tempdir().unwrap();
        let homes = Homes::open(data.path()).unwrap();
        let sessions = Sessions::open(data.path(), data.path(), 1 << 20).unwrap();
        Fixture { data, homes, sessions }
    }

    impl Fixture {
        fn home_with_transcript(&self, session: Uuid, text: &str) -> Home {
            let home = self.homes.create(Uuid::new_v4).unwrap();
            let folder = home.path().join(CONFIG_FOLDER).join("projects/run");
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(format!("{session}.jsonl")), text).unwrap();
            home
        }

        fn transcript(&self, session: Uuid) -> Option<String> {
            let folder = self.data.path().join("sessions").join(session.to_string());
            fs::read_to_string(folder.join(format!("{session}.jsonl"))).ok()
        }

        fn left(&self) -> usize {
            let count = |folder| fs::read_dir(self.data.path().join(folder)).unwrap().count();
            count("homes") + count("owners")
        }
    }

    #[test]
    fn a_dead_server_s_homes_give_back_their_own_session_and_no_other() {
        let f = fixture();
        let (own, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let home = f.home_with_transcript(own, "own");
        fs::write(home.path().join(CONFIG_FOLDER).join(format!("projects/run/{other}.jsonl")), "forged").unwrap();
        home.claim(own).unwrap();
        assert_eq!(f.homes.recover(&f.sessions).unwrap(), 1);
        assert_eq!(f.transcript(own).as_deref(), Some("own"));
        assert_eq!(f.transcript(other), None);
        assert_eq!(f.left(), 0);
    }

    #[test]
    fn a_home_whose_run_had_not_begun_gives_nothing_back() {
        let f = fixture();
        let session = Uuid::from_u128(1);
        f.home_with_transcript(session, "half a copy");
        f.homes.recover(&f.sessions).unwrap();
        assert_eq!(f.transcript(session), None);
        assert_eq!(f.left(), 0);
    }

    /// Looks, when it is let go, whether the session is back.
    struct Hold<'a>(&'a Fixture, Uuid, &'a std::cell::Cell<bool>);
    impl Drop for Hold<'_> {
        fn drop(&mut self) {
            self.2.set(self.0.transcript(self.1).is_some());
        }
    }

    #[test]
    fn a_home_that_nobody_holds_is_cleared_and_gives_its_session_back() {
        let f = fixture();
        let (held, left) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let home = f.home_with_transcript(held, "at work");
        home.claim(held).unwrap();
        f.home_with_transcript(left, "left").claim(left).unwrap();
        assert_eq!(f.homes.clear(&f.sessions, |_| None::<()>).unwrap(), 0, "its session is in use");
        let kept = std::cell::Cell::new(false);
        assert_eq!(f.homes.clear(&f.sessions, |session| Some(Hold(&f, session, &kept))).unwrap(), 1);
        assert!(kept.get(), "the session was held until its transcript was back");
        assert_eq!((f.transcript(left).as_deref(), f.transcript(held)), (Some("left"), None));
        assert!(home.path().exists());
        home.remove().unwrap();
        assert_eq!(f.left(), 0);
    }

    #[test]
    fn whatever_lies_among_the_homes_does_not_stop_the_start() {
        let f = fixture();
        fs::write(f.homes.folder().join("stray"), "").unwrap();
        std::os::unix::fs::symlink("/etc", f.homes.folder().join("link")).unwrap();
        let home = f.homes.create(Uuid::new_v4).unwrap();
        fs::create_dir_all(home.path().join(CONFIG_FOLDER).join("projects")).unwrap();
        fs::write(home.path().join(CONFIG_FOLDER).join("projects/run"), "a file").unwrap();
        home.claim(Uuid::from_u128(1)).unwrap();
        assert_eq!(f.homes.recover(&f.sessions).unwrap(), 3);
        assert_eq!(f.left(), 0);
    }
}
