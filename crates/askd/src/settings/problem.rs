//! What is wrong with the settings, where it was written, and what to do about it.

use std::fmt;

/// Where the value of a setting came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody has set it.
    Default,
    /// A flag, by its name without dashes.
    Flag(String),
    /// An environment variable, by its name.
    Environment(String),
    /// The settings file.
    File {
        /// The file's path as it was given.
        file: String,
        /// The line, from 1; 0 for the file as a whole.
        line: usize,
        /// The key; empty for the file as a whole.
        key: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Flag(name) => write!(f, "flag `--{name}`"),
            Self::Environment(name) => write!(f, "environment variable `{name}`"),
            Self::File { file, line: 0, .. } => write!(f, "`{file}`"),
            Self::File { file, line, key } if key.is_empty() => write!(f, "`{file}` line {line}"),
            Self::File { file, line, key } => write!(f, "`{file}` line {line} key `{key}`"),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The setting's key, or the unknown name that was written.
    pub setting: String,
    /// The value as it was written; `None` for secrets and for values that may be one.
    pub value: Option<String>,
    /// Where it was written; `None` when nothing was.
    pub origin: Option<Origin>,
    /// What is wrong, as a fragment.
    pub what: String,
    /// What to do, as a fragment.
    pub hint: String,
}

/// Longer values are cut in messages: the origin says where the rest is.
const SHOWN_CHARACTERS: usize = 80;

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.setting)?;
        if let Some(origin) = &self.origin {
            write!(f, " from {origin}")?;
        }
        f.write_str(": ")?;
        if let Some(value) = &self.value {
            let shown: String = value.chars().take(SHOWN_CHARACTERS).collect();
            let cut = if shown.len() < value.len() { "…" } else { "" };
            write!(f, "{shown:?}{cut} ")?;
        }
        write!(f, "{}\n  hint: {}", self.what, self.hint)
    }
}

/// Everything that is wrong with the settings, so that one start shows all of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the settings are not valid:\n{}", lines(.0))]
pub struct SettingsErrors(Vec<Problem>);

impl SettingsErrors {
    /// The problems, in the order of the documentation; never empty.
    pub fn problems(&self) -> &[Problem] {
        &self.0
    }

    /// `Ok` when there is nothing to report.
    pub(super) fn none_of(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self(problems)) }
    }
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(|problem| format!("- {problem}")).collect();
    lines.join("\n")
}
