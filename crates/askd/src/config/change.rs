//! What callers ask of the configuration, what they are told, and what is kept of it.

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use uuid::Uuid;

use super::document::{Content, Etag, SkillFile};
use super::kind::Kind;
use super::name::DocumentId;
use super::problem::{Problem, Report};
use super::scope::Scope;

/// Who asks for a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// The key.
    pub key_id: String,
    /// Where the request came from.
    pub address: Option<IpAddr>,
    /// The request, as it stands in the log.
    pub request_id: String,
    /// What the key may change.
    pub may: May,
}

/// What a key may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum May {
    /// Texts only.
    Texts,
    /// Also what can execute: it has the permission for that.
    Everything,
}

/// What must be true of what is there, for a change to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    None,
    /// It is one of these.
    IfMatch(Vec<Etag>),
    /// It is there.
    IfExists,
    /// It is not there.
    IfAbsent,
}

impl Condition {
    /// Whether it holds of what is there.
    pub fn holds(&self, current: Option<Etag>) -> bool {
        match self {
            Self::None => true,
            Self::IfMatch(tags) => current.is_some_and(|current| tags.contains(&current)),
            Self::IfExists => current.is_some(),
            Self::IfAbsent => current.is_none(),
        }
    }
}

/// What to do with one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Replace the whole, or create it.
    Put(Content),
    /// Replace a skill's `SKILL.md`, or create the skill; its other files stay.
    PutSkillText(String),
    /// Replace or add one file of a skill that is there.
    PutSkillFile {
        /// Within the skill's folder.
        path: String,
        /// The file.
        file: SkillFile,
        /// On this file, besides the one on the document.
        condition: Condition,
    },
    /// Remove one file of a skill.
    RemoveSkillFile {
        /// Within the skill's folder.
        path: String,
        /// On this file.
        condition: Condition,
    },
    /// Replace or add one entry of the MCP servers; the others stay as they are, and the file is made if there is none.
    PutMcpServer {
        /// Its key.
        name: String,
        /// Its object.
        entry: serde_json::Value,
        /// On this entry, by [`super::mcp_file::entry_etag`].
        condition: Condition,
    },
    /// Remove one entry of the MCP servers.
    RemoveMcpServer {
        /// Its key.
        name: String,
        /// On this entry.
        condition: Condition,
    },
    /// Remove the whole.
    Remove,
}

/// A document as it lies on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Which one.
    pub id: DocumentId,
    /// Its content.
    pub content: Content,
    /// The content's hash.
    pub etag: Etag,
    /// When its file was last changed; of a skill's files the latest.
    pub modified: Timestamp,
    /// What the CLI would make of it.
    pub report: Report,
}

/// A document in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which one.
    pub id: DocumentId,
    /// From its frontmatter.
    pub description: Option<String>,
    /// The content's hash.
    pub etag: Etag,
    /// In bytes.
    pub size: u64,
    /// When its file was last changed; of a skill's files the latest.
    pub modified: Timestamp,
    /// Whether the CLI would take it.
    pub is_valid: bool,
    /// Whether it can execute.
    pub executes: bool,
}

/// Which part of a sorted list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Only what comes behind this name, which need not be there any more.
    pub after: Option<String>,
    /// Of that, so many are left out.
    pub offset: usize,
    /// At most so many.
    pub limit: usize,
    /// Whether names with folders are meant, too.
    pub nested: bool,
}

/// A part of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// What can be read of the documents of the page.
    pub entries: Vec<Entry>,
    /// The name that the next page begins behind, if there is more.
    pub next: Option<String>,
    /// How many documents the whole list has.
    pub total: usize,
}

/// All of a scope, as it was at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// Every document, by kind and name.
    pub documents: Vec<Document>,
    /// Stands for all of them together, as [`Overview::etag`] does.
    pub etag: Etag,
    /// What lies there and cannot be in an archive, and documents that an import would refuse.
    pub warnings: Vec<Problem>,
}

impl Default for Export {
    /// Of a `CONFIG_DIR` that is not there.
    fn default() -> Self {
        Self { documents: Vec::new(), etag: Etag::of_bytes(b""), warnings: Vec::new() }
    }
}

/// A scope as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    /// How many documents there are of each kind that the scope may have, in the order of [`Kind::ALL`].
    pub counts: Vec<(Kind, usize)>,
    /// Stands for all documents together.
    pub etag: Etag,
    /// Bytes of all documents together.
    pub size: u64,
    /// Why nothing can be written; `None` when it can.
    pub read_only: Option<String>,
}

