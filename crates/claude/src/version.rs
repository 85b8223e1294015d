//! The CLI's version, and which versions are accepted.

use std::cmp::Ordering;
use std::fmt;

pub mod capabilities;

/// The oldest CLI that askd drives: the first with `--await-initialize` and `--permission-prompts`.
pub const MINIMUM: Version = Version(2, 1, 261);

/// The version that every test runs against, and that `scripts/start` installs.
pub const TESTED: Version = Version(2, 1, 330);

/// A version as `claude --version` prints it, without suffixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl Version {
    /// Reads the output of `claude --version`, e.g. `2.1.330 (Claude Code)`.
    pub fn parse(output: &str) -> Option<Self> {
        let mut numbers = output.split_whitespace().next()?.splitn(3, '.');
        let major = numbers.next()?.parse().ok()?;
        let minor = numbers.next()?.parse().ok()?;
        let patch: String = numbers.next()?.chars().take_while(char::is_ascii_digit).collect();
        Some(Self(major, minor, patch.parse().ok()?))
    }
}

/// How a version stands to the one that every test runs against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is that one.
    Tested,
    /// Older; see [`capabilities`].
    Older,
    /// Newer: nobody knows yet what has changed.
    Newer,
}

impl Standing {
    /// Its name, for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tested => "tested",
            Self::Older => "older",
            Self::Newer => "newer",
        }
    }
}

impl Version {
    /// Compares it with [`TESTED`].
    pub fn standing(self) -> Standing {
        match self.cmp(&TESTED) {
            Ordering::Less => Standing::Older,
            Ordering::Equal => Standing::Tested,
            Ordering::Greater => Standing::Newer,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_cli_prints() {
        assert_eq!(Version::parse("2.1.330 (Claude Code)\n"), Some(Version(2, 1, 330)));
        assert_eq!(Version::parse("2.2.0-beta.1 (Claude Code)"), Some(Version(2, 2, 0)));
        assert_eq!(Version::parse(""), None);
        assert_eq!(Version::parse("node: not found"), None);
    }

    #[test]
    fn a_version_stands_to_the_tested_one() {
        let word = |version: Version| version.standing().as_str();
        assert_eq!([word(MINIMUM), word(TESTED), word(Version(2, 2, 0))], ["older", "tested", "newer"]);
    }

    #[test]
    fn orders_by_number_and_not_by_text() {
        assert!(Version(2, 1, 99) < MINIMUM);
        assert!(Version(2, 10, 0) > MINIMUM);
    }
}
