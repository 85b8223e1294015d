//! What a key may do.

use serde::{Deserialize, Serialize};

/// One thing that a key may do. The words are an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// `POST /ask`.
    #[serde(rename = "ask")]
    Ask,
    /// See its own runs and their events.
    #[serde(rename = "runs:read")]
    RunsRead,
    /// Submit runs, and cancel, interrupt and feed its own.
    #[serde(rename = "runs:write")]
    RunsWrite,
    /// Read the configuration: names, texts and history, but not what may hold secrets.
    #[serde(rename = "config:read")]
    ConfigRead,
    /// Change texts that cannot run anything.
    #[serde(rename = "config:write")]
    ConfigWrite,
    /// Change what can run programs or widen what runs may do, and read what may hold secrets.
    #[serde(rename = "config:exec")]
    ConfigExec,
    /// Answer the questions of its own runs.
    #[serde(rename = "approvals")]
    Approvals,
    /// See what its own runs have cost.
    #[serde(rename = "usage:read")]
    UsageRead,
    /// Read the metrics of the whole server: which keys have used how much, without names of runs.
    #[serde(rename = "metrics:read")]
    MetricsRead,
    /// Everything, also what belongs to other keys; makes and revokes keys.
    #[serde(rename = "admin")]
    Admin,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 10] = [
        Self::Ask,
        Self::RunsRead,
        Self::RunsWrite,
        Self::ConfigRead,
        Self::ConfigWrite,
        Self::ConfigExec,
        Self::Approvals,
        Self::UsageRead,
        Self::MetricsRead,
        Self::Admin,
    ];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::RunsRead => "runs:read",
            Self::RunsWrite => "runs:write",
            Self::ConfigRead => "config:read",
            Self::ConfigWrite => "config:write",
            Self::ConfigExec => "config:exec",
            Self::Approvals => "approvals",
            Self::UsageRead => "usage:read",
            Self::MetricsRead => "metrics:read",
            Self::Admin => "admin",
        }
    }

    /// What the word says.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// What a key may do. [`Scope::Admin`] includes all others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scopes(u16);

impl Scopes {
    /// Everything.
    pub const ALL: Self = Self((1 << Scope::ALL.len()) - 1);

    /// Whether this is among them.
    pub fn has(self, scope: Scope) -> bool {
        self.0 & (scope.bit() | Scope::Admin.bit()) != 0
    }

    /// Whether nothing is.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that were given, in the order of [`Scope::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.0 & scope.bit() != 0)
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scope_is_found_by_its_word_and_written_so_in_json() {
        for scope in Scope::ALL {
            assert_eq!(Scope::from_word(scope.as_str()), Some(scope));
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.as_str());
        }
    }

    #[test]
    fn admin_includes_every_other_and_nothing_else_includes_any() {
        let admin = Scopes::from_iter([Scope::Admin]);
        let ask = Scopes::from_iter([Scope::Ask]);
        for scope in Scope::ALL {
            assert!(admin.has(scope), "{scope:?}");
            assert_eq!(ask.has(scope), scope == Scope::Ask, "{scope:?}");
            assert!(Scopes::ALL.has(scope) && !Scopes::default().has(scope));
        }
        assert_eq!(ask.iter().collect::<Vec<_>>(), [Scope::Ask]);
    }
}
