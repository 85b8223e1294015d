//! The end of a tree of files, however deep it is. The standard library descends by recursion: a run that has made folder
//! in folder a hundred thousand times would exhaust the stack, and with it end the server.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, chmod, openat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;

/// Names that are kept in memory; a folder may hold any number.
const AT_ONCE: usize = 4_096;

/// How far a removal came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// There is nothing left.
    All,
    /// It took as many steps as it may.
    Some,
}

/// Removes a folder with everything in it; links are removed and not followed. To be called when nobody writes there any
/// more. Needs three descriptors and no stack: what lies deeper is moved up before it is emptied.
pub fn remove(folder: &Path) -> io::Result<()> {
    remove_in(CWD, folder, u64::MAX).map(drop)
}

/// The same for a folder in one that is open, where somebody may still write: it ends after so many steps, one for each
/// file or folder that goes and each folder that is moved.
pub fn remove_beneath(parent: &OwnedFd, name: impl rustix::path::Arg + Copy, most: u64) -> io::Result<Removed> {
    remove_in(parent, name, most)
}

fn remove_in(parent: impl AsFd, name: impl rustix::path::Arg + Copy, most: u64) -> io::Result<Removed> {
    let mut work = Work { root: open_folder(&parent, name)?, moved: 0, left: most };
    let removed = work.empty_root()?;
    drop(work);
    if removed == Removed::All {
        unlinkat(&parent, name, AtFlags::REMOVEDIR)?;
    }
    Ok(removed)
}

/// A folder that is being emptied.
struct Work {
    root: OwnedFd,
    /// Folders that were moved up.
    moved: u64,
    /// Steps that may be taken.
    left: u64,
}

impl Work {
    fn step(&mut self) -> bool {
        let left = self.left.checked_sub(1);
        self.left = left.unwrap_or(0);
        left.is_some()
    }

    /// Each round empties the folders of the first level, and brings those of the second one up.
    fn empty_root(&mut self) -> io::Result<Removed> {
        loop {
            let names = names(&self.root, AT_ONCE)?;
            if names.is_empty() {
                return Ok(Removed::All);
            }
            for name in names {
                if !self.step() {
                    return Ok(Removed::Some);
                }
                if !removed(&self.root, &name)? {
                    if self.empty(&name)? == Removed::Some {
                        return Ok(Removed::Some);
                    }
                    unlinkat(&self.root, &*name, AtFlags::REMOVEDIR)?;
                }
            }
        }
    }

    /// Empties a folder of the root; its folders, unless they are empty, become folders of the root.
    fn empty(&mut self, name: &CStr) -> io::Result<Removed> {
        let folder = open_folder(&self.root, name)?;
        loop {
            let names = names(&folder, AT_ONCE)?;
            if names.is_empty() {
                return Ok(Removed::All);
            }
            for inner in names {
                if !self.step() || (!removed(&folder, &inner)? && self.move_up(&folder, &inner)? == Removed::Some) {
                    return Ok(Removed::Some);
                }
            }
        }
    }

    fn move_up(&mut self, folder: &OwnedFd, name: &CStr) -> io::Result<Removed> {
        while self.step() {
            self.moved += 1;
            let new = format!(".removing-{}", self.moved);
            match renameat_with(folder, name, &self.root, &*new, RenameFlags::NOREPLACE) {
                Err(Errno::EXIST) => {}
                renamed => return Ok(renamed.map(|()| Removed::All)?),
            }
        }
        Ok(Removed::Some)
    }
}

/// Removes a file, or a folder that is empty; `false` for a folder that is not.
fn removed(folder: &OwnedFd, name: &CStr) -> io::Result<bool> {
    let is_folder = match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => FileType::from_raw_mode(stat.st_mode) == FileType::Directory,
        Err(Errno::NOENT) => return Ok(true),
        Err(error) => return Err(error.into()),
    };
    // Not tried: before it refuses to remove a folder that is not empty the kernel walks through all below it (checked),
    // which for a deep tree, level by level, takes minutes.
    if is_folder && !names(&open_folder(folder, name)?, 1)?.is_empty() {
        return Ok(false);
    }
    let flags = if is_folder { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    match unlinkat(folder, name, flags) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Some of the names in a folder; none, if it is empty.
fn names(folder: &OwnedFd, most: usize) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
        if names.len() == most {
            break;
        }
    }
    Ok(names)
}

