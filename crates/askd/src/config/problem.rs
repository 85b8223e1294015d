//! What is wrong with a document, and where.

use std::fmt;

use serde::Serialize;
use utoipa::ToSchema;

/// One thing that is wrong or odd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// The file, where a document has several (a skill) or there are several documents (an archive).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub file: Option<String>,
    /// The line in it, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub line: Option<u32>,
    /// The key, e.g. `description` or `permissions.deny[2]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub field: Option<String>,
    /// What is wrong and what to do, for people.
    pub message: String,
}

impl Problem {
    /// About the whole.
    pub fn new(message: impl Into<String>) -> Self {
        Self { file: None, line: None, field: None, message: message.into() }
    }

    /// In this line, from 1.
    #[must_use]
    pub fn at(self, line: u32) -> Self {
        Self { line: Some(line), ..self }
    }

    /// About this key.
    #[must_use]
    pub fn of(self, field: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..self }
    }

    /// In this file.
    #[must_use]
    pub fn in_file(self, file: impl Into<String>) -> Self {
        Self { file: Some(file.into()), ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}: ")?;
        }
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if let Some(field) = &self.field {
            write!(f, "`{field}`: ")?;
        }
        f.write_str(&self.message)
    }
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What the CLI would silently skip or drop. A document with any of these is refused.
    pub errors: Vec<Problem>,
    /// What works and is probably not meant.
    pub warnings: Vec<Problem>,
    /// Why it can run programs or widen what runs may do; empty for plain texts. Such a document needs a permission of
    /// its own.
    pub executes: Vec<String>,
}

impl Report {
    /// Whether the CLI would take all of it.
    pub fn is_valid(&self) -> bool {
        self.errors.is_empty()
    }
}
