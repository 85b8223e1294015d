//! How much disk a tree of files takes, while others write in it.

use std::collections::HashSet;
use std::ffi::CStr;
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, fstat, open, openat, openat2, statat};
use rustix::io::Errno;

/// What a tree takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// So many bytes of disk; a file with several names counts once.
    Bytes(u64),
    /// More files and folders than are looked at, or deeper than a path can say.
    TooMuchToLookAt,
}

/// The unit of `st_blocks`, whatever the file system's own is.
const BLOCK: u64 = 512;

/// Paths of folders that are yet to be looked at, in bytes: long names in deep folders would take the server's memory.
const MAX_WAITING: usize = 16 << 20;

/// Measures a tree of at most `max_entries` files and folders, without following links. What comes and goes meanwhile
/// counts or does not. A folder that its owner may not list is opened up: it would be a place to hide what it holds.
pub fn measure(folder: &Path, max_entries: usize) -> io::Result<Taken> {
    let root = open(folder, FOLDER | OFlags::NOFOLLOW, Mode::empty())?;
    let device = statat(&root, c"", AtFlags::EMPTY_PATH)?.st_dev;
    let (mut bytes, mut entries) = (0_u64, 0_usize);
    let mut linked = HashSet::new();
    // Paths and not descriptors: a tree may be deeper than a process may have files open.
    let mut waiting = vec![PathBuf::from(".")];
    let mut waiting_bytes = 0;
    while let Some(path) = waiting.pop() {
        waiting_bytes -= path.as_os_str().len().min(waiting_bytes);
        let listed = match open_below(&root, &path).and_then(Dir::new) {
            Ok(listed) => listed,
            Err(Errno::NAMETOOLONG) => return Ok(Taken::TooMuchToLookAt),
            // Gone, replaced by a link, or not to be opened up.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS | Errno::XDEV) => continue,
            Err(error) => return Err(error.into()),
        };
        let mut listed = listed;
        while let Some(entry) = listed.read() {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            entries += 1;
            if entries > max_entries {
                return Ok(Taken::TooMuchToLookAt);
            }
            let Some(stat) = look(listed.fd()?, name)? else { continue };
            let kind = FileType::from_raw_mode(stat.st_mode);
            let counted =
                kind == FileType::Directory || stat.st_nlink == 1 || linked.insert((stat.st_dev, stat.st_ino));
            if counted {
                bytes = bytes.saturating_add(u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(BLOCK));
            }
            if kind == FileType::Directory && stat.st_dev == device {
                let path = path.join(std::ffi::OsStr::from_bytes(name.to_bytes()));
                waiting_bytes += path.as_os_str().len();
                if waiting_bytes > MAX_WAITING {
                    return Ok(Taken::TooMuchToLookAt);
                }
                waiting.push(path);
            }
        }
    }
    Ok(Taken::Bytes(bytes))
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

const BELOW: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS);

/// What the owner needs to list a folder and to look at what is in it.
const LOOK: u32 = 0o500;

fn open_below(root: &OwnedFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    let reachable = openat2(root, path, FOLDER | OFlags::PATH, Mode::empty(), BELOW)?;
    let mode = fstat(&reachable)?.st_mode & 0o7777;
    if mode & LOOK != LOOK {
        // By descriptor, so that no link can come between.
        let by_descriptor = format!("/proc/self/fd/{}", reachable.as_raw_fd());
        fs::set_permissions(by_descriptor, Permissions::from_mode(mode | LOOK)).map_err(|_| Errno::ACCESS)?;
    }
    openat(reachable, c".", FOLDER, Mode::empty())
}

/// `None`: it has gone meanwhile.
fn look(folder: BorrowedFd<'_>, name: &CStr) -> io::Result<Option<rustix::fs::Stat>> {
    match statat(folder.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT | Errno::ACCESS) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const MANY: usize = 1_000;

    fn bytes(folder: &Path) -> u64 {
        match measure(folder, MANY).unwrap() {
            Taken::Bytes(bytes) => bytes,
            Taken::TooMuchToLookAt => panic!("too much to look at"),
        }
    }

    #[test]
    fn files_count_by_the_blocks_that_they_take() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("a/b")).unwrap();
        let empty = bytes(root.path());
        fs::write(root.path().join("a/b/file"), vec![1; 256 << 10]).unwrap();
        let sparse = fs::File::create(root.path().join("sparse")).unwrap();
        sparse.set_len(1 << 30).unwrap();
        let taken = bytes(root.path()) - empty;
        assert!((256 << 10..1 << 20).contains(&taken), "{taken}");
    }

    #[test]
    fn a_file_with_two_names_counts_once_and_a_link_leads_nowhere() {
        let (root, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(root.path().join("one"), vec![1; 128 << 10]).unwrap();
        fs::write(other.path().join("big"), vec![1; 4 << 20]).unwrap();
        let before = bytes(root.path());
        fs::hard_link(root.path().join("one"), root.path().join("two")).unwrap();
        symlink(other.path(), root.path().join("folder")).unwrap();
        symlink(other.path().join("big"), root.path().join("file")).unwrap();
        assert!(bytes(root.path()) - before < 64 << 10);
        assert!(measure(&root.path().join("folder"), MANY).is_err(), "the tree itself must be no link either");
    }

    #[test]
    fn too_many_files_are_not_counted_to_the_end() {
        let root = tempfile::tempdir().unwrap();
        for number in 0..20 {
            fs::write(root.path().join(number.to_string()), "").unwrap();
        }
        assert_eq!(measure(root.path(), 19).unwrap(), Taken::TooMuchToLookAt);
        assert!(matches!(measure(root.path(), 20).unwrap(), Taken::Bytes(_)));
    }

    #[test]
    fn a_folder_that_cannot_be_listed_hides_nothing() {
        let root = tempfile::tempdir().unwrap();
        let before = bytes(root.path());
        let hidden = root.path().join("hidden");
        fs::create_dir_all(hidden.join("deeper")).unwrap();
        fs::write(hidden.join("deeper/file"), vec![1; 1 << 20]).unwrap();
        for (inner, outer) in [(0o300, 0o000), (0o400, 0o400), (0o000, 0o100)] {
            fs::set_permissions(hidden.join("deeper"), Permissions::from_mode(inner)).unwrap();
            fs::set_permissions(&hidden, Permissions::from_mode(outer)).unwrap();
            assert!(bytes(root.path()) - before >= 1 << 20);
        }
    }

    #[test]
    fn a_tree_that_is_deeper_than_any_path_is_too_much() {
        let root = tempfile::tempdir().unwrap();
        super::super::removal::tests::dig(root.path(), 3_000);
        assert_eq!(measure(root.path(), 10_000).unwrap(), Taken::TooMuchToLookAt);
        super::super::removal::remove(root.path()).unwrap();
        fs::create_dir(root.path()).unwrap();
    }
}
