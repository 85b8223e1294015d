//! Opening and listing beneath a descriptor, so that no link can lead the check astray.

use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, RawDir, ResolveFlags};
use rustix::io::Errno;

use crate::small_file;

const LISTING_BUFFER: usize = 16 * 1024;

/// Opens `path` beneath `base`, through no link of any kind.
fn open(base: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    // An empty path is the folder itself.
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    retried(|| rustix::fs::openat2(base, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve))
}

/// Repeats what the kernel gave up because a rename elsewhere made the path uncertain.
fn retried<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    for _ in 0..16 {
        match call() {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}

/// A folder to list.
pub(super) fn folder(base: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Errno> {
    open(base, path, OFlags::RDONLY | OFlags::DIRECTORY)
}

/// Type and size, without opening the thing itself; a link at the end is `LOOP`.
pub(super) fn stat(base: BorrowedFd<'_>, path: &Path) -> Result<(FileType, u64), Errno> {
    let stat = rustix::fs::fstat(open(base, path, OFlags::PATH)?)?;
    Ok((FileType::from_raw_mode(stat.st_mode), u64::try_from(stat.st_size).unwrap_or(u64::MAX)))
}

/// A regular file's bytes, one more than `limit` at most.
pub(super) fn read(base: BorrowedFd<'_>, path: &Path, limit: u64) -> Result<Vec<u8>, Errno> {
    let fd = open(base, path, small_file::FLAGS)?;
    // An error without a number: it is no regular file.
    small_file::beginning(fd, limit.saturating_add(1))
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::INVAL))
}

/// Calls `each` with every entry of an open folder until it answers `false`.
pub(super) fn list(fd: BorrowedFd<'_>, mut each: impl FnMut(&OsStr, FileType) -> bool) -> Result<(), Errno> {
    let mut buffer = [MaybeUninit::uninit(); LISTING_BUFFER];
    let mut entries = RawDir::new(fd, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => type_of(fd, OsStr::from_bytes(name))?,
            known => known,
        };
        if !each(OsStr::from_bytes(name), kind) {
            break;
        }
    }
    Ok(())
}

/// For file systems whose listings carry no types.
fn type_of(fd: BorrowedFd<'_>, name: &OsStr) -> Result<FileType, Errno> {
    let stat = rustix::fs::statat(fd, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(stat.st_mode))
}

/// Whether the link at `path` leads to a folder that is not beneath `base`.
pub(super) fn link_leads_out(base: BorrowedFd<'_>, path: &Path) -> Result<bool, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let refused = match retried(|| rustix::fs::openat2(base, path, flags, Mode::empty(), beneath)) {
        Ok(_) | Err(Errno::NOTDIR | Errno::NOENT) => return Ok(false),
        Err(error) => error,
    };
    if refused != Errno::XDEV {
        return Err(refused);
    }
    match rustix::fs::openat(base, path, flags, Mode::empty()) {
        Ok(_) => Ok(true),
        Err(Errno::NOTDIR | Errno::NOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether both descriptors are of one folder.
pub(super) fn same(one: impl AsFd, other: impl AsFd) -> bool {
    match (rustix::fs::fstat(one), rustix::fs::fstat(other)) {
        (Ok(a), Ok(b)) => (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino),
        _ => false,
    }
}

/// The path a descriptor has now, without links; `None` when that path is another folder by now.
pub(super) fn path_of(fd: BorrowedFd<'_>) -> Option<PathBuf> {
    use std::os::fd::AsRawFd;
    let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let path = std::fs::read_link(link).ok()?;
    let again = rustix::fs::open(&path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
    same(fd, again).then_some(path)
}
