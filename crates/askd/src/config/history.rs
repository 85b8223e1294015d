//! Changes and contents as the store keeps them, and back.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::change::{Action, Author, Change, ChangeId, State};
use super::document::{Content, Etag, Skill, SkillFile};
use super::error::ConfigError;
use super::files::{Body, OnDisk};
use super::kind::Kind;
use super::name::DocumentId;
use super::scope::Scope;
use crate::store::config::{ChangeRow, StoredContent};
use crate::store::{Store, StoreError};

/// zstd's first ordinary level: most documents are a few kilobytes.
const LEVEL: i32 = 3;

/// A change that is to be stored.
pub(super) struct NewChange<'a> {
    pub(super) id: ChangeId,
    pub(super) owner: &'a str,
    pub(super) batch: Option<ChangeId>,
    pub(super) scope: &'a Scope,
    pub(super) document: &'a DocumentId,
    pub(super) action: Action,
    pub(super) state: State,
    pub(super) before: Option<Etag>,
    pub(super) after: Option<Etag>,
    pub(super) by: Option<&'a Author>,
    pub(super) at: Timestamp,
}

impl NewChange<'_> {
    pub(super) fn row(&self) -> ChangeRow {
        let by = self.by;
        ChangeRow {
            id: self.id.to_string(),
            owner: self.owner.to_owned(),
            batch: self.batch.map(|batch| batch.to_string()),
            workspace: workspace_text(self.scope),
            kind: self.document.kind().as_str().to_owned(),
            name: name_text(self.document),
            action: self.action.as_str().to_owned(),
            state: self.state.as_str().to_owned(),
            before: self.before.map(|etag| etag.to_string()),
            after: self.after.map(|etag| etag.to_string()),
            key_id: by.map(|by| by.key_id.clone()),
            address: by.and_then(|by| by.address).map(|address| address.to_string()),
            request_id: by.map(|by| by.request_id.clone()),
            created_at: self.at.as_millisecond(),
        }
    }
}

/// A scope as the store has it.
pub(super) fn workspace_text(scope: &Scope) -> String {
    scope.workspace().unwrap_or_default().to_owned()
}

/// A document's name as the store has it.
pub(super) fn name_text(id: &DocumentId) -> String {
    id.name().unwrap_or_default().to_owned()
}

/// A change from its row; `None`, with a line in the log, for what a later askd has written.
pub(super) fn change(row: &ChangeRow) -> Option<Change> {
    let read = || {
        let name = (!row.name.is_empty()).then_some(&*row.name);
        let etag = |text: &Option<String>| match text {
            None => Some(None),
            Some(text) => Etag::parse(text).map(Some),
        };
        Some(Change {
            id: ChangeId::parse(&row.id)?,
            scope: if row.workspace.is_empty() { Scope::User } else { Scope::Workspace(row.workspace.clone()) },
            document: DocumentId::new(Kind::parse(&row.kind)?, name).ok()?,
            action: Action::parse(&row.action)?,
            state: State::parse(&row.state)?,
            before: etag(&row.before)?,
            after: etag(&row.after)?,
            key_id: row.key_id.clone(),
            address: row.address.clone(),
            request_id: row.request_id.clone(),
            at: Timestamp::from_millisecond(row.created_at).ok()?,
        })
    };
    let change = read();
    if change.is_none() {
        tracing::warn!(
            change = row.id,
            "a change of the configuration in the store is of a kind that this askd does not know"
        );
    }
    change
}

/// What the store keeps of a content that is to be put.
pub(super) fn to_store(content: &Content) -> Result<Vec<StoredContent>, ConfigError> {
    match content {
        Content::Text(text) => Ok(vec![stored(Etag::of_bytes(text.as_bytes()), text.as_bytes(), Vec::new())?]),
        Content::Skill(skill) => skill_to_store(skill),
    }
}

/// What the store keeps of a content that was found.
pub(super) fn found_to_store(found: &OnDisk) -> Result<Vec<StoredContent>, ConfigError> {
    match &found.body {
        Body::File(bytes) => Ok(vec![stored(found.etag, bytes, Vec::new())?]),
        Body::Skill(skill) => skill_to_store(skill),
    }
}

