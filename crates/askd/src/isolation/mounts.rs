//! Whether what the machine mounts from now on comes into the views of runs.

use std::path::Path;

use crate::small_file;

/// A machine with very many mounts has a longer list; what is asked for is in its beginning.
const MAX_MOUNTS: u64 = 4 << 20;

/// Whether mounts of the machine are passed on to this process, and so to views that it makes.
///
/// A view takes no part in it the other way round. Not known is as good as yes.
pub(super) fn are_passed_on() -> bool {
    small_file::read_text(Path::new("/proc/self/mountinfo"), MAX_MOUNTS).map_or(true, |mounts| has_peers(&mounts))
}

/// The optional fields stand between the options and a `-`.
fn has_peers(mounts: &str) -> bool {
    let is_tied = |field: &str| field.starts_with("shared:") || field.starts_with("master:");
    mounts.lines().any(|mount| mount.split(' ').skip(6).take_while(|field| *field != "-").any(is_tied))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_said_of_a_mount_s_peers_counts() {
        let private = "21 1 8:1 / / rw,relatime - ext4 /dev/shared:1 rw\n30 21 0:5 / /master:2 rw - proc proc rw\n";
        assert!(!has_peers(private));
        for field in ["shared:1", "master:7", "shared:1 master:7"] {
            assert!(has_peers(&format!("{private}22 21 0:6 / /srv rw,relatime {field} - tmpfs tmpfs rw\n")), "{field}");
        }
        assert!(!has_peers("22 21 0:6 / /srv rw unbindable - tmpfs tmpfs rw\n"));
    }
}
