//! How much configuration there may be.

/// Characters of a text. What is more is no text for a model.
pub const MAX_CHARACTERS: usize = 500_000;

/// The bytes that such a text has at most.
pub const MAX_TEXT_BYTES: u64 = 4 * MAX_CHARACTERS as u64;

/// Bounds of what is taken, and of what is read to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Characters of a text.
    pub characters: usize,
    /// Files of a skill.
    pub skill_files: usize,
    /// Bytes of one of them.
    pub skill_file_bytes: usize,
    /// Bytes of all of them.
    pub skill_bytes: usize,
    /// Documents of a scope.
    pub documents: usize,
    /// Bytes of all documents of a scope, which every run's home would get a copy of.
    pub total_bytes: u64,
}

impl Limits {
    /// The usual ones; `total_bytes` is the operator's (`ASKD_MAX_CONFIG`).
    pub const fn new(total_bytes: u64) -> Self {
        Self {
            characters: MAX_CHARACTERS,
            skill_files: 200,
            skill_file_bytes: 1 << 20,
            skill_bytes: 8 << 20,
            documents: 2_000,
            total_bytes,
        }
    }
}
