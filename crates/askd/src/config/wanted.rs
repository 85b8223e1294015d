//! What an edit makes of a document.

use std::sync::Arc;

use super::change::{Condition, Edit, Outcome};
use super::document::{Content, Etag, SKILL_FILE, Skill, SkillFile};
use super::error::ConfigError;
use super::files::OnDisk;
use super::kind::Kind;
use super::mcp_file::{self, entry_etag};
use super::name::DocumentId;
use super::problem::{Problem, Report};
use super::read::no_text;

/// An edit that may be tried several times. Clones are the same one.
#[derive(Debug, Clone)]
pub(super) enum Wanted {
    /// This content, whatever is there.
    Whole(Arc<Content>),
    /// Something that depends on what is there.
    Part(Arc<Edit>),
    /// Nothing.
    Gone,
}

impl From<Edit> for Wanted {
    fn from(edit: Edit) -> Self {
        match edit {
            Edit::Put(content) => Self::Whole(Arc::new(content)),
            Edit::Remove => Self::Gone,
            part => Self::Part(Arc::new(part)),
        }
    }
}

/// What an edit leaves.
#[derive(Debug)]
pub(super) struct Made {
    /// `None`: nothing is left.
    pub(super) content: Option<Arc<Content>>,
    /// What becomes of the part that the edit is about.
    pub(super) part: Option<Outcome>,
}

impl Wanted {
    /// The bytes that it holds, about.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Whole(content) => content.size(),
            Self::Part(edit) => match &**edit {
                Edit::PutSkillText(text) => text.len(),
                Edit::PutSkillFile { file, .. } => file.bytes.len(),
                Edit::PutMcpServer { entry, .. } => entry.to_string().len(),
                _ => 0,
            },
            Self::Gone => 0,
        }
    }

    /// Applies it to what is there, if the condition on its part holds.
    pub(super) fn made(&self, id: &DocumentId, found: Option<&OnDisk>) -> Result<Made, ConfigError> {
        let is_skill = id.kind() == Kind::Skill;
        let whole = |content| Ok(Made { content, part: None });
        let part = match self {
            Self::Whole(content) if matches!(**content, Content::Skill(_)) == is_skill => {
                return whole(Some(Arc::clone(content)));
            }
            Self::Whole(_) => return Err(wrong("a skill is put as its files, and everything else as one text")),
            Self::Gone => return whole(None),
            Self::Part(part) => part,
        };
        match &**part {
            Edit::PutSkillText(text) if is_skill => {
                let mut skill = skill(found).unwrap_or_default();
                let executable = skill.files.get(SKILL_FILE).is_some_and(|file| file.executable);
                skill.files.insert(SKILL_FILE.to_owned(), SkillFile { bytes: text.clone().into_bytes(), executable });
                whole(Some(Arc::new(Content::Skill(skill))))
            }
            Edit::PutSkillFile { path, file, condition } if is_skill => {
                skill_file(skill(found)?, path, Some(file), condition)
            }
            Edit::RemoveSkillFile { path, condition } if is_skill => skill_file(skill(found)?, path, None, condition),
            Edit::PutMcpServer { name, entry, condition } if id.kind() == Kind::McpServers => {
                server(found, name, Some(entry), condition)
            }
            Edit::RemoveMcpServer { name, condition } if id.kind() == Kind::McpServers => {
                server(found, name, None, condition)
            }
            _ => Err(wrong("a document of this kind has no such part")),
        }
    }
}

fn wrong(message: &str) -> ConfigError {
    ConfigError::Invalid(Report { errors: vec![Problem::new(message)], ..Report::default() })
}

fn skill(found: Option<&OnDisk>) -> Result<Skill, ConfigError> {
    match found.and_then(OnDisk::content) {
        Some(Content::Skill(skill)) => Ok(skill),
        _ => Err(ConfigError::NotFound),
    }
}

fn skill_file(
    mut skill: Skill,
    path: &str,
    file: Option<&SkillFile>,
    condition: &Condition,
) -> Result<Made, ConfigError> {
    let part = part(skill.files.get(path).map(SkillFile::etag), file.map(SkillFile::etag), condition)?;
    match file {
        Some(file) => skill.files.insert(path.to_owned(), file.clone()),
        None => skill.files.remove(path),
    };
    Ok(Made { content: Some(Arc::new(Content::Skill(skill))), part: Some(part) })
}

fn server(
    found: Option<&OnDisk>,
    name: &str,
    entry: Option<&serde_json::Value>,
    condition: &Condition,
) -> Result<Made, ConfigError> {
    let content = found.map(|found| found.content().ok_or_else(no_text)).transpose()?;
    let text = content.as_ref().and_then(Content::text).unwrap_or_default();
    let current = mcp_file::entry(text, name)?.as_ref().map(entry_etag);
    let part = part(current, entry.map(entry_etag), condition)?;
    let text = match (part, entry) {
        (Outcome::Unchanged(_), _) => text.to_owned(),
        (_, Some(entry)) => mcp_file::with(text, name, entry)?,
        (_, None) => mcp_file::without(text, name)?,
    };
    Ok(Made { content: Some(Arc::new(Content::Text(text))), part: Some(part) })
}

/// What becomes of a part.
fn part(current: Option<Etag>, after: Option<Etag>, condition: &Condition) -> Result<Outcome, ConfigError> {
    if !condition.holds(current) {
        return Err(ConfigError::Precondition { current, condition: condition.clone() });
    }
    match (current, after) {
        (None, None) => Err(ConfigError::NotFound),
        (_, None) => Ok(Outcome::Removed),
        (None, Some(after)) => Ok(Outcome::Created(after)),
        (Some(current), Some(after)) if current == after => Ok(Outcome::Unchanged(after)),
        (Some(_), Some(after)) => Ok(Outcome::Updated(after)),
    }
}
