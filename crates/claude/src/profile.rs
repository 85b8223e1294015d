//! How much a run gets besides what its request says.

use serde::{Deserialize, Serialize};

/// What a run gets of configuration and tools.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// With the configuration of the server, and of the folder where that may be loaded.
    #[default]
    Default,
    /// Without skills, commands, agents, rules, output styles, MCP servers and `CLAUDE.md` of the server or the folder. Not the
    /// CLI's `--bare`: with that it silently asks no guard (checked).
    Bare,
    /// The CLI's `--restricted`: without tools that run programs or fetch pages, in its working folders only, and without
    /// the configuration that a bare run lacks, but for MCP servers.
    Restricted,
}

impl Profile {
    /// All profiles.
    pub const ALL: [Self; 3] = [Self::Default, Self::Bare, Self::Restricted];

    /// Their words.
    pub const WORDS: [&str; 3] = ["default", "bare", "restricted"];

    /// Its word, for clients.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Bare => "bare",
            Self::Restricted => "restricted",
        }
    }

    /// The profile of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_is_found_by_its_word() {
        assert_eq!(Profile::ALL.map(Profile::as_str), Profile::WORDS);
        assert_eq!(Profile::from_word("bare"), Some(Profile::Bare));
        assert_eq!(Profile::from_word(""), None);
    }
}
