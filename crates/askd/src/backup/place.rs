//! What room there is for a backup or a restore.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::statvfs;

use super::BackupError;
use crate::settings::{Settings, show_size};

/// What is to be left free besides, in bytes.
pub(super) const SPARE: u64 = 16 << 20;

/// After so many bytes the disk is looked at again.
const LOOK_AFTER: u64 = 8 << 20;

/// What must stay free where something is written.
#[derive(Debug, Clone)]
pub(super) struct Floor {
    folder: PathBuf,
    /// In bytes.
    free: u64,
    /// Bytes since the last look.
    since: u64,
}

impl Floor {
    /// On the disk of the data folder it is what a server needs to take runs in.
    pub(super) fn of(folder: &Path, settings: &Settings) -> Self {
        let disk = |folder: &Path| fs::metadata(folder).map(|metadata| metadata.dev()).ok();
        let is_servers = disk(folder) == disk(&settings.paths.data_dir);
        let free = if is_servers { settings.run_limits.min_free_disk.max(SPARE) } else { SPARE };
        Self { folder: folder.to_owned(), free, since: 0 }
    }

    /// Refuses where so many bytes more would leave less.
    pub(super) fn must_have_room(&self, bytes: u64) -> Result<(), BackupError> {
        must_have_room(&self.folder, bytes, self.free)
    }

    /// How many bytes more would leave as much; refuses where there is less already.
    pub(super) fn room(&self) -> Result<u64, BackupError> {
        let looked = free(&self.folder);
        let free =
            looked.map_err(BackupError::io(format!("cannot look at the disk of `{}`", self.folder.display())))?;
        free.checked_sub(self.free).ok_or_else(|| BackupError::Refused(self.too_little(free)))
    }

    /// To be told of bytes before they are written; looks now and then.
    pub(super) fn is_kept(&mut self, bytes: usize) -> io::Result<()> {
        self.since += bytes as u64;
        if self.since < LOOK_AFTER {
            return Ok(());
        }
        self.since = 0;
        let free = free(&self.folder)?;
        if free >= self.free {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::StorageFull, self.too_little(free)))
    }

    fn too_little(&self, free: u64) -> String {
        let (free, least, folder) = (rounded(free), show_size(self.free), self.folder.display());
        format!("{free} are free on the disk of `{folder}`, and {least} must stay (ASKD_MIN_FREE_DISK)")
    }
}

/// Refuses where so many bytes would leave less than `spare` free.
pub(super) fn must_have_room(folder: &Path, bytes: u64, spare: u64) -> Result<(), BackupError> {
    let free = free(folder).map_err(BackupError::io(format!("cannot look at the disk of `{}`", folder.display())))?;
    if free >= bytes.saturating_add(spare) {
        return Ok(());
    }
    let (bytes, spare, free, folder) = (rounded(bytes), show_size(spare), rounded(free), folder.display());
    Err(BackupError::Refused(format!(
        "up to {bytes} are needed on the disk of `{folder}` beside {spare} that must stay free there (ASKD_MIN_FREE_DISK), and \
         {free} are free; make room, or name another place"
    )))
}

/// What is free for this user, in bytes.
pub(super) fn free(folder: &Path) -> io::Result<u64> {
    let disk = statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// A size for people, rounded down to whole units of which there are ten or more.
pub(super) fn rounded(bytes: u64) -> String {
    let unit = [30, 20, 10].into_iter().find(|unit| bytes >> unit >= 10).unwrap_or(0);
    show_size(bytes >> unit << unit)
}

/// How large a file is; none: 0.
pub(super) fn size(path: &Path) -> u64 {
    fs::symlink_metadata(path).map_or(0, |metadata| metadata.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_two_digits_or_more_and_no_more_bytes_than_there_are() {
        for (bytes, shown) in [
            (0, "0B"),
            (10_239, "10239B"),
            (10_240, "10KiB"),
            (67_614, "66KiB"),
            (1_788_960, "1747KiB"),
            (3 << 30, "3GiB"),
            ((3 << 30) + 1, "3GiB"),
            (3_500_000_000, "3337MiB"),
            (u64::MAX, "17179869183GiB"),
        ] {
            assert_eq!(rounded(bytes), shown, "{bytes}");
        }
    }

    #[test]
    fn what_would_take_the_last_of_the_disk_is_given_up_while_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut floor = Floor { folder: folder.path().to_owned(), free: 0, since: 0 };
        assert!((0..100).all(|_| floor.is_kept(1 << 20).is_ok()));
        let mut floor = Floor { free: u64::MAX, since: 0, ..floor };
        let written = (0..100).take_while(|_| floor.is_kept(1 << 20).is_ok()).count();
        assert_eq!(written, 7, "at the next look");
        assert!(floor.room().unwrap_err().to_string().contains("ASKD_MIN_FREE_DISK"));
    }
}
