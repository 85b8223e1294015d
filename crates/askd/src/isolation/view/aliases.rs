//! Other names of hidden places: what is mounted twice is seen twice.

use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// A mount, as `/proc/self/mountinfo` tells it.
struct Mount {
    /// Major and minor number, as text.
    device: String,
    /// Which folder of the file system it shows.
    root: PathBuf,
    /// Where.
    at: PathBuf,
}

/// A name by which something hidden may be seen as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Alias {
    /// The name.
    pub(super) path: PathBuf,
    /// The hidden place that it shows as a whole; `None`: something in one.
    pub(super) of: Option<PathBuf>,
}

/// The names that these mounts give to hidden places besides their own. Some may be covered by other mounts.
pub(super) fn aliases(mountinfo: &str, places: &[PathBuf]) -> Vec<Alias> {
    let mounts: Vec<_> = mountinfo.lines().filter_map(Mount::parse).collect();
    let mut found = Vec::new();
    for place in places {
        // Of mounts at one place the last one is seen.
        let around = mounts.iter().filter(|mount| place.starts_with(&mount.at));
        let Some(home) = around.max_by_key(|mount| mount.at.components().count()) else { continue };
        let inner = join(&home.root, place.strip_prefix(&home.at).unwrap_or(Path::new("")));
        for mount in mounts.iter().filter(|mount| mount.device == home.device) {
            let alias = if let Ok(below) = inner.strip_prefix(&mount.root) {
                Alias { path: join(&mount.at, below), of: Some(place.clone()) }
            } else if mount.root.starts_with(&inner) {
                Alias { path: mount.at.clone(), of: None }
            } else {
                continue;
            };
            if !places.iter().any(|place| alias.path.starts_with(place)) && !found.contains(&alias) {
                found.push(alias);
            }
        }
    }
    found
}

impl Mount {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(' ').skip(2);
        let device = fields.next()?.to_owned();
        let (root, at) = (plain(fields.next()?), plain(fields.next()?));
        Some(Self { device, root, at })
    }
}

/// Without a slash at its end where there is nothing to add.
fn join(path: &Path, below: &Path) -> PathBuf {
    path.components().chain(below.components()).collect()
}

/// Blanks and the like are written as three octal digits.
fn plain(field: &str) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = field.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let digits = after.get(..3).and_then(|digits| str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(value) if *byte == b'\\' => {
                bytes.push(value);
                rest = &after[3..];
            }
            _ => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
        1 0 8:1 / / rw - ext4 /dev/sda1 rw\n\
        2 1 8:2 / /srv rw - ext4 /dev/sdb1 rw\n\
        3 1 0:5 / /proc rw - proc proc rw\n";

    fn found(more: &str, places: &[&str]) -> Vec<String> {
        let places: Vec<_> = places.iter().map(PathBuf::from).collect();
        let found = aliases(&format!("{MOUNTS}{more}"), &places);
        found.into_iter().map(|alias| alias.path.display().to_string()).collect()
    }

    #[test]
    fn what_is_mounted_once_has_one_name() {
        assert_eq!(found("", &["/srv/askd/data", "/home/askd", "/srv"]), [""; 0]);
        assert_eq!(found("4 2 8:2 /askd/data /srv/askd/data rw - ext4 x rw\n", &["/srv/askd/data"]), [""; 0]);
    }

    #[test]
    fn a_place_that_is_mounted_again_or_lies_in_what_is_has_two() {
        for (more, alias) in [
            ("4 1 8:2 /askd/data /mnt/copy rw - ext4 x rw\n", "/mnt/copy"),
            ("4 1 8:2 /askd /mnt/askd rw - ext4 x rw\n", "/mnt/askd/data"),
            ("4 1 8:2 / /mnt/my\\040disk rw - ext4 x rw\n", "/mnt/my disk/askd/data"),
            ("4 1 8:2 /askd/data/homes/1 /mnt/home rw - ext4 x rw\n", "/mnt/home"),
        ] {
            assert_eq!(found(more, &["/srv/askd/data"]), [alias]);
        }
    }

    #[test]
    fn other_disks_and_other_folders_do_not_count() {
        for more in [
            "4 1 8:3 /askd/data /mnt/other rw - ext4 x rw\n",
            "4 1 8:2 /askd/data2 /mnt/other rw - ext4 x rw\n",
            "4 2 8:2 /askd/data /srv/askd/data/again rw - ext4 x rw\n",
        ] {
            assert_eq!(found(more, &["/srv/askd/data"]), [""; 0], "{more}");
        }
    }

    #[test]
    fn of_mounts_over_each_other_the_last_one_says_what_a_place_is() {
        let over =
            "4 1 8:3 / /srv rw - ext4 x rw\n5 1 8:2 /askd /mnt/old rw - ext4 x rw\n6 1 8:3 / /mnt/new rw - ext4 x rw\n";
        assert_eq!(found(over, &["/srv/askd"]), ["/mnt/new/askd"]);
    }
}
