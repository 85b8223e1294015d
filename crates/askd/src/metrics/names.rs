//! Labels whose values come from outside, and must not be without number: each makes series that are never forgotten.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

use super::kinds::{Counter, Word};

/// What stands for all that came after as many as there may be.
pub const OTHER: &str = "other";

/// What stands for no name.
pub const UNKNOWN: &str = "unknown";

/// How long a name may be, in characters: longer than those of the providers.
const LONGEST: usize = 80;

/// The first names that came. Those are told apart for as long as the server lives.
#[derive(Debug)]
pub(super) struct Names {
    most: usize,
    known: RwLock<HashSet<String>>,
}

impl Names {
    pub(super) fn new(most: usize) -> Self {
        Self { most, known: RwLock::default() }
    }

    /// The name in one form; `beyond` counts how often it was none of those that are told apart.
    pub(super) fn label(&self, name: &str, beyond: &Counter) -> Word {
        let name = tidy(name);
        if matches!(&*name, OTHER | UNKNOWN)
            || self.known.read().unwrap_or_else(PoisonError::into_inner).contains(&name)
        {
            return name.into();
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() < self.most || known.contains(&name) {
            known.insert(name.clone());
            return name.into();
        }
        beyond.inc();
        OTHER.into()
    }
}

/// Without what a name does not have: it comes from the CLI, and the CLI may have it from anywhere.
fn tidy(name: &str) -> String {
    let is_plain = |letter: &char| letter.is_ascii_alphanumeric() || "-_.:/@[]+".contains(*letter);
    let tidied: String = name.chars().take(LONGEST).map(|it| if is_plain(&it) { it } else { '_' }).collect();
    if tidied.is_empty() { UNKNOWN.to_owned() } else { tidied }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_names_are_told_apart_and_all_further_ones_are_others() {
        let (names, beyond) = (Names::new(2), Counter::default());
        let labels = ["a", "b", "c", "a", "d", "b", ""].map(|name| names.label(name, &beyond));
        assert_eq!(labels, ["a", "b", OTHER, "a", OTHER, "b", UNKNOWN]);
        assert_eq!(beyond.get(), 2);
    }

    #[test]
    fn a_name_is_short_and_plain() {
        assert_eq!(tidy("us.anthropic.claude-x-4:0[1m]"), "us.anthropic.claude-x-4:0[1m]");
        assert_eq!(tidy("a\"b\n{c}ä"), "a_b__c__");
        assert_eq!(tidy(&"x".repeat(500)).len(), LONGEST);
    }
}
