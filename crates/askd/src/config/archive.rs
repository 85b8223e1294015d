//! The whole configuration of a scope as one file: what an export gives and an import takes.
//!
//! Paths in it are those on disk ([`DocumentId::path`]), so that it can also be packed and unpacked by hand. An archive
//! to be read comes from a stranger: no size that it declares is believed, and what is no document of the scope is
//! refused rather than left out.

use super::change::Document;
use super::document::Content;
use super::limits::Limits;
use super::name::DocumentId;
use super::problem::Problem;
use super::scope::Scope;
use gather::Gathered;

mod entries;
mod gather;
mod looks;
mod paths;
mod tar;
mod zip;

/// The most entries of an archive, folders among them. A scope may hold more, as it may hold more bytes; its files are then
/// to be copied by other means.
pub const MAX_ENTRIES: usize = 5_000;
/// The most bytes that an archive may unpack to, whatever the server's bounds on its configuration are: all of it is in
/// memory.
pub const MAX_UNPACKED: u64 = 48 << 20;

/// How files are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// As `tar` writes it, without compression.
    Tar,
    /// As `zip` writes it, stored or deflated.
    Zip,
}

/// Why there is no archive, or nothing was taken from one. The texts are for the caller.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// What is wrong with it. Problems name the file by its path in the archive, if they are about one.
    #[error("the archive is not valid: {}", first(.0))]
    Invalid(Vec<Problem>),
    /// Files are where none of the configuration can be; and what to do.
    #[error("the archive is not valid: {}; hint: {}", first(.0), .1)]
    Foreign(Vec<Problem>, &'static str),
    /// More than is unpacked; which bound.
    #[error("the archive is too large: {0}")]
    TooLarge(String),
}

fn first(problems: &[Problem]) -> String {
    let more = problems.len().saturating_sub(1);
    let first = problems.first().map(ToString::to_string).unwrap_or_default();
    if more == 0 { first } else { format!("{first} (and {more} more)") }
}

/// Puts documents together. The same documents give the same bytes: sorted, with fixed times and owners.
pub fn write(format: Format, scope: &Scope, documents: &[Document]) -> Result<Vec<u8>, ArchiveError> {
    pack(format, scope, documents.iter().map(|document| (&document.id, &document.content)))
}

fn pack<'a>(
    format: Format,
    scope: &Scope,
    documents: impl Iterator<Item = (&'a DocumentId, &'a Content)>,
) -> Result<Vec<u8>, ArchiveError> {
    let entries = entries::of(scope, documents)?;
    match format {
        Format::Tar => tar::write(&entries),
        Format::Zip => zip::write(&entries),
    }
}

/// Takes an archive apart, without looking into the documents. What it costs is bounded, whatever the bytes are.
pub fn read(
    format: Format,
    scope: &Scope,
    bytes: &[u8],
    limits: &Limits,
) -> Result<Vec<(DocumentId, Content)>, ArchiveError> {
    let mut gathered = Gathered::new(scope, limits);
    if let Some(mistake) = looks::mistake(format, bytes) {
        return Err(gathered.broken(mistake));
    }
    match format {
        Format::Tar => tar::read(bytes, &mut gathered)?,
        Format::Zip => zip::read(bytes, &mut gathered)?,
    }
    gathered.documents()
}

#[cfg(test)]
mod tests;