impl Default for Overview {
    /// Of a `CONFIG_DIR` that is not there.
    fn default() -> Self {
        let counts = Kind::ALL.into_iter().map(|kind| (kind, 0)).collect();
        Self { counts, etag: Etag::of_bytes(b""), size: 0, read_only: Some("CONFIG_DIR does not exist".to_owned()) }
    }
}

/// What became of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was not there before.
    Created(Etag),
    /// It was another one before.
    Updated(Etag),
    /// It was the same before; nothing was written.
    Unchanged(Etag),
    /// It is not there any more.
    Removed,
}

/// A change that is on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// What became of the document.
    pub outcome: Outcome,
    /// What became of the part that the edit is about: a skill's file, an MCP server. `None` for edits of a whole.
    pub part: Option<Outcome>,
    /// What is odd about its content.
    pub warnings: Vec<Problem>,
    /// The change in the history; `None` if nothing changed.
    pub change: Option<ChangeId>,
}

/// What an import does with documents that it does not bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Import {
    /// They stay.
    Merge,
    /// They go.
    Replace,
}

/// What an import did, or would do. Each list is sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// Documents that were not there.
    pub created: Vec<DocumentId>,
    /// Documents that were others.
    pub updated: Vec<DocumentId>,
    /// Documents that are not there any more.
    pub removed: Vec<DocumentId>,
    /// How many were the same.
    pub unchanged: usize,
    /// What is odd about what it brought; each names the document's path as its file.
    pub warnings: Vec<Problem>,
    /// The whole's hash afterwards; in a dry run, as it is.
    pub etag: Option<Etag>,
}

/// A change's id: `cfg_` and a UUID that sorts by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChangeId(pub Uuid);

impl ChangeId {
    /// Reads an id.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("cfg_")?;
        let uuid = Uuid::try_parse(digits).ok()?;
        // One spelling each: an id is compared as text elsewhere.
        (uuid.to_string() == digits).then_some(Self(uuid))
    }
}

impl fmt::Display for ChangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cfg_{}", self.0)
    }
}

/// How a document came to be what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It was put, and was not there before.
    Created,
    /// It was put over another content.
    Updated,
    /// It was removed.
    Removed,
    /// An earlier version was put back.
    Restored,
    /// An import did it.
    Imported,
    /// Somebody did it on the disk; askd noticed it later.
    Outside,
}

impl Action {
    const ALL: [Self; 6] = [Self::Created, Self::Updated, Self::Removed, Self::Restored, Self::Imported, Self::Outside];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Removed => "removed",
            Self::Restored => "restored",
            Self::Imported => "imported",
            Self::Outside => "outside",
        }
    }

    /// The action of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == word)
    }
}

/// How far a change is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is on the disk, or was until the next one.
    Done,
    /// It is about to be; or its server died, and the next one says what became of it.
    Pending,
    /// It did not happen.
    Abandoned,
}

impl State {
    const ALL: [Self; 3] = [Self::Done, Self::Pending, Self::Abandoned];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Pending => "pending",
            Self::Abandoned => "abandoned",
        }
    }

    /// The state of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// One change of one document, as the history has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its id; later changes have greater ones.
    pub id: ChangeId,
    /// Whose configuration it is.
    pub scope: Scope,
    /// The document.
    pub document: DocumentId,
    /// What was done.
    pub action: Action,
    /// How far it is.
    pub state: State,
    /// What was there before.
    pub before: Option<Etag>,
    /// What is there since; `None`: nothing.
    pub after: Option<Etag>,
    /// The key that asked for it; `None` for what happened on the disk.
    pub key_id: Option<String>,
    /// Where the request came from.
    pub address: Option<String>,
    /// The request.
    pub request_id: Option<String>,
    /// When.
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let id = ChangeId(Uuid::from_u128(0xabc));
        assert_eq!(ChangeId::parse(&id.to_string()), Some(id));
        for text in ["", "cfg_", "cfg_x", &id.to_string().to_uppercase(), &format!("cfg_{}", id.0.simple())] {
            assert_eq!(ChangeId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_condition_is_about_what_is_there() {
        let (one, other) = (Etag::of_bytes(b"a"), Etag::of_bytes(b"b"));
        let is_one = Condition::IfMatch(vec![other, one]);
        for (condition, current, holds) in [
            (&Condition::None, None, true),
            (&is_one, Some(one), true),
            (&is_one, None, false),
            (&Condition::IfMatch(vec![other]), Some(one), false),
            (&Condition::IfExists, Some(one), true),
            (&Condition::IfExists, None, false),
            (&Condition::IfAbsent, None, true),
            (&Condition::IfAbsent, Some(one), false),
        ] {
            assert_eq!(condition.holds(current), holds, "{condition:?} {current:?}");
        }
    }
}
