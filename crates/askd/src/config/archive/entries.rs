//! What is written into an archive.

use std::collections::BTreeMap;

use super::super::document::Content;
use super::super::kind::Kind;
use super::super::name::DocumentId;
use super::super::problem::Problem;
use super::super::scope::Scope;
use super::{ArchiveError, MAX_ENTRIES, MAX_UNPACKED, paths};

/// A file to be.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    /// Its bytes.
    pub(super) bytes: &'a [u8],
    /// Its permission bits, as those on disk.
    pub(super) mode: u32,
}

/// Files by their paths, within the bounds that an archive is read with.
pub(super) fn of<'a>(
    scope: &Scope,
    documents: impl Iterator<Item = (&'a DocumentId, &'a Content)>,
) -> Result<BTreeMap<String, Entry<'a>>, ArchiveError> {
    let mut entries = BTreeMap::new();
    for (id, content) in documents {
        // Names are ASCII.
        let path = id.path(scope).to_string_lossy().into_owned();
        match content {
            Content::Text(text) => {
                entries.insert(path, Entry { bytes: text.as_bytes(), mode: mode(id.kind()) });
            }
            Content::Skill(skill) => {
                for (file, content) in &skill.files {
                    let path = format!("{path}/{file}");
                    // Better no archive than one without a file, or one that nobody can read.
                    paths::check(&path).map_err(|message| {
                        ArchiveError::Invalid(vec![Problem::new(message).in_file(paths::shown(path.as_bytes()))])
                    })?;
                    let mode = if content.executable { 0o755 } else { 0o644 };
                    entries.insert(path, Entry { bytes: &content.bytes, mode });
                }
            }
        }
    }
    if entries.len() > MAX_ENTRIES {
        return Err(ArchiveError::TooLarge(format!("more than {MAX_ENTRIES} files")));
    }
    if entries.values().map(|entry| entry.bytes.len() as u64).sum::<u64>() > MAX_UNPACKED {
        return Err(ArchiveError::TooLarge(format!("more than {MAX_UNPACKED} bytes")));
    }
    Ok(entries)
}

/// Settings and servers may hold secrets.
fn mode(kind: Kind) -> u32 {
    if matches!(kind, Kind::Settings | Kind::McpServers | Kind::Policy) { 0o600 } else { 0o644 }
}
