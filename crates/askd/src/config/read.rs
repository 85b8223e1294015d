//! What callers read: documents, lists, the whole. Blocking.

use std::fmt::Write as _;

use super::change::{Document, Entry, Overview};
use super::document::{Content, Etag};
use super::error::ConfigError;
use super::files::{Links, OnDisk, Root};
use super::kind::Kind;
use super::manager::Inner;
use super::name::DocumentId;
use super::problem::{Problem, Report};
use super::scope::Scope;
use super::validate;

/// The documents of a kind. What cannot be read is left out; [`problems`] has it.
pub(super) fn list(inner: &Inner, root: &Root, kind: Kind) -> Result<Vec<Entry>, ConfigError> {
    let mut entries = Vec::new();
    for id in root.list(kind, inner.parts.limits.documents)?.ids {
        if let Some((found, content)) = readable(root, &id) {
            let report = validate::check(&id, &content);
            entries.push(Entry {
                description: validate::description(&id, &content),
                etag: found.etag,
                size: found.size() as u64,
                modified: found.modified,
                is_valid: report.is_valid(),
                executes: !report.executes.is_empty(),
                id,
            });
        }
    }
    Ok(entries)
}

fn readable(root: &Root, id: &DocumentId) -> Option<(OnDisk, Content)> {
    let found = root.read(id, Links::Follow).ok()??;
    let content = found.content()?;
    Some((found, content))
}

/// One document.
pub(super) fn one(root: &Root, id: &DocumentId) -> Result<Option<Document>, ConfigError> {
    let Some(found) = root.read(id, Links::Follow)? else { return Ok(None) };
    let content = found.content().ok_or_else(no_text)?;
    Ok(Some(document(id.clone(), &found, content)))
}

fn no_text() -> ConfigError {
    ConfigError::Conflict("its file is not UTF-8 text; hint: put it anew, or save it as UTF-8".to_owned())
}

fn document(id: DocumentId, found: &OnDisk, content: Content) -> Document {
    let report = validate::check(&id, &content);
    Document { id, content, etag: found.etag, modified: found.modified, report }
}

/// Every document that can be read, by kind and name.
pub(super) fn all(inner: &Inner, root: &Root) -> Result<Vec<Document>, ConfigError> {
    let mut documents = Vec::new();
    let mut bytes = 0;
    for kind in kinds(root.scope()) {
        for id in root.list(kind, inner.parts.limits.documents)?.ids {
            if let Some((found, content)) = readable(root, &id) {
                bytes += found.size() as u64;
                let most = inner.parts.limits.total_bytes;
                if bytes > most {
                    return Err(ConfigError::TooLarge { what: "the configuration".to_owned(), most, unit: "bytes" });
                }
                documents.push(document(id, &found, content));
            }
        }
    }
    Ok(documents)
}

/// The scope as a whole.
pub(super) fn overview(inner: &Inner, root: &Root) -> Result<Overview, ConfigError> {
    let (mut counts, mut lines, mut size) = (Vec::new(), String::new(), 0);
    for kind in kinds(root.scope()) {
        let ids = root.list(kind, inner.parts.limits.documents)?.ids;
        counts.push((kind, ids.len()));
        for id in ids {
            if let Ok(Some(found)) = root.read(&id, Links::Follow) {
                size += found.size() as u64;
                line(&mut lines, &id, found.etag);
            }
        }
    }
    Ok(Overview { counts, etag: Etag::of_bytes(lines.as_bytes()), size, read_only: root.read_only() })
}

/// A document's line in what the whole's hash is of.
pub(super) fn line(lines: &mut String, id: &DocumentId, etag: Etag) {
    // Writing to a string cannot fail.
    let _ = writeln!(lines, "{id} {etag}");
}

/// The kinds that a scope may have.
pub(super) fn kinds(scope: &Scope) -> impl Iterator<Item = Kind> {
    let is_user = *scope == Scope::User;
    Kind::ALL.into_iter().filter(move |kind| is_user || kind.is_in_workspaces())
}

/// Everything that the CLI would not take, or that is odd.
pub(super) fn problems(inner: &Inner, root: &Root) -> Result<Vec<(Option<DocumentId>, Report)>, ConfigError> {
    let mut found = Vec::new();
    for kind in kinds(root.scope()) {
        let listing = root.list(kind, inner.parts.limits.documents)?;
        for id in listing.ids {
            let report = match root.read(&id, Links::Follow) {
                Ok(None) => continue,
                Ok(Some(on_disk)) => match on_disk.content() {
                    Some(content) => validate::check(&id, &content),
                    None => unusable(&no_text()),
                },
                Err(error) => unusable(&error),
            };
            if !report.errors.is_empty() || !report.warnings.is_empty() {
                found.push((Some(id), report));
            }
        }
        for (path, why) in listing.foreign {
            let problem = Problem::new(why).in_file(path);
            found.push((None, Report { warnings: vec![problem], ..Report::default() }));
        }
    }
    Ok(found)
}

fn unusable(error: &ConfigError) -> Report {
    Report { errors: vec![Problem::new(error.to_string())], ..Report::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_document_names_it_and_its_hash() {
        let (mut lines, id) = (String::new(), DocumentId::new(Kind::Rule, Some("a/b")).unwrap());
        line(&mut lines, &id, Etag::of_bytes(b""));
        assert_eq!(lines, format!("rules/a/b {}\n", Etag::of_bytes(b"")));
    }
}
