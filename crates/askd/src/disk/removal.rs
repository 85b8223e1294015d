//! The end of a tree of files, however deep it is. The standard library descends by recursion: a run that has made folder
//! in folder a hundred thousand times would exhaust the stack, and with it end the server.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, chmodat, openat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;

/// Names that are kept in memory; a folder may hold any number.
const AT_ONCE: usize = 4_096;

/// Removes a folder with everything in it; links are removed and not followed. To be called when nobody writes there any
/// more. Needs three descriptors and no stack: what lies deeper is moved up before it is emptied.
pub fn remove(folder: &Path) -> io::Result<()> {
    let root = open_folder(CWD, folder)?;
    let mut moved = 0;
    // Each round empties the folders of the first level, and brings those of the second one up.
    loop {
        let names = names(&root)?;
        if names.is_empty() {
            break;
        }
        for name in names {
            if !removed(&root, &name)? {
                empty(&root, &name, &mut moved)?;
                unlinkat(&root, &*name, AtFlags::REMOVEDIR)?;
            }
        }
    }
    drop(root);
    Ok(unlinkat(CWD, folder, AtFlags::REMOVEDIR)?)
}

/// Empties a folder of `root`; its folders, unless they are empty, become folders of `root`.
fn empty(root: &OwnedFd, name: &CStr, moved: &mut u64) -> io::Result<()> {
    let folder = open_folder(root, name)?;
    loop {
        let names = names(&folder)?;
        if names.is_empty() {
            return Ok(());
        }
        for inner in names {
            if !removed(&folder, &inner)? {
                move_up(&folder, &inner, root, moved)?;
            }
        }
    }
}

fn move_up(folder: &OwnedFd, name: &CStr, root: &OwnedFd, moved: &mut u64) -> io::Result<()> {
    loop {
        *moved += 1;
        let new = format!(".removing-{moved}");
        match renameat_with(folder, name, root, &*new, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => {}
            renamed => return Ok(renamed?),
        }
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
    if is_folder && !names(&open_folder(folder, name)?)?.is_empty() {
        return Ok(false);
    }
    let flags = if is_folder { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    match unlinkat(folder, name, flags) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Some of the names in a folder; none, if it is empty.
fn names(folder: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
        if names.len() == AT_ONCE {
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
            chmodat(&parent, name, Mode::RWXU, AtFlags::empty())?;
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
