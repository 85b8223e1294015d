//! The way down from `/`, past what is hidden.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use landlock::{ABI, AccessFs};
use rustix::fs::{Dir, FileType, Mode, OFlags, openat};
use rustix::io::Errno;

use super::{Grants, LandlockError};

/// Never followed: a link's goal is granted under its own name, or not.
const LOOK: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const LIST: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Grants reading and executing of everything that is neither hidden nor above something hidden.
pub(super) fn grant_all_but(hidden: &[PathBuf], grants: &mut Grants) -> Result<(), LandlockError> {
    let root = Path::new("/");
    let opened = openat(rustix::fs::CWD, root, LOOK, Mode::empty())
        .map_err(|source| LandlockError::Unreadable { folder: root.to_owned(), source: source.into() })?;
    grant(opened, root, root, hidden, grants)
}

/// Grants one entry as a whole, or passes it over, or goes down into it. The depth is that of the hidden places.
fn grant(
    entry: OwnedFd,
    path: &Path,
    folder: &Path,
    hidden: &[PathBuf],
    grants: &mut Grants,
) -> Result<(), LandlockError> {
    if hidden.iter().any(|hidden| path.starts_with(hidden)) {
        return Ok(());
    }
    if !hidden.iter().any(|hidden| hidden.starts_with(path)) {
        return grants.add(&entry, AccessFs::from_read(ABI::V1), folder);
    }
    // What we may not list, or what is a file where a folder was expected, is not granted, which is safe.
    let Ok(listed) = openat(&entry, ".", LIST, Mode::empty()) else {
        return Ok(());
    };
    drop(entry);
    let unreadable = |source: Errno| LandlockError::Unreadable { folder: path.to_owned(), source: source.into() };
    let entries = Dir::read_from(listed.as_fd()).map_err(unreadable)?;
    for found in entries {
        let found = found.map_err(unreadable)?;
        let name = found.file_name();
        if matches!(name.to_bytes(), b"." | b"..") || found.file_type() == FileType::Symlink {
            continue;
        }
        // It may be gone, or be a dead mount. What cannot be opened now is not granted.
        if let Ok(opened) = openat(&listed, name, LOOK, Mode::empty()) {
            grant(opened, &path.join(OsStr::from_bytes(name.to_bytes())), path, hidden, grants)?;
        }
    }
    Ok(())
}
