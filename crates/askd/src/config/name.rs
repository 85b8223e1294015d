//! Names of documents, and where they lie.

use std::fmt;
use std::path::PathBuf;

use super::kind::Kind;
use super::scope::Scope;

/// The longest name of one file or folder, in characters.
pub const MAX_SEGMENT: usize = 60;
/// The deepest nesting of a rule or command, its own name included.
pub const MAX_SEGMENTS: usize = 6;

/// Which document: its kind, and its name unless there is only one of the kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentId {
    kind: Kind,
    name: Option<String>,
}

/// Why something is no name. The texts are for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Empty, too long, or with other characters.
    #[error("must be kebab-case: 1 to {MAX_SEGMENT} characters of a-z, 0-9 and single `-` between them")]
    Form,
    /// Folders where there are none, or too many.
    #[error("must be one name, without folders")]
    Nested,
    /// Too deep.
    #[error("must have at most {MAX_SEGMENTS} parts between `/`")]
    TooDeep,
    /// A name the CLI keeps for itself.
    #[error("`{0}` is a name that the CLI keeps for itself")]
    Reserved(String),
    /// A name for a kind that has none.
    #[error("there is only one of this kind, and it has no name")]
    Single,
    /// No name for a kind that needs one.
    #[error("is missing")]
    Missing,
}

impl DocumentId {
    /// A document by its kind and name.
    pub fn new(kind: Kind, name: Option<&str>) -> Result<Self, NameError> {
        match name {
            None if kind.is_single() => {}
            None => return Err(NameError::Missing),
            Some(_) if kind.is_single() => return Err(NameError::Single),
            Some(name) => check(kind, name)?,
        }
        Ok(Self { kind, name: name.map(str::to_owned) })
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its name; `None` where there is only one of the kind.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Its file, or a skill's folder, relative to `CONFIG_DIR` or to the workspace.
    pub fn path(&self, scope: &Scope) -> PathBuf {
        let name = self.name.as_deref().unwrap_or_default();
        let inner = match self.kind {
            Kind::ClaudeMd => return "CLAUDE.md".into(),
            Kind::McpServers => return ".mcp.json".into(),
            Kind::Settings => "settings.json".to_owned(),
            Kind::Policy => "askd-policy.json".to_owned(),
            Kind::Skill => format!("skills/{name}"),
            Kind::Agent | Kind::Rule | Kind::Command | Kind::OutputStyle => format!("{}/{name}.md", self.kind.as_str()),
        };
        match scope {
            Scope::User => inner.into(),
            Scope::Workspace(_) => PathBuf::from(".claude").join(inner),
        }
    }
}

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.as_str())?;
        match &self.name {
            Some(name) => write!(f, "/{name}"),
            None => Ok(()),
        }
    }
}

fn check(kind: Kind, name: &str) -> Result<(), NameError> {
    if !kind.is_nested() && name.contains('/') {
        return Err(NameError::Nested);
    }
    if name.split('/').count() > MAX_SEGMENTS {
        return Err(NameError::TooDeep);
    }
    if !name.split('/').all(is_kebab_case) {
        return Err(NameError::Form);
    }
    // The CLI fills this folder itself.
    if kind == Kind::Skill && name == "synced" {
        return Err(NameError::Reserved(name.to_owned()));
    }
    Ok(())
}

/// Lower case only: on a disk that ignores case, two names could otherwise be one file.
fn is_kebab_case(name: &str) -> bool {
    let part =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    name.len() <= MAX_SEGMENT && name.split('-').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kebab_case_and_lie_where_the_cli_looks() {
        let workspace = Scope::Workspace("shop".into());
        for (kind, name, user, project) in [
            (Kind::Agent, Some("code-review2"), "agents/code-review2.md", ".claude/agents/code-review2.md"),
            (Kind::Skill, Some("pdf"), "skills/pdf", ".claude/skills/pdf"),
            (Kind::Rule, Some("team/rust/style"), "rules/team/rust/style.md", ".claude/rules/team/rust/style.md"),
            (Kind::ClaudeMd, None, "CLAUDE.md", "CLAUDE.md"),
            (Kind::Settings, None, "settings.json", ".claude/settings.json"),
            (Kind::McpServers, None, ".mcp.json", ".mcp.json"),
        ] {
            let id = DocumentId::new(kind, name).unwrap();
            assert_eq!(id.path(&Scope::User), PathBuf::from(user));
            assert_eq!(id.path(&workspace), PathBuf::from(project));
        }
    }

    #[test]
    fn what_is_no_name_says_why() {
        let long = "a".repeat(61);
        for (kind, name, error) in [
            (Kind::Agent, "", NameError::Form),
            (Kind::Agent, "A", NameError::Form),
            (Kind::Agent, "-a", NameError::Form),
            (Kind::Agent, "a-", NameError::Form),
            (Kind::Agent, "a--b", NameError::Form),
            (Kind::Agent, "ä", NameError::Form),
            (Kind::Agent, "a\0", NameError::Form),
            (Kind::Agent, &long, NameError::Form),
            (Kind::Agent, "..", NameError::Form),
            (Kind::Agent, "a/b", NameError::Nested),
            (Kind::Rule, "../a", NameError::Form),
            (Kind::Rule, "a//b", NameError::Form),
            (Kind::Rule, "a/b/c/d/e/f/g", NameError::TooDeep),
            (Kind::Skill, "synced", NameError::Reserved("synced".into())),
            (Kind::Settings, "a", NameError::Single),
        ] {
            assert_eq!(DocumentId::new(kind, Some(name)), Err(error), "{name:?}");
        }
        assert_eq!(DocumentId::new(Kind::Rule, None), Err(NameError::Missing));
    }
}