/// Each file behind a byte that says whether it is executable, and the manifest: their hashes are those of the bytes.
fn skill_to_store(skill: &Skill) -> Result<Vec<StoredContent>, ConfigError> {
    use std::fmt::Write as _;
    let (mut contents, mut manifest, mut files) = (Vec::new(), String::new(), Vec::new());
    for (path, file) in &skill.files {
        let etag = file.etag();
        let mut bytes = Vec::with_capacity(1 + file.bytes.len());
        bytes.push(u8::from(file.executable));
        bytes.extend_from_slice(&file.bytes);
        contents.push(stored(etag, &bytes, Vec::new())?);
        // Writing to a string cannot fail.
        let _ = writeln!(manifest, "{etag} {path}");
        files.push(etag.to_string());
    }
    let etag = skill.etag();
    contents.push(stored(etag, manifest.as_bytes(), files)?);
    contents.sort_by(|one, other| one.hash.cmp(&other.hash));
    contents.dedup_by(|one, other| one.hash == other.hash);
    Ok(contents)
}

fn stored(etag: Etag, bytes: &[u8], files: Vec<String>) -> Result<StoredContent, ConfigError> {
    let compressed = zstd::bulk::compress(bytes, LEVEL).map_err(|error| {
        tracing::error!(%error, "cannot compress a content of the configuration");
        ConfigError::Io("the server made a mistake; its log has the details".to_owned())
    })?;
    Ok(StoredContent { hash: etag.to_string(), size: bytes.len() as u64, bytes: compressed, files })
}

/// A content that the store still has; `None` when it has not, or when it is no text and should be.
pub(super) async fn load(store: &Store, kind: Kind, etag: Etag) -> Result<Option<Content>, StoreError> {
    let Some(bytes) = load_bytes(store, etag).await? else { return Ok(None) };
    let Ok(text) = String::from_utf8(bytes) else { return Ok(None) };
    if kind != Kind::Skill {
        return Ok(Some(Content::Text(text)));
    }
    let mut files = BTreeMap::new();
    for line in text.lines() {
        let Some((hash, path)) = line.split_once(' ') else { return Ok(None) };
        let Some(etag) = Etag::parse(hash) else { return Ok(None) };
        let Some(mut bytes) = load_bytes(store, etag).await? else { return Ok(None) };
        if bytes.is_empty() {
            return Ok(None);
        }
        let executable = bytes.remove(0) != 0;
        files.insert(path.to_owned(), SkillFile { bytes, executable });
    }
    Ok(Some(Content::Skill(Skill { files })))
}

async fn load_bytes(store: &Store, etag: Etag) -> Result<Option<Vec<u8>>, StoreError> {
    let Some((size, compressed)) = store.config_content(&etag.to_string()).await? else { return Ok(None) };
    let size = usize::try_from(size).unwrap_or(0);
    match zstd::bulk::decompress(&compressed, size) {
        Ok(bytes) if Etag::of_bytes(&bytes) == etag => Ok(Some(bytes)),
        _ => {
            tracing::error!(hash = %etag, "a content of the configuration in the store is damaged");
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_lies_under_the_hash_of_its_bytes() {
        let file = |text: &str, executable| SkillFile { bytes: text.as_bytes().to_vec(), executable };
        let files =
            [("SKILL.md", file("text", false)), ("run.sh", file("text", true)), ("copy.md", file("text", false))];
        let skill = Skill { files: files.into_iter().map(|(path, file)| (path.to_owned(), file)).collect() };
        let content = Content::Skill(skill);
        let stored = to_store(&content).unwrap();
        assert_eq!(stored.len(), 3, "the same file is kept once");
        for one in &stored {
            let bytes = zstd::bulk::decompress(&one.bytes, usize::try_from(one.size).unwrap()).unwrap();
            assert_eq!(Etag::of_bytes(&bytes).to_string(), one.hash);
        }
        let manifest = stored.iter().find(|one| !one.files.is_empty()).unwrap();
        assert_eq!(manifest.hash, content.etag().to_string());
    }
}
