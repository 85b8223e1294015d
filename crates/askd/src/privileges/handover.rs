//! The data folder of a server that was started as root: made, and given to the user that the server becomes.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::{CWD, Dir, Gid, Mode, OFlags, Uid, fchown, fstat, openat};

use super::User;

/// What a new file system has in it.
const LOST_AND_FOUND: &[u8] = b"lost+found";

/// Makes the folder if it is not there, and gives it to the user if it is root's and empty.
///
/// Where somebody else than root can change a name on the way, root does nothing: a link put there would decide what is
/// given away. The user may be able to make the folder itself.
pub(super) fn data_dir(folder: &Path, user: &User) -> io::Result<()> {
    let Some((there, missing)) = existing(folder) else { return Ok(()) };
    let there = there.canonicalize()?;
    if missing.is_empty() {
        return if there.parent().is_some_and(is_roots_own) { give(&there, user) } else { Ok(()) };
    }
    if !is_roots_own(&there) {
        return Ok(());
    }
    let mut made = there;
    for (index, name) in missing.iter().enumerate() {
        made.push(name);
        let is_last = index + 1 == missing.len();
        DirBuilder::new().mode(if is_last { 0o700 } else { 0o755 }).create(&made)?;
        if !is_last {
            // Whatever the umask says: the user has to pass.
            fs::set_permissions(&made, fs::Permissions::from_mode(0o755))?;
        }
    }
    give(&made, user)
}

/// The longest part of the path that is there, and the names of the rest.
fn existing(folder: &Path) -> Option<(&Path, Vec<&std::ffi::OsStr>)> {
    let mut missing = Vec::new();
    for at in folder.ancestors() {
        if at.exists() {
            missing.reverse();
            return Some((at, missing));
        }
        missing.push(at.file_name()?);
    }
    None
}

/// Whether nobody but root can change a name in this folder or above it. `folder` has no links.
fn is_roots_own(folder: &Path) -> bool {
    folder.ancestors().all(|at| {
        at.metadata().is_ok_and(|metadata| {
            let mode = metadata.mode();
            let writable_by_others = mode & 0o002 != 0 || (mode & 0o020 != 0 && metadata.gid() != 0);
            // In a sticky folder others may add names, and not change those of root.
            metadata.uid() == 0 && (!writable_by_others || mode & 0o1000 != 0)
        })
    })
}

/// Gives the folder itself away, if it is root's and empty.
fn give(folder: &Path, user: &User) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = openat(CWD, folder, flags, Mode::empty())?;
    if fstat(&opened)?.st_uid != 0 || !is_empty(&opened)? {
        return Ok(());
    }
    fchown(&opened, Some(Uid::from_raw(user.uid)), Some(Gid::from_raw(user.gid)))?;
    Ok(())
}

fn is_empty(folder: impl AsFd) -> io::Result<bool> {
    for entry in Dir::read_from(folder)? {
        if ![&b"."[..], b"..", LOST_AND_FOUND].contains(&entry?.file_name().to_bytes()) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};

    use super::*;

    const NOBODY: u32 = 65_534;

    fn nobody() -> User {
        User { uid: NOBODY, gid: NOBODY, groups: vec![NOBODY], name: Some("nobody".into()) }
    }

    /// A folder of root's, where this test runs as root.
    fn roots_own() -> Option<tempfile::TempDir> {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        if is_roots_own(folder.path()) {
            return Some(folder);
        }
        // Past the harness, which shows nothing of a test that passes.
        drop(io::Write::write_all(&mut io::stderr(), b"NOT RUN: handover: only root gives folders away\n"));
        None
    }

    fn owner(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().uid()
    }

    #[test]
    fn a_folder_that_is_not_there_is_made_for_the_user_and_its_parents_stay_root_s() {
        let Some(folder) = roots_own() else { return };
        let data = folder.path().join("var/lib/askd");
        data_dir(&data, &nobody()).unwrap();
        assert_eq!((owner(&data), owner(data.parent().unwrap())), (NOBODY, 0));
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&data), mode(data.parent().unwrap())), (0o700, 0o755));
    }

    #[test]
    fn an_empty_folder_of_root_is_given_and_one_with_something_in_it_is_not() {
        let Some(folder) = roots_own() else { return };
        let (empty, full) = (folder.path().join("empty"), folder.path().join("full"));
        fs::create_dir_all(empty.join("lost+found")).unwrap();
        fs::create_dir_all(full.join("something")).unwrap();
        data_dir(&empty, &nobody()).unwrap();
        data_dir(&full, &nobody()).unwrap();
        assert_eq!((owner(&empty), owner(&full)), (NOBODY, 0));
        assert_eq!(owner(&empty.join("lost+found")), 0, "nothing below it is touched");
    }

    #[test]
    fn root_gives_nothing_away_where_somebody_else_decides_what_a_name_means() {
        let Some(folder) = roots_own() else { return };
        let (theirs, target) = (folder.path().join("theirs"), folder.path().join("target"));
        for path in [&theirs, &target] {
            fs::create_dir(path).unwrap();
        }
        fs::create_dir(theirs.join("data")).unwrap();
        symlink(&target, theirs.join("link")).unwrap();
        chown(&theirs, Some(1000), Some(1000)).unwrap();
        for name in ["data", "new", "link/new"] {
            data_dir(&theirs.join(name), &nobody()).unwrap();
        }
        assert_eq!(owner(&theirs.join("data")), 0);
        assert!(!theirs.join("new").exists());
    }
}
