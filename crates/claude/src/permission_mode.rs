//! The permission modes of the CLI.

use serde::{Deserialize, Serialize};

/// What the CLI does with a tool call that no rule allows or denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PermissionMode {
    /// Ask; with nobody to ask, deny.
    Default,
    /// Read and plan only.
    Plan,
    /// The provider's safety check decides.
    Auto,
    /// Edits inside the working folder are allowed, the rest asks.
    AcceptEdits,
    /// Deny whatever is not allowed by a rule.
    DontAsk,
    /// Allow everything. Needs the operator's consent.
    BypassPermissions,
}

impl PermissionMode {
    /// All modes, in the order of the documentation.
    pub const ALL: [Self; 6] =
        [Self::Default, Self::Plan, Self::Auto, Self::AcceptEdits, Self::DontAsk, Self::BypassPermissions];

    /// The name that the CLI's `--permission-mode` takes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Plan => "plan",
            Self::Auto => "auto",
            Self::AcceptEdits => "acceptEdits",
            Self::DontAsk => "dontAsk",
            Self::BypassPermissions => "bypassPermissions",
        }
    }

    /// The names of all modes, in the order of the documentation.
    pub const WORDS: &[&str] = &["default", "plan", "auto", "acceptEdits", "dontAsk", "bypassPermissions"];

    /// The mode with this name, if there is one.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_is_found_by_its_word() {
        assert_eq!(PermissionMode::ALL.map(PermissionMode::as_str), PermissionMode::WORDS);
        assert_eq!(PermissionMode::from_word("acceptEdits"), Some(PermissionMode::AcceptEdits));
        assert_eq!(PermissionMode::from_word("acceptedits"), None);
    }
}
