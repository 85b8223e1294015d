//! Who calls, and what its key may do.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::error::ApiError;
use super::error::code::ErrorCode;
use super::idempotency::pepper::Pepper;
use crate::audit::Actor;
use crate::keys::{Key, Scope};
use crate::settings::ConfigChanges;

/// Whoever has shown a key. Only [`super::auth`] makes one, from the key; a handler that takes it is closed to all who
/// have none, such as the holder of a stream's token.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    key: Arc<Key>,
    /// The key as it was when the request's body was there; all copies share it.
    now: Arc<OnceLock<Arc<Key>>>,
    address: Option<IpAddr>,
    changes: ConfigChanges,
    request_id: String,
    pepper: Pepper,
}

impl Caller {
    /// The holder of a key. `address` is where the request came from, as far as proxies are trusted; `changes` is what the
    /// operator leaves to keys, and `pepper` is of the secret that was shown.
    pub(super) fn new(
        key: Arc<Key>,
        address: Option<IpAddr>,
        changes: ConfigChanges,
        request_id: String,
        pepper: Pepper,
    ) -> Self {
        Self { key, now: Arc::default(), address, changes, request_id, pepper }
    }

    /// What fingerprints of its requests are made with.
    pub(super) fn pepper(&self) -> &Pepper {
        &self.pepper
    }

    /// The key, as it was when it was last looked at.
    pub(super) fn key(&self) -> &Arc<Key> {
        self.now.get().unwrap_or(&self.key)
    }

    /// It was looked at again. Once: a request has one body.
    pub(super) fn is_now(&self, key: Arc<Key>) {
        drop(self.now.set(key));
    }

    /// The id of the key.
    pub(super) fn key_id(&self) -> &str {
        self.key().id.as_str()
    }

    /// Where the request came from.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// For the audit.
    pub(super) fn actor(&self) -> Actor {
        let key_id = Some(self.key().id.to_string());
        Actor { key_id, address: self.address, request_id: self.request_id.clone() }
    }

    /// Whether it may do this.
    pub(super) fn may(&self, scope: Scope) -> bool {
        let left = match scope {
            Scope::ConfigWrite => self.changes != ConfigChanges::None,
            Scope::ConfigExec => self.changes == ConfigChanges::All,
            _ => true,
        };
        left && self.key().scopes.has(scope)
    }

    /// Refuses what it may not do, for whichever reason.
    pub(super) fn require(&self, scope: Scope) -> Result<(), ApiError> {
        self.require_scope(scope)?;
        if self.may(scope) {
            return Ok(());
        }
        Err(lacks(scope).with_hint(format!("the operator has set ASKD_CONFIG_CHANGES to {}", self.changes)))
    }

    /// Refuses a key without the scope, whatever the operator leaves to keys that have it.
    pub(super) fn require_scope(&self, scope: Scope) -> Result<(), ApiError> {
        if self.key().scopes.has(scope) {
            return Ok(());
        }
        Err(lacks(scope).with_hint(match scope {
            Scope::Admin => "this is for whoever administers the server",
            _ => "whoever has a key with the scope admin can give it to this one: PATCH /v1/keys/{id}",
        }))
    }
}

fn lacks(scope: Scope) -> ApiError {
    let name = scope.as_str();
    ApiError::new(ErrorCode::Forbidden, format!("this needs the scope {name}, which this key does not have"))
}

/// Whoever may read the events of a run: a [`Caller`], or the holder of a stream's token, who sees what the token's maker
/// sees.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    key: Arc<Key>,
}

impl Reader {
    /// Of a key, whether it was shown itself or has made the token.
    pub(super) fn new(key: Arc<Key>) -> Self {
        Self { key }
    }

    /// The key.
    pub(super) fn key(&self) -> &Arc<Key> {
        &self.key
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| ApiError::new(ErrorCode::Unauthorized, "this needs a key"))
    }
}

impl<S: Sync> FromRequestParts<S> for Reader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let reader = parts.extensions.get::<Self>().cloned();
        reader.ok_or_else(|| ApiError::new(ErrorCode::Unauthorized, "this needs a key"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Scopes;

    #[test]
    fn the_operator_takes_permissions_away_from_every_key() {
        use Scope::{ConfigExec, ConfigRead, ConfigWrite};
        for (changes, has) in [
            (ConfigChanges::All, &[ConfigRead, ConfigWrite, ConfigExec][..]),
            (ConfigChanges::Texts, &[ConfigRead, ConfigWrite]),
            (ConfigChanges::None, &[ConfigRead]),
        ] {
            let caller = Caller::new(Arc::new(Key::admin()), None, changes, String::new(), Pepper::of_key(""));
            for scope in [ConfigRead, ConfigWrite, ConfigExec] {
                assert_eq!(caller.require(scope).is_ok(), has.contains(&scope), "{changes} {scope:?}");
            }
        }
    }

    #[test]
    fn a_key_may_do_what_its_scopes_say_and_no_more() {
        let key = Key { scopes: Scopes::from_iter([Scope::Ask]), ..Key::admin() };
        let caller = Caller::new(Arc::new(key), None, ConfigChanges::All, String::new(), Pepper::of_key(""));
        assert!(caller.require(Scope::Ask).is_ok());
        let refused = caller.require(Scope::RunsRead).unwrap_err();
        assert_eq!(refused.message(), "this needs the scope runs:read, which this key does not have");
        let hint = |scope| format!("{:?}", caller.require(scope).unwrap_err());
        assert!(hint(Scope::RunsRead).contains("PATCH /v1/keys/{id}"));
        assert!(!hint(Scope::Admin).contains("PATCH"), "nobody shall hand out `admin` for a refusal");
    }
}
