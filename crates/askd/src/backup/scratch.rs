//! A folder for what is needed while an archive is written or read, and no longer, however the work ends.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::disk::removal;

/// What the names of such folders end with. They begin with a dot.
const UNFINISHED: &str = ".askd-unfinished";

/// What keeps a second process away, in such a folder. A file: of folders not every file system has locks.
const LOCK: &str = "lock";

/// How often somebody else may make or remove the folder while it is taken.
const TRIES: usize = 100;

/// A folder of ours, which goes when this is dropped, unless it was [kept](Self::keep).
#[derive(Debug)]
pub(super) struct ScratchFolder {
    path: PathBuf,
    _lock: File,
}

impl ScratchFolder {
    /// An empty folder; `None`: another process has it.
    pub(super) fn create(path: &Path) -> io::Result<Option<Self>> {
        for _ in 0..TRIES {
            match DirBuilder::new().mode(0o700).create(path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            match Self::take(path) {
                // Whoever had it has removed it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                taken => return taken,
            }
        }
        Err(io::Error::other("it is made and removed again and again"))
    }

    /// One that is there.
    fn take(path: &Path) -> io::Result<Option<Self>> {
        let there = fs::symlink_metadata(path)?;
        // In a folder that is everybody's somebody else may have made it, and put there what would be followed.
        if !there.is_dir() || there.uid() != geteuid().as_raw() {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is there, and not a folder of this user"));
        }
        let file = path.join(LOCK);
        let mut options = OpenOptions::new();
        options
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
        let lock = options.open(&file)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let (own, there) = (lock.metadata()?, fs::symlink_metadata(&file)?);
        if (own.dev(), own.ino()) != (there.dev(), there.ino()) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let taken = Self { path: path.to_owned(), _lock: lock };
        taken.empty()?;
        Ok(Some(taken))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves it where it is.
    pub(super) fn keep(self) {
        std::mem::forget(self);
    }

    fn empty(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_name() == LOCK {
                continue;
            }
            let is_folder = entry.file_type()?.is_dir();
            if is_folder { removal::remove(&entry.path()) } else { fs::remove_file(entry.path()) }?;
        }
        Ok(())
    }
}

impl Drop for ScratchFolder {
    fn drop(&mut self) {
        // The lock last: until then nobody else is here.
        if self.empty().is_ok() {
            drop(fs::remove_file(self.path.join(LOCK)));
            drop(fs::remove_dir(&self.path));
        }
    }
}

/// What the scratch folder for this name is called.
pub(super) fn scratch_name(name: &str) -> String {
    format!(".{name}{UNFINISHED}")
}

/// Removes what killed processes of this user have left in a folder, for whatever name.
pub(super) fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with('.') && name.ends_with(UNFINISHED)) {
            drop(ScratchFolder::take(&entry.path()));
        }
    }
}

/// Gives a file its name for good, unless another has it.
pub(super) fn put_in_place(file: &Path, name: &Path) -> io::Result<()> {
    match renameat_with(CWD, file, CWD, name, RenameFlags::NOREPLACE) {
        // Not on every file system, as NFS.
        Err(Errno::INVAL | Errno::NOSYS) if !name.exists() => fs::rename(file, name)?,
        renamed => renamed?,
    }
    sync_folder(name.parent().unwrap_or(Path::new("/")))
}

/// Readable by its owner only.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// A folder and all in it; none is fine.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match removal::remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Brings names in a folder to the disk.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_has_left_goes_and_what_somebody_works_in_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(scratch_name(name));
        for name in ["killed", "other"] {
            fs::create_dir_all(path(name).join("deep/deeper")).unwrap();
            fs::write(path(name).join("archive"), "half").unwrap();
        }
        let at_work = ScratchFolder::create(&path("at-work")).unwrap().unwrap();
        fs::write(at_work.path().join("archive"), "half").unwrap();
        let taken = ScratchFolder::create(&path("other")).unwrap().unwrap();
        assert_eq!(fs::read_dir(taken.path()).unwrap().count(), 1, "only its lock");
        assert!(ScratchFolder::create(&path("other")).unwrap().is_none(), "one at a time");
        sweep(folder.path());
        assert!(!path("killed").exists() && at_work.path().join("archive").exists());
        drop((at_work, taken));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_link_is_not_followed_and_a_file_that_was_made_meanwhile_stays() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = folder.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        fs::write(elsewhere.join("precious"), "").unwrap();
        let path = folder.path().join(scratch_name("x"));
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert!(ScratchFolder::create(&path).is_err());
        sweep(folder.path());
        assert!(elsewhere.join("precious").exists() && !elsewhere.join(LOCK).exists());
        fs::write(folder.path().join("new"), "new").unwrap();
        assert!(put_in_place(&folder.path().join("new"), &elsewhere.join("precious")).is_err());
        put_in_place(&folder.path().join("new"), &elsewhere.join("name")).unwrap();
        assert_eq!(fs::read_to_string(elsewhere.join("precious")).unwrap(), "");
    }
}
