//! How much the model thinks.

use serde::{Deserialize, Serialize};

/// The levels of the CLI's `--effort`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effort {
    /// The least.
    Low,
    /// Less than usual.
    Medium,
    /// Much.
    High,
    /// Very much.
    XHigh,
    /// As much as the model can.
    Max,
}

impl Effort {
    /// All levels, the least first.
    pub const ALL: [Self; 5] = [Self::Low, Self::Medium, Self::High, Self::XHigh, Self::Max];

    /// Their words.
    pub const WORDS: [&str; 5] = ["low", "medium", "high", "xhigh", "max"];

    /// The word that the CLI's `--effort` takes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::XHigh => "xhigh",
            Self::Max => "max",
        }
    }

    /// The level of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_is_found_by_its_word() {
        assert_eq!(Effort::ALL.map(Effort::as_str), Effort::WORDS);
        assert_eq!(Effort::from_word("xhigh"), Some(Effort::XHigh));
        assert_eq!(Effort::from_word("extreme"), None);
    }
}
