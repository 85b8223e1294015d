//! A session's files are put in the place of older ones by renames, and who copies them meanwhile finds out.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{
    AtFlags, FileType, FlockOperation, Mode, Timespec, Timestamps, UTIME_NOW, flock, open, renameat, statat, utimensat,
};
use rustix::io::{Errno, retry_on_intr};
use uuid::Uuid;

use super::{FOLDER, Sessions, file_name};
use crate::disk::removal;

/// What the name of a session that is being removed begins with.
pub(super) const ASIDE: &str = ".removing-";

/// Two seconds together.
const LOCK_TRIES: u32 = 200;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

impl Sessions {
    /// Moves a session's files from an open folder. What an agent can have put there instead of a file or a folder, a
    /// link or a pipe, is left.
    pub(super) fn take(&self, source: &OwnedFd, session: Uuid, kept_as: &str) -> io::Result<()> {
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
}

/// What tells a session's files from those that a later run puts in their place, which it does by renaming. Never that of
/// some old and some new ones.
pub(super) fn identity(folder: &Path, session: Uuid) -> io::Result<[Option<(u64, u64)>; 2]> {
    let folder = open(folder, FOLDER, Mode::empty())?;
    lock(&folder, FlockOperation::NonBlockingLockShared)?;
    Ok([file_name(session), session.to_string()].map(|name| {
        let stat = statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        Some((stat.st_dev, stat.st_ino))
    }))
}

/// Keeps those who exchange a session's files and those who look at them apart, other servers too, until the folder is
/// closed. Under it there are a few renames, or two looks: who holds it longer is none of ours, and not waited for.
pub(super) fn lock(folder: &OwnedFd, operation: FlockOperation) -> io::Result<()> {
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

/// What lies under a name; a link counts as a link.
fn kind(folder: &OwnedFd, name: &str) -> io::Result<Option<FileType>> {
    match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn remove_if_there(folder: &Path) -> io::Result<()> {
    match removal::remove(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
