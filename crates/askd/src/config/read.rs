//! What callers read: documents, lists, the whole. Blocking.

use std::fmt::Write as _;

use super::change::{Document, Entry, Export, Listed, Overview, Page};
use super::document::{Content, Etag};
use super::error::ConfigError;
use super::files::{Links, OnDisk, Root};
use super::hook_scripts::{self, Told};
use super::kind::Kind;
use super::manager::Inner;
use super::name::DocumentId;
use super::problem::{Problem, Report};
use super::scope::Scope;
use super::twins;
use super::validate;

/// A page of the documents of a kind. What cannot be read is left out; [`problems`] has it.
pub(super) fn list(inner: &Inner, root: &Root, kind: Kind, page: &Page) -> Result<Listed, ConfigError> {
    let mut ids = root.list(kind, inner.parts.limits.documents)?.ids;
    ids.retain(|id| page.nested || !id.name().is_some_and(|name| name.contains('/')));
    let total = ids.len();
    // Cut before anything is read: a list of everything would read all of it for one page.
    let rest = ids.into_iter().filter(|id| page.after.is_none() || id.name() > page.after.as_deref());
    let mut rest = rest.skip(page.offset);
    let shown: Vec<_> = rest.by_ref().take(page.limit).collect();
    let last = shown.last().and_then(DocumentId::name).map(str::to_owned);
    let next = last.filter(|_| rest.next().is_some());
    let entries = shown.into_iter().filter_map(|id| entry(root, id)).collect();
    Ok(Listed { entries, next, total })
}

fn entry(root: &Root, id: DocumentId) -> Option<Entry> {
    let (found, content) = readable(root, &id)?;
    let report = validate::check(&id, &content);
    Some(Entry {
        description: validate::description(&id, &content),
        etag: found.etag,
        size: found.size() as u64,
        modified: found.modified,
        is_valid: report.is_valid(),
        executes: !report.executes.is_empty(),
        id,
    })
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
    let of_hooks = of_hooks(root, id, &content);
    let mut document = document(id.clone(), &found, content);
    document.report.warnings.extend(of_hooks);
    Ok(Some(document))
}

/// What is wrong with the scripts that hooks of the settings name; nothing of other documents. Blocking.
pub(super) fn of_hooks(root: &Root, id: &DocumentId, content: &Content) -> Vec<Problem> {
    let text = content.text().filter(|_| id.kind() == Kind::Settings);
    text.map_or_else(Vec::new, |text| hook_scripts::problems(root, text, Told::Caller))
}

pub(super) fn no_text() -> ConfigError {
    ConfigError::Conflict("its file is not UTF-8 text; hint: put it anew, or save it as UTF-8".to_owned())
}

fn document(id: DocumentId, found: &OnDisk, content: Content) -> Document {
    let report = validate::check(&id, &content);
    Document { id, content, etag: found.etag, modified: found.modified, report }
}

/// A document of the whole, as it was found.
pub(super) struct Member {
    pub(super) id: DocumentId,
    /// With links as they were asked for; `None`: a link that leads to nothing, or it has just gone.
    pub(super) found: Result<Option<OnDisk>, ConfigError>,
    /// What it counts with in the hash of the whole.
    pub(super) etag: Option<Etag>,
}

