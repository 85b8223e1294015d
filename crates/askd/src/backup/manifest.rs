//! What an archive says of itself: at its beginning for whom it is, at its end what must have been in it.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use crate::store::backup::STORE_FILE;

/// The version of the archive's own form.
pub(super) const FORMAT: u32 = 1;

/// The first entry of every archive.
pub(super) const HEADER: &str = "askd-backup.json";

/// The last entry of every archive: without it the archive is not whole.
pub(super) const MANIFEST: &str = "manifest.json";

/// The folder of transcripts.
pub(super) const SESSIONS: &str = "sessions";

/// The longest path in an archive, in bytes.
pub(super) const MAX_PATH: usize = 4096;

/// The largest header and the largest manifest, in bytes.
pub(super) const MAX_HEADER: u64 = 64 << 10;
pub(super) const MAX_MANIFEST: u64 = 256 << 20;

/// Files in an archive. One of the server's sessions has a handful.
pub(super) const MAX_FILES: usize = 1_000_000;

/// What the paths of one session may have together, in bytes: room for as many files as a session that is continued may have
/// (20,000), each with a path of two hundred bytes; those of the CLI's have 120. An agent can make more, and is not to crowd out
/// other sessions with it.
pub(super) const MAX_PATHS_OF_SESSION: usize = 4 << 20;

/// What their paths may have together, in bytes: whoever reads an archive keeps them to the end. With what the list says of as
/// many files as there may be, it is less than the list may have.
pub(super) const MAX_PATHS: usize = 128 << 20;

/// How many bytes a path has in the list, where a control character has six: a list that is too long could not be read.
pub(super) fn listed(path: &str) -> usize {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' => 2,
        0..0x20 => 6,
        _ => 1,
    };
    path.bytes().map(escaped).sum()
}

/// What an archive is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    /// See [`FORMAT`].
    pub(super) format: u32,
    /// The version of the askd that has made it.
    pub(super) askd: String,
    /// The version of the store's tables; `None`: there are only sessions.
    pub(super) schema: Option<i64>,
    /// The state of what moment it holds, RFC 3339.
    pub(super) created_at: String,
    /// About how much it holds, in bytes.
    pub(super) bytes: u64,
}

/// A file of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileEntry {
    /// In bytes.
    pub(super) size: u64,
    /// Of its bytes, in hexadecimal digits.
    pub(super) sha256: String,
}

/// All that an archive holds, but for itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    /// By path.
    pub(super) files: BTreeMap<String, FileEntry>,
}

/// Whether an archive may have a file of this path: the store, or something of a session, and nowhere else.
pub(super) fn is_fit(path: &str) -> bool {
    if path == STORE_FILE {
        return true;
    }
    let is_plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
    let parts: Vec<_> = path.split('/').collect();
    let is_session = parts.len() >= 3 && parts[0] == SESSIONS && parts[1].parse::<uuid::Uuid>().is_ok();
    is_session
        && path.len() <= MAX_PATH
        && parts.iter().all(|part| is_plain(part))
        && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_counts_by_what_it_has_in_the_list() {
        for (path, length) in [("a/é", 4), ("a\"\\", 5), ("\u{1}\u{1f}", 12), ("\u{7f}", 1)] {
            assert_eq!(listed(path), length, "{path:?}");
            assert!(serde_json::to_string(path).unwrap().len() <= length + 2);
        }
        // What it has for each file beside the path.
        let file = FileEntry { size: u64::MAX, sha256: "0".repeat(64) };
        let list = Manifest { files: BTreeMap::from([("a".to_owned(), file.clone()), ("b".to_owned(), file)]) };
        let each = (serde_json::to_string(&list).unwrap().len() as u64).div_ceil(2);
        assert!(MAX_PATHS as u64 + MAX_FILES as u64 * each <= MAX_MANIFEST);
    }

    #[test]
    fn only_the_store_and_files_of_sessions_fit() {
        let id = "00000000-0000-0000-0000-000000000007";
        for path in ["askd.db".to_owned(), format!("sessions/{id}/{id}.jsonl"), format!("sessions/{id}/{id}/a/b")] {
            assert!(is_fit(&path), "{path}");
        }
        for path in [
            String::new(),
            "/askd.db".to_owned(),
            "../askd.db".to_owned(),
            "askd.db-wal".to_owned(),
            "lock".to_owned(),
            "sessions/x".to_owned(),
            format!("sessions/{id}"),
            format!("sessions/{id}/"),
            format!("sessions/{id}/../../askd.db"),
            format!("sessions/{id}/./a"),
            format!("sessions/{id}//a"),
            format!("sessions/../sessions/{id}/a"),
            format!("/sessions/{id}/a"),
            format!("sessions/{id}/a\0b"),
            format!("sessions/{id}/{}", "a/".repeat(3000)),
        ] {
            assert!(!is_fit(&path), "{path}");
        }
    }
}