/// An agent may have taken permissions away, as package managers do in their caches: the owner gets them back. They are
/// needed to list a folder, to remove what is in it, and to move it, which changes its `..`.
fn open_folder(parent: impl AsFd, name: impl rustix::path::Arg + Copy) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = match openat(&parent, name, flags, Mode::empty()) {
        Err(Errno::ACCESS) => {
            // By its descriptor: under its name there may be a link by now, and what that leads to is none of ours.
            let found = openat(
                &parent,
                name,
                OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                Mode::empty(),
            )?;
            chmod(format!("/proc/self/fd/{}", found.as_raw_fd()), Mode::RWXU)?;
            openat(&parent, name, flags, Mode::empty())?
        }
        opened => opened?,
    };
    if !Mode::from_raw_mode(statat(&folder, c"", AtFlags::EMPTY_PATH)?.st_mode).contains(Mode::RWXU) {
        rustix::fs::fchmod(&folder, Mode::RWXU)?;
    }
    Ok(folder)
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use rustix::fs::{mkdirat, open};

    use super::*;

    /// Folder in folder.
    pub(in crate::disk) fn dig(root: &Path, depth: usize) {
        let mut folder = open(root, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..depth {
            mkdirat(&folder, c"d", Mode::RWXU).unwrap();
            folder = openat(&folder, c"d", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        }
    }

    #[test]
    fn a_tree_goes_however_deep_it_is() {
        let root = tempfile::tempdir().unwrap();
        let tree = root.path().join("tree");
        fs::create_dir(&tree).unwrap();
        dig(&tree, 10_000);
        remove(&tree).unwrap();
        assert!(!tree.exists());
    }

    #[test]
    fn a_folder_goes_however_many_files_and_folders_it_holds() {
        let root = tempfile::tempdir().unwrap();
        let tree = root.path().join("tree");
        for number in 0..AT_ONCE + 10 {
            fs::create_dir_all(tree.join(format!("a/{number}"))).unwrap();
            fs::write(tree.join(format!("a/{number}/file")), "").unwrap();
        }
        remove(&tree).unwrap();
        assert!(!tree.exists());
    }

    #[test]
    fn links_are_removed_and_what_they_name_stays() {
        let root = tempfile::tempdir().unwrap();
        let (tree, other) = (root.path().join("tree"), root.path().join("other"));
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::create_dir(&other).unwrap();
        fs::write(other.join("kept"), "").unwrap();
        symlink(&other, tree.join("link")).unwrap();
        symlink(&other, tree.join("a/b/link")).unwrap();
        symlink("nowhere", tree.join("a/dangling")).unwrap();
        remove(&tree).unwrap();
        assert!(!tree.exists() && other.join("kept").exists());
        symlink(&other, root.path().join("itself")).unwrap();
        assert!(remove(&root.path().join("itself")).is_err());
        assert!(other.join("kept").exists());
    }

    #[test]
    fn where_somebody_writes_on_a_removal_ends_all_the_same() {
        let root = tempfile::tempdir().unwrap();
        let parent = open(root.path(), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let tree = root.path().join("tree");
        fs::create_dir_all(tree.join("a/b/c")).unwrap();
        for number in 0..50 {
            fs::write(tree.join(format!("a/{number}")), "").unwrap();
            // A name that a folder is moved to is taken: each one is a step.
            fs::write(tree.join(format!(".removing-{number}")), "").unwrap();
        }
        for most in [0, 1, 20, 60] {
            assert_eq!(remove_beneath(&parent, "tree", most).unwrap(), Removed::Some, "{most}");
            assert!(tree.exists());
        }
        assert_eq!(remove_beneath(&parent, "tree", 200).unwrap(), Removed::All);
        assert!(!tree.exists());
        fs::create_dir(root.path().join("other")).unwrap();
        symlink("other", &tree).unwrap();
        assert!(remove_beneath(&parent, "tree", 200).is_err());
        assert!(root.path().join("other").exists());
    }

    #[test]
    fn permissions_that_were_taken_away_do_not_keep_a_tree() {
        let root = tempfile::tempdir().unwrap();
        let tree = root.path().join("tree");
        fs::create_dir_all(tree.join("a/b/c")).unwrap();
        fs::write(tree.join("a/b/c/file"), "").unwrap();
        fs::write(tree.join(".removing-1"), "a name of ours").unwrap();
        for (path, mode) in [("a/b/c", 0o500), ("a/b", 0o000), ("a", 0o500)] {
            fs::set_permissions(tree.join(path), Permissions::from_mode(mode)).unwrap();
        }
        remove(&tree).unwrap();
        assert!(!tree.exists());
        assert_eq!(remove(&tree).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
