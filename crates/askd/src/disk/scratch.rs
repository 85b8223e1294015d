//! A folder for what is needed while an archive is written or read, and no longer, however the work ends.

use std::ffi::{CStr, OsStr, OsString};
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{
    AtFlags, CWD, Dir, Mode, OFlags, RenameFlags, fstat, mkdirat, openat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::removal;

/// What the names of such folders end with. They begin with a dot.
const UNFINISHED: &str = ".askd-unfinished";

/// What keeps a second process away, in such a folder. A file: of folders not every file system has locks.
const LOCK: &CStr = c"lock";

/// How often somebody else may make or remove the folder while it is taken.
const TRIES: usize = 100;

/// For how long somebody else may have it: who sweeps has one for a moment, also one that was made just now.
const PATIENCE: Duration = Duration::from_secs(1);

/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A folder of ours, which goes when this is dropped, unless it was [kept](Self::keep).
///
/// It is opened once, and taken, emptied and removed by that descriptor: whoever puts a link in its place has not led us
/// anywhere. What is written to its [path](Self::path) is another matter: nobody else may rename where it lies.
#[derive(Debug)]
pub struct ScratchFolder {
    path: PathBuf,
    /// Where it lies, and its name there.
    parent: OwnedFd,
    name: OsString,
    folder: OwnedFd,
    _lock: File,
}

impl ScratchFolder {
    /// An empty folder; `None`: another process has it.
    pub fn create(path: &Path) -> io::Result<Option<Self>> {
        let (begun, mut gone) = (Instant::now(), 0);
        while gone < TRIES {
            match mkdirat(parent_of(path)?, name_of(path)?, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            match Self::take(path) {
                // Whoever had it has removed it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => gone += 1,
                Ok(None) if begun.elapsed() < PATIENCE => sleep(LOOK_AGAIN),
                taken => return taken,
            }
        }
        Err(io::Error::other("it is made and removed again and again"))
    }

    /// One that is there.
    fn take(path: &Path) -> io::Result<Option<Self>> {
        let (parent, name) = (parent_of(path)?, name_of(path)?);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let foreign = || {
            let (name, own) = (name.display(), geteuid().as_raw());
            let why = format!("`{name}` is there already, and is no folder of uid {own}'s; remove it");
            io::Error::new(io::ErrorKind::AlreadyExists, why)
        };
        // In a folder that is everybody's somebody else may have made it, and put there what would be followed.
        let folder = match openat(&parent, name, flags, Mode::empty()) {
            Err(Errno::NOTDIR | Errno::LOOP | Errno::ACCESS) => return Err(foreign()),
            opened => opened?,
        };
        if fstat(&folder)?.st_uid != geteuid().as_raw() {
            return Err(foreign());
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let lock = File::from(openat(&folder, LOCK, flags, Mode::RUSR | Mode::WUSR)?);
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let (own, there) = (fstat(&lock)?, statat(&folder, LOCK, AtFlags::SYMLINK_NOFOLLOW)?);
        if (own.st_dev, own.st_ino) != (there.st_dev, there.st_ino) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let taken = Self { path: path.to_owned(), parent, name: name.to_owned(), folder, _lock: lock };
        taken.empty()?;
        Ok(Some(taken))
    }

    /// Its name, as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves it where it is.
    pub fn keep(self) {
        std::mem::forget(self);
    }

    fn empty(&self) -> io::Result<()> {
        for entry in Dir::read_from(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if [c".", c"..", LOCK].contains(&name) {
                continue;
            }
            match unlinkat(&self.folder, name, AtFlags::empty()) {
                Err(Errno::ISDIR) => drop(removal::remove_beneath(&self.folder, name, u64::MAX)?),
                removed => removed?,
            }
        }
        Ok(())
    }
}

impl Drop for ScratchFolder {
    fn drop(&mut self) {
        // The lock last: until then nobody else is here.
        if self.empty().is_ok() {
            let _ = unlinkat(&self.folder, LOCK, AtFlags::empty());
            // Whatever has this name by now, it goes only if it is an empty folder.
            let _ = unlinkat(&self.parent, &*self.name, AtFlags::REMOVEDIR);
        }
    }
}

fn parent_of(path: &Path) -> io::Result<OwnedFd> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(openat(CWD, parent, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

fn name_of(path: &Path) -> io::Result<&OsStr> {
    path.file_name().ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// What the scratch folder for this name is called.
pub fn scratch_name(name: &str) -> String {
    format!(".{name}{UNFINISHED}")
}

/// Removes what killed processes of this user have left in a folder, for whatever name; how many that were.
pub fn sweep(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_ours = |name: &str| name.starts_with('.') && name.ends_with(UNFINISHED);
    let scratch = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_ours));
    // Dropped at once, and so removed.
    scratch.filter(|entry| ScratchFolder::take(&entry.path()).is_ok_and(|taken| taken.is_some())).count()
}

/// Gives a file its name for good, unless another has it.
pub fn put_in_place(file: &Path, name: &Path) -> io::Result<()> {
    match renameat_with(CWD, file, CWD, name, RenameFlags::NOREPLACE) {
        // Not on every file system, as NFS.
        Err(Errno::INVAL | Errno::NOSYS) if !name.exists() => fs::rename(file, name)?,
        renamed => renamed?,
    }
    sync_folder(name.parent().unwrap_or(Path::new("/")))
}

/// Readable by its owner only.
pub fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// A folder and all in it; none is fine.
pub fn remove(path: &Path) -> io::Result<()> {
    match removal::remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Brings names in a folder to the disk.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

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
        assert_eq!(sweep(folder.path()), 1);
        assert!(!path("killed").exists() && at_work.path().join("archive").exists());
        drop((at_work, taken));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn who_sweeps_meanwhile_is_no_other_process_at_work() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(scratch_name("x"));
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    sweep(folder.path());
                }
            });
            // The other thread ends, whatever comes of it.
            let create = |_| ScratchFolder::create(&path).map(|taken| taken.is_some());
            let created: Vec<io::Result<bool>> = (0..300).map(create).collect();
            is_done.store(true, Ordering::Relaxed);
            assert!(created.iter().all(|created| matches!(created, Ok(true))), "{created:?}");
        });
    }

    #[test]
    fn a_link_that_takes_its_place_later_leads_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let (victim, aside) = (folder.path().join("victim"), folder.path().join("aside"));
        fs::create_dir_all(victim.join("deep/deeper")).unwrap();
        fs::write(victim.join("precious"), "").unwrap();
        let path = folder.path().join(scratch_name("x"));
        let taken = ScratchFolder::create(&path).unwrap().unwrap();
        fs::create_dir_all(path.join("session/deep")).unwrap();
        fs::write(path.join("archive"), "half").unwrap();
        fs::rename(&path, &aside).unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        drop(taken);
        assert_eq!(fs::read_dir(&aside).unwrap().count(), 0, "its own content went");
        assert!(victim.join("precious").exists() && victim.join("deep/deeper").exists());
        assert!(path.is_symlink());
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
        assert!(elsewhere.join("precious").exists() && !elsewhere.join("lock").exists());
        fs::write(folder.path().join("new"), "new").unwrap();
        assert!(put_in_place(&folder.path().join("new"), &elsewhere.join("precious")).is_err());
        put_in_place(&folder.path().join("new"), &elsewhere.join("name")).unwrap();
        assert_eq!(fs::read_to_string(elsewhere.join("precious")).unwrap(), "");
    }
}
