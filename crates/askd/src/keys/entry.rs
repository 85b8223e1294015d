//! A key as it is kept, whether this server understands all of it or not.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Invalid, Key};

/// What is kept under the id of a key. A later version of the server may have written what this one cannot read: then the
/// key opens nothing here, and can still be seen and revoked.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// A key.
    Key(Arc<Key>),
    /// One that this server cannot read.
    Unreadable(Unreadable),
}

/// What is known of a key that cannot be read. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// When it was made.
    pub created_at: i64,
    /// From when on it counts no more.
    pub expires_at: Option<i64>,
    /// Since when it counts no more.
    pub revoked_at: Option<i64>,
}

impl Entry {
    /// Its id.
    pub fn id(&self) -> &str {
        match self {
            Self::Key(key) => key.id.as_str(),
            Self::Unreadable(key) => &key.id,
        }
    }

    /// When it was made, in milliseconds since 1970.
    pub fn created_at(&self) -> i64 {
        match self {
            Self::Key(key) => key.created_at.as_millisecond(),
            Self::Unreadable(key) => key.created_at,
        }
    }

    /// Why it does not count at this time; `None`: it does, as far as can be read.
    pub fn invalid_at(&self, now: Timestamp) -> Option<Invalid> {
        match self {
            Self::Key(key) => key.invalid_at(now),
            Self::Unreadable(key) => key.invalid_at(now.as_millisecond()),
        }
    }

    /// The key, if it can be read.
    pub fn key(&self) -> Option<&Arc<Key>> {
        match self {
            Self::Key(key) => Some(key),
            Self::Unreadable(_) => None,
        }
    }
}

impl Unreadable {
    fn invalid_at(&self, now: i64) -> Option<Invalid> {
        if self.revoked_at.is_some_and(|revoked| revoked <= now) {
            return Some(Invalid::Revoked);
        }
        self.expires_at.is_some_and(|expires| expires <= now).then_some(Invalid::Expired)
    }
}
