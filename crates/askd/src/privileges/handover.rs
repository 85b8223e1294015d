//! The data folder of a server that was started as root: made, and given to the user that the server becomes.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Dir, Gid, Mode, OFlags, Uid, fchown, fstat, openat};

use super::User;

/// What a new file system has in it.
const LOST_AND_FOUND: &[u8] = b"lost+found";

/// No path has more links in it.
const MAX_LINKS: usize = 40;

/// What root does about the data folder.
enum Handover<'a> {
    /// Nothing: it is somebody's already, or somebody else than root can change a name on the way, so that a link put there
    /// would decide what is given away. The user may be able to make the folder itself.
    None,
    /// It is there, and is given away if it is root's and empty.
    Give(PathBuf),
    /// It is made: names to be made in a folder that is there.
    Make(PathBuf, Vec<&'a OsStr>),
}

impl<'a> Handover<'a> {
    fn of(folder: &'a Path) -> io::Result<Self> {
        let Some((there, missing)) = existing(folder) else { return Ok(Self::None) };
        let Some(there) = named_by_root(there)? else { return Ok(Self::None) };
        Ok(if missing.is_empty() {
            Self::Give(there)
        } else if is_roots_own(&there)? {
            Self::Make(there, missing)
        } else {
            Self::None
        })
    }
}

/// Whether [`data_dir`] would give the folder away. To be called as root.
pub(super) fn is_due(folder: &Path) -> bool {
    match Handover::of(folder) {
        Ok(Handover::Give(folder)) => open_to_give(&folder).is_ok_and(|opened| opened.is_some()),
        Ok(Handover::Make(..)) => true,
        Ok(Handover::None) | Err(_) => false,
    }
}

/// Whether nobody but root decides what a name in the folder means, or in the one in which it would be made.
pub(super) fn is_roots(folder: &Path) -> io::Result<bool> {
    let Some((there, _)) = existing(folder) else { return Ok(false) };
    let Some(there) = named_by_root(there)? else { return Ok(false) };
    // A sticky folder keeps root's names, and takes those of anybody.
    Ok(is_roots_own(&there)? && there.metadata()?.mode() & 0o002 == 0)
}

/// Makes the folder if it is not there, and gives it to the user if it is root's and empty.
pub(super) fn data_dir(folder: &Path, user: &User) -> io::Result<()> {
    let (mut made, missing) = match Handover::of(folder)? {
        Handover::None => return Ok(()),
        Handover::Give(folder) => return give(&folder, user),
        Handover::Make(there, missing) => (there, missing),
    };
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
fn existing(folder: &Path) -> Option<(&Path, Vec<&OsStr>)> {
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

/// [`named_by`] nobody but root.
fn named_by_root(path: &Path) -> io::Result<Option<PathBuf>> {
    Ok(named_by(path, 0)?.ok())
}

/// The absolute path without links, if nobody but root and this user can change a name on the way to it, that of a link
/// included. `Err`: where somebody else can.
pub(super) fn named_by(path: &Path, user: u32) -> io::Result<Result<PathBuf, PathBuf>> {
    let mut at = PathBuf::from("/");
    let mut rest = path.to_owned();
    let mut links = 0;
    'again: loop {
        let mut parts = rest.components();
        while let Some(part) = parts.next() {
            match part {
                Component::Normal(name) => {
                    if !is_own(&at, user)? {
                        return Ok(Err(at));
                    }
                    let next = at.join(name);
                    let Ok(target) = next.read_link() else {
                        at = next;
                        continue;
                    };
                    links += 1;
                    // In a sticky folder it may be anybody's.
                    if links > MAX_LINKS || ![0, user].contains(&next.symlink_metadata()?.uid()) {
                        return Ok(Err(at));
                    }
                    rest = target.join(parts.as_path());
                    continue 'again;
                }
                Component::ParentDir => drop(at.pop()),
                Component::RootDir => at = "/".into(),
                Component::CurDir | Component::Prefix(_) => {}
            }
        }
        return Ok(Ok(at));
    }
}

/// Whether nobody but root can change a name in this folder.
fn is_roots_own(folder: &Path) -> io::Result<bool> {
    is_own(folder, 0)
}

/// Whether nobody but root and this user can.
pub(super) fn is_own(folder: &Path, user: u32) -> io::Result<bool> {
    let metadata = folder.metadata()?;
    let mode = metadata.mode();
    let writable_by_others = mode & 0o002 != 0 || (mode & 0o020 != 0 && metadata.gid() != 0);
    // In a sticky folder others may add names, and not change those of this user.
    Ok([0, user].contains(&metadata.uid()) && (!writable_by_others || mode & 0o1000 != 0))
}

/// Gives the folder itself away, if it is root's and empty.
fn give(folder: &Path, user: &User) -> io::Result<()> {
    match open_to_give(folder)? {
        Some(opened) => Ok(fchown(&opened, Some(Uid::from_raw(user.uid)), Some(Gid::from_raw(user.gid)))?),
        None => Ok(()),
    }
}

/// The folder, if it is root's and empty.
fn open_to_give(folder: &Path) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = openat(CWD, folder, flags, Mode::empty())?;
    Ok(if fstat(&opened)?.st_uid == 0 && is_empty(&opened)? { Some(opened) } else { None })
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
        if named_by_root(folder.path()).unwrap().is_some() && is_roots_own(folder.path()).unwrap() {
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
        assert!(is_due(&empty) && !is_due(&full) && is_due(&folder.path().join("absent")));
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
        for name in ["data", "new", "link", "link/new"] {
            assert!(!is_due(&theirs.join(name)), "{name}");
            data_dir(&theirs.join(name), &nobody()).unwrap();
            assert!(!is_roots(&theirs.join(name)).unwrap(), "{name}");
        }
        assert!(is_roots(&target).unwrap() && is_roots(&target.join("new/er")).unwrap());
        assert_eq!((owner(&theirs.join("data")), owner(&target)), (0, 0));
        assert!(!theirs.join("new").exists() && !target.join("new").exists());
    }

    #[test]
    fn a_link_of_root_s_is_followed_unless_it_leads_through_somebody_else_s_folder() {
        let Some(folder) = roots_own() else { return };
        let (theirs, target) = (folder.path().join("theirs"), folder.path().join("target"));
        for path in [&theirs, &target] {
            fs::create_dir(path).unwrap();
        }
        symlink("../target", theirs.join("link")).unwrap();
        chown(&theirs, Some(1000), Some(1000)).unwrap();
        symlink("theirs/link", folder.path().join("round")).unwrap();
        symlink("target", folder.path().join("straight")).unwrap();
        assert!(!is_due(&folder.path().join("round")) && !is_due(&folder.path().join("round/new")));
        data_dir(&folder.path().join("straight/new"), &nobody()).unwrap();
        assert_eq!(owner(&target.join("new")), NOBODY);
        // It is not empty any more.
        assert!(!is_due(&folder.path().join("straight")));
    }
}