/// The whole of a scope.
pub(super) struct Whole {
    pub(super) etag: Etag,
    /// Whether there are more documents than are looked at.
    pub(super) is_cut: bool,
    /// What lies there and is no document: its path, and why.
    pub(super) foreign: Vec<(String, &'static str)>,
}

/// Looks at every document, by kind and name, and at once makes the hash that stands for all of them. It is the same
/// whatever links mean to the caller: what lies behind a link counts, also for who will not change it.
pub(super) fn whole(
    inner: &Inner,
    root: &Root,
    links: Links,
    mut each: impl FnMut(Member) -> Result<(), ConfigError>,
) -> Result<Whole, ConfigError> {
    let (mut text, mut is_cut, mut foreign) = (String::new(), false, Vec::new());
    for kind in kinds(root.scope()) {
        let listing = root.list(kind, inner.parts.limits.documents)?;
        is_cut |= listing.is_cut;
        foreign.extend(listing.foreign);
        for id in listing.ids {
            let found = root.read(&id, links);
            let etag = match &found {
                Ok(found) => found.as_ref().map(|found| found.etag),
                Err(ConfigError::Link { .. }) if links == Links::Refuse => {
                    root.read(&id, Links::Follow).ok().flatten().map(|found| found.etag)
                }
                Err(_) => None,
            };
            if let Some(etag) = etag {
                line(&mut text, &id, etag);
            }
            each(Member { id, found, etag })?;
        }
    }
    Ok(Whole { etag: Etag::of_bytes(text.as_bytes()), is_cut, foreign })
}

/// Everything, or nothing: who replaces the whole by an export must not lose what the export could not hold.
pub(super) fn export(inner: &Inner, root: &Root) -> Result<Export, ConfigError> {
    let (mut documents, mut unreadable, mut bytes) = (Vec::new(), Vec::new(), 0);
    let whole = whole(inner, root, Links::Follow, |Member { id, found, .. }| {
        let found = match found {
            Ok(None) => return Ok(()),
            Ok(Some(found)) => found,
            Err(_) => {
                unreadable.push(id);
                return Ok(());
            }
        };
        bytes += found.size() as u64;
        let most = inner.parts.limits.total_bytes;
        if bytes > most {
            return Err(ConfigError::TooLarge { what: "the configuration".to_owned(), most, unit: "bytes" });
        }
        match found.content() {
            Some(content) => documents.push(document(id, &found, content)),
            None => unreadable.push(id),
        }
        Ok(())
    })?;
    if !unreadable.is_empty() {
        return Err(not_exported(root.scope(), &unreadable));
    }
    if whole.is_cut {
        return Err(ConfigError::TooMany(inner.parts.limits.documents));
    }
    let warnings = warnings_of_export(root.scope(), &documents, whole.foreign);
    Ok(Export { documents, etag: whole.etag, warnings })
}

/// What the export lacks, and what of it an import would refuse.
fn warnings_of_export(scope: &Scope, documents: &[Document], foreign: Vec<(String, &'static str)>) -> Vec<Problem> {
    let left_out = foreign.into_iter().map(|(path, why)| Problem::new(format!("is left out: it {why}")).in_file(path));
    let odd = documents.iter().filter_map(|Document { id, content, report, .. }| {
        let what = match content {
            Content::Skill(skill) if skill.files.is_empty() => {
                "is left out: the folder of the skill is empty".to_owned()
            }
            _ if report.is_valid() => return None,
            _ => "is not valid, and an import elsewhere refuses it".to_owned(),
        };
        Some(Problem::new(what).in_file(id.path(scope).display().to_string()))
    });
    left_out.chain(odd).collect()
}

/// Some documents are no text, too large, or behind links that lead out.
fn not_exported(scope: &Scope, ids: &[DocumentId]) -> ConfigError {
    /// As many as one can act on at a time.
    const SHOWN: usize = 10;
    let mut files: Vec<_> = ids.iter().take(SHOWN).map(|id| format!("`{}`", id.path(scope).display())).collect();
    if ids.len() > SHOWN {
        files.push(format!("{} more", ids.len() - SHOWN));
    }
    ConfigError::Conflict(format!(
        "an export cannot hold {}: not UTF-8 text, too large, or not to be read; hint: mend or remove them first",
        files.join(", ")
    ))
}

/// The scope as a whole.
pub(super) fn overview(inner: &Inner, root: &Root) -> Result<Overview, ConfigError> {
    let mut counts: Vec<_> = kinds(root.scope()).map(|kind| (kind, 0)).collect();
    let mut size = 0;
    let whole = whole(inner, root, Links::Follow, |Member { id, found, .. }| {
        if let Some((_, count)) = counts.iter_mut().find(|(kind, _)| *kind == id.kind()) {
            *count += 1;
        }
        size += found.ok().flatten().map_or(0, |found| found.size() as u64);
        Ok(())
    })?;
    Ok(Overview { counts, etag: whole.etag, size, read_only: root.read_only() })
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
    let (mut found, mut names) = (Vec::new(), twins::Names::default());
    for kind in kinds(root.scope()) {
        let listing = root.list(kind, inner.parts.limits.documents)?;
        for id in listing.ids {
            let report = match root.read(&id, Links::Follow) {
                Ok(None) => continue,
                Ok(Some(on_disk)) => match on_disk.content() {
                    Some(content) => {
                        let mut report = validate::check(&id, &content);
                        report.warnings.extend(names.problem(&id, &content));
                        if id.kind() == Kind::Command {
                            report.warnings.extend(twins::hidden_command(root, &id));
                        }
                        report.warnings.extend(of_hooks(root, &id, &content));
                        report
                    }
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
