//! Transcripts: one folder a session below `ASKD_DATA_DIR/sessions`, carried into the home of the run that continues
//! it and back again when the run's processes are gone.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use claude::environment::{CONFIG_FOLDER, PROJECT_DIR_NAME};
use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat, openat2};
use rustix::io::Errno;
use uuid::Uuid;

use crate::copy_tree::{Copier, CopyRules};
use crate::disk::removal;

pub mod returning;

mod exchange;
mod prune;
#[cfg(test)]
mod tests;

use exchange::identity;
use returning::Pending;

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
        copy_whole(&source, session, &project_folder(home), self.max_bytes).map(drop)
    }

    /// Copies a session of askd's own into a folder that is empty or not there, in the same way, with an older transcript
    /// that was put beside it. If all of it has more than so many bytes: [`io::ErrorKind::FileTooLarge`].
    pub fn copy_out(&self, session: Uuid, target: &Path, max_bytes: u64) -> io::Result<()> {
        if !fs::metadata(self.transcript(session))?.is_file() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let source = self.folder.join(session.to_string());
        let mut copier = copy_whole(&source, session, target, max_bytes)?;
        let older = older_name(session);
        copier.copy(&source.join(&older), &target.join(&older))
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

    fn transcript(&self, session: Uuid) -> PathBuf {
        self.folder.join(session.to_string()).join(file_name(session))
    }

    fn find_foreign(&self, session: Uuid) -> Option<PathBuf> {
        let name = file_name(session);
        let folders = fs::read_dir(&self.foreign).ok()?;
        folders.flatten().map(|entry| entry.path()).find(|folder| folder.join(&name).is_file())
    }
}

/// Copies a session as it was at one moment; with what is left of the allowance.
fn copy_whole(source: &Path, session: Uuid, target: &Path, max_bytes: u64) -> io::Result<Copier> {
    fs::create_dir_all(target)?;
    for _ in 0..COPIES {
        let before = identity(source, session)?;
        // What an agent may have written is never followed.
        let rules = CopyRules { max_bytes, max_entries: MAX_ENTRIES, follow_links: false, left_out: "" };
        let mut copier = Copier::new(rules);
        for name in [file_name(session), session.to_string()] {
            copier.copy(&source.join(&name), &target.join(&name))?;
        }
        if identity(source, session)? == before {
            return Ok(copier);
        }
        removal::remove(target)?;
        fs::create_dir_all(target)?;
    }
    Err(io::Error::other("the session is exchanged again and again while it is copied"))
}

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
