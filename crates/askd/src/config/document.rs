//! What a document holds, and the hash that stands for it.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use sha2::{Digest as _, Sha256};

/// The file that makes a folder a skill.
pub const SKILL_FILE: &str = "SKILL.md";

/// A document's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// One file of text.
    Text(String),
    /// A skill with its files.
    Skill(Skill),
}

/// A skill's files by their paths within its folder, `/` between the parts. [`SKILL_FILE`] is one of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Skill {
    /// The files.
    pub files: BTreeMap<String, SkillFile>,
}

/// One file of a skill.
#[derive(Clone, PartialEq, Eq)]
pub struct SkillFile {
    /// Its content, which need not be text.
    pub bytes: Vec<u8>,
    /// Whether it may be started as a program.
    pub executable: bool,
}

impl fmt::Debug for SkillFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes{}", self.bytes.len(), if self.executable { ", executable" } else { "" })
    }
}

/// Stands for a content: the same content has the same, on every server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Etag([u8; 32]);

impl Etag {
    /// Of one file.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// From its 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)) {
            return None;
        }
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl SkillFile {
    /// Of its bytes and of whether it is executable.
    pub fn etag(&self) -> Etag {
        let mut hash = Sha256::new();
        hash.update([u8::from(self.executable)]);
        hash.update(&self.bytes);
        Etag(hash.finalize().into())
    }
}

impl Skill {
    /// The hash that stands for it: of one line a file, with the hash of its bytes and of whether it is executable.
    pub fn etag(&self) -> Etag {
        let mut lines = String::new();
        for (path, file) in &self.files {
            // Writing to a string cannot fail.
            let _ = writeln!(lines, "{} {path}", file.etag());
        }
        Etag::of_bytes(lines.as_bytes())
    }

    /// The bytes of all files.
    pub fn size(&self) -> usize {
        self.files.values().map(|file| file.bytes.len()).sum()
    }

    /// Its main text; `None` when it is missing or no text.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.files.get(SKILL_FILE)?.bytes).ok()
    }
}

impl Content {
    /// The hash that stands for it.
    pub fn etag(&self) -> Etag {
        match self {
            Self::Text(text) => Etag::of_bytes(text.as_bytes()),
            Self::Skill(skill) => skill.etag(),
        }
    }

    /// Its main text.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Skill(skill) => skill.text(),
        }
    }

    /// In bytes.
    pub fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Skill(skill) => skill.size(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skill(bytes: &[u8], executable: bool) -> Content {
        let file = SkillFile { bytes: bytes.to_vec(), executable };
        Content::Skill(Skill { files: BTreeMap::from([(SKILL_FILE.to_owned(), file)]) })
    }

    #[test]
    fn the_same_content_has_the_same_hash_and_another_has_another() {
        let all = [Content::Text("a".into()), Content::Text("b".into()), skill(b"a", false), skill(b"a", true)];
        for (index, one) in all.iter().enumerate() {
            for (other_index, other) in all.iter().enumerate() {
                assert_eq!(one.etag() == other.etag(), index == other_index);
            }
            assert_eq!(Etag::parse(&one.etag().to_string()), Some(one.etag()));
        }
    }

    #[test]
    fn only_its_own_form_is_read() {
        for text in ["", "x", &"g".repeat(64), &"A".repeat(64), &"é".repeat(32)] {
            assert_eq!(Etag::parse(text), None, "{text}");
        }
    }
}
