//! What can be done with keys, and why it may be refused.

use jiff::Timestamp;

use super::{Key, Policy, Scopes};
use crate::store::StoreError;
use secrecy::SecretString;

/// A key to be made. Its parts are checked by [`super::Keys::create`].
#[derive(Debug, Clone)]
pub struct NewKey {
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// What its runs are held to.
    pub policy: Policy,
    /// From when on it counts no more.
    pub expires_at: Option<Timestamp>,
}

/// What is to change of a key; `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct KeyPatch {
    /// What people call it.
    pub name: Option<String>,
    /// What it may do.
    pub scopes: Option<Scopes>,
    /// What its runs are held to, the whole of it.
    pub policy: Option<Policy>,
    /// From when on it counts no more; `Some(None)`: it does not expire.
    pub expires_at: Option<Option<Timestamp>>,
}

/// What becomes of the runs of a key that is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunsOfRevoked {
    /// They end with it.
    Cancel,
    /// Those at work go on to their end. What waits does not begin.
    Keep,
}

impl RunsOfRevoked {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Keep => "keep",
        }
    }
}

/// A key with a secret that is shown this once.
#[derive(Debug)]
pub struct Made {
    /// The key.
    pub key: Key,
    /// What its holder sends: `askd_…`.
    pub token: SecretString,
}

/// Why nothing was changed. The texts are for the caller.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// A part is not as it must be. The text does not name the field.
    #[error("{field} {message}")]
    Invalid {
        /// The field, with dots: `policy.models`.
        field: String,
        /// What is wrong with it.
        message: String,
    },
    /// There is no such key.
    #[error("there is no key {0}")]
    Unknown(String),
    /// It counts no more, and stays so.
    #[error("the key was revoked; make a new one")]
    Revoked,
    /// The key of whoever wants it counts no more, or may not any more.
    #[error("the key that asks for this counts no more, or may not do it any more")]
    Actor,
    /// Somebody else has changed it since the caller has read it.
    #[error("the key was changed meanwhile; read it again and decide anew")]
    Changed,
    /// A later version of the server has written it.
    #[error(
        "this version of the server cannot read the key; change it on a server of the version that wrote it, or revoke it"
    )]
    Unreadable,
    /// The key of the settings cannot be changed over HTTP.
    #[error("`admin` is the key of the setting API_KEY; change it there")]
    Admin,
    /// There are as many as there may be.
    #[error(
        "there are {0} keys, and no more are kept; those that are revoked or have expired are removed after 30 days, or \
         after ASKD_AUDIT_RETENTION if that is shorter"
    )]
    TooMany(u64),
    /// The store does not take it.
    #[error("{0}")]
    Store(#[from] StoreError),
}
