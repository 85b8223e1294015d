//! API keys: who may call, what with, and how much of it.
//!
//! The store is the truth: a key is looked up whenever it is shown, so that a change counts at once, also on other servers
//! with the same store. `API_KEY` is the one key that is a setting; it may do everything ([`Key::admin`]).

pub mod change;
pub mod entry;
pub mod manager;
pub mod name;
pub mod policy;
pub mod priority;
pub mod scope;
pub mod token;

mod compare;
mod row;
mod uses;

use std::fmt;

use jiff::Timestamp;
use uuid::Uuid;

pub use manager::Keys;
pub use policy::Policy;
pub use scope::{Scope, Scopes};

/// The id of a key: `admin` for the one of the settings, else `key_` and a UUID of version 7.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(String);

impl KeyId {
    /// What the ids of made keys begin with.
    pub const PREFIX: &'static str = "key_";

    /// The id of `API_KEY`.
    pub const ADMIN: &'static str = "admin";

    /// Of a made key.
    pub fn new(uuid: Uuid) -> Self {
        Self(format!("{}{uuid}", Self::PREFIX))
    }

    /// The id that is written so, in the one form in which askd writes it.
    pub fn parse(text: &str) -> Option<Self> {
        if text == Self::ADMIN {
            return Some(Self(text.to_owned()));
        }
        let uuid = Uuid::try_parse(text.strip_prefix(Self::PREFIX)?).ok()?;
        let id = Self::new(uuid);
        (id.0 == text).then_some(id)
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What a made key's tokens carry of it.
    fn uuid(&self) -> Option<Uuid> {
        Uuid::try_parse(self.0.strip_prefix(Self::PREFIX)?).ok()
    }

    /// Whether it is the key of the settings.
    pub fn is_admin(&self) -> bool {
        self.0 == Self::ADMIN
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key, without its secret: that is never kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// Its id.
    pub id: KeyId,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// What its runs are held to.
    pub policy: Policy,
    /// When it was made.
    pub created_at: Timestamp,
    /// The key that made it.
    pub created_by: KeyId,
    /// From when on it counts no more.
    pub expires_at: Option<Timestamp>,
    /// Since when it counts no more.
    pub revoked_at: Option<Timestamp>,
    /// In which minute it was last used, and from where.
    pub last_used: Option<LastUse>,
    /// From when on the secret counts no more that its current one has replaced; `None`: none is left of it.
    pub replaced_until: Option<Timestamp>,
}

/// When and from where a key was last used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastUse {
    /// The beginning of the minute.
    pub at: Timestamp,
    /// The client's address, as far as it is known.
    pub address: Option<String>,
}

impl Key {
    /// `API_KEY`: it may do everything, and nothing bounds it.
    pub fn admin() -> Self {
        Self {
            id: KeyId(KeyId::ADMIN.to_owned()),
            name: KeyId::ADMIN.to_owned(),
            scopes: Scopes::ALL,
            policy: Policy::default(),
            created_at: Timestamp::UNIX_EPOCH,
            created_by: KeyId(KeyId::ADMIN.to_owned()),
            expires_at: None,
            revoked_at: None,
            last_used: None,
            replaced_until: None,
        }
    }

    /// Whether it sees what other keys have made.
    pub fn sees_all(&self) -> bool {
        self.scopes.has(Scope::Admin)
    }

    /// Whether it may see what belongs to the key of this id.
    pub fn sees(&self, owner: &str) -> bool {
        self.sees_all() || self.id.as_str() == owner
    }

    /// Why it does not count at this time; `None`: it does.
    pub fn invalid_at(&self, now: Timestamp) -> Option<Invalid> {
        if self.revoked_at.is_some_and(|revoked| revoked <= now) {
            return Some(Invalid::Revoked);
        }
        self.expires_at.is_some_and(|expires| expires <= now).then_some(Invalid::Expired)
    }
}

/// Why a key does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invalid {
    /// Somebody has revoked it.
    Revoked,
    /// Its time is over.
    Expired,
}

impl Invalid {
    /// In words: `was revoked`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "was revoked",
            Self::Expired => "has expired",
        }
    }
}
