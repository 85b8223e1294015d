//! Agents of one scope that the CLI would take for the same one: it knows them by the `name` in their text, not by their
//! files, and keeps one of those that share a name.

use std::collections::BTreeMap;

use super::document::Content;
use super::error::ConfigError;
use super::files::{Links, OnDisk, Root};
use super::kind::Kind;
use super::name::DocumentId;
use super::problem::Problem;
use super::validate::agent_name;

/// The names of agents, and the file that has each.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<String, DocumentId>);

impl Names {
    /// Takes an agent in. `Some`: its name, and another file that has the same.
    pub(super) fn add(&mut self, id: &DocumentId, content: &Content) -> Option<(String, DocumentId)> {
        self.add_name(id, name(id, content)?)
    }

    /// The same of an agent whose name is known.
    pub(super) fn add_name(&mut self, id: &DocumentId, name: String) -> Option<(String, DocumentId)> {
        if let Some(other) = self.0.get(&name) {
            return Some((name, other.clone()));
        }
        self.0.insert(name, id.clone());
        None
    }

    /// As [`Self::add`], in words.
    pub(super) fn problem(&mut self, id: &DocumentId, content: &Content) -> Option<Problem> {
        let (name, other) = self.add(id, content)?;
        let message = format!("is `{name}`, as in {other}; the CLI keeps one of the two");
        Some(Problem::new(message).of("name"))
    }
}

/// An agent's name; `None` for what is no agent, and for one without a name.
pub(super) fn name(id: &DocumentId, content: &Content) -> Option<String> {
    if id.kind() == Kind::Agent { agent_name(content.text()?) } else { None }
}

/// A command and a skill with one name: the CLI has the skill alone (checked with CLI 2.1.330). Blocking.
pub(super) fn hidden_command(root: &Root, id: &DocumentId) -> Option<Problem> {
    let (other, message) = match id.kind() {
        Kind::Command => (Kind::Skill, "is hidden by"),
        Kind::Skill => (Kind::Command, "hides"),
        _ => return None,
    };
    // Commands in folders have longer names, and none that a skill can have.
    let other = DocumentId::new(other, id.name()).ok()?;
    let is_there = root.read(&other, Links::Follow).ok()?.is_some();
    let why = "of a command and a skill with one name the CLI has the skill";
    is_there.then(|| Problem::new(format!("{message} {other}: {why}")))
}

/// Refuses an agent that another file of the scope has the name of already. Blocking.
pub(super) fn refuse(root: &Root, id: &DocumentId, content: &Content, most: usize) -> Result<(), ConfigError> {
    let Some(wanted) = name(id, content) else { return Ok(()) };
    for other in root.list(Kind::Agent, most)?.ids {
        if other == *id {
            continue;
        }
        let found = root.read(&other, Links::Follow).ok().flatten();
        let theirs = found.as_ref().and_then(OnDisk::content).and_then(|content| name(&other, &content));
        if theirs.as_ref() == Some(&wanted) {
            return Err(taken(&wanted, &other));
        }
    }
    Ok(())
}

/// The name is another file's.
pub(super) fn taken(name: &str, other: &DocumentId) -> ConfigError {
    ConfigError::Conflict(format!(
        "{other} has the name `{name}`, too, and the CLI keeps one of the two; hint: give it another name, or change {other}"
    ))
}
