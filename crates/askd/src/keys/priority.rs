//! Which of a key's waiting runs comes first.

use serde::{Deserialize, Serialize};

/// The priority of a run among those of its key. It gives no key an advantage over another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// After the others.
    Low,
    /// In the order of arrival.
    #[default]
    Normal,
    /// Before the others.
    High,
}

impl Priority {
    /// All words, the lowest first.
    pub const WORDS: [&'static str; 3] = ["low", "normal", "high"];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        Self::WORDS[self as usize]
    }

    /// What the word says.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Low, Self::Normal, Self::High].into_iter().find(|priority| priority.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_priority_is_found_by_its_word_and_they_are_in_order() {
        assert_eq!(Priority::WORDS.map(|word| Priority::from_word(word).unwrap().as_str()), Priority::WORDS);
        assert!(Priority::Low < Priority::Normal && Priority::Normal < Priority::High);
    }
}
