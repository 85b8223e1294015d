//! Whose configuration it is.

use std::fmt;

/// Where documents lie.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// `CONFIG_DIR`: every run has it.
    User,
    /// A workspace, by its name: runs in it have it, as far as `ASKD_PROJECT_CONFIG` lets them.
    Workspace(String),
}

impl Scope {
    /// The workspace's name.
    pub fn workspace(&self) -> Option<&str> {
        match self {
            Self::User => None,
            Self::Workspace(name) => Some(name),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User => f.write_str("user"),
            Self::Workspace(name) => write!(f, "workspace {name}"),
        }
    }
}
