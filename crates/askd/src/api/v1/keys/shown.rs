//! A key as clients see it: never with a hash of its secret.

use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::config::document::Etag;
use crate::encode::time::rfc3339;
use crate::keys::change::Made;
use crate::keys::entry::Entry;
use crate::keys::{Key, Scope};

/// A key, and whether it counts at this time.
pub(super) fn shown(key: &Key, now: Timestamp) -> Value {
    let time = |time: Timestamp| rfc3339(time.as_millisecond());
    let last_used = key.last_used.as_ref();
    json!({
        "type": "key",
        "id": key.id.as_str(),
        "name": key.name,
        "valid": key.invalid_at(now).is_none(),
        "scopes": key.scopes.iter().map(Scope::as_str).collect::<Vec<_>>(),
        "policy": key.policy,
        // The key of the settings was not made at any time.
        "created_at": (!key.id.is_admin()).then(|| time(key.created_at)),
        "created_by": key.created_by.as_str(),
        "expires_at": key.expires_at.map(time),
        "revoked_at": key.revoked_at.map(time),
        // What a rotation lets count a while longer.
        "previous_secret_expires_at": key.replaced_until.filter(|until| *until > now).map(time),
        "last_used_at": last_used.map(|used| time(used.at)),
        "last_used_address": last_used.and_then(|used| used.address.as_deref()),
    })
}

/// What is kept of a key. Of one that this server cannot read, what it can; it opens nothing here.
pub(super) fn listed(entry: &Entry, now: Timestamp) -> Value {
    let key = match entry {
        Entry::Key(key) => return shown(key, now),
        Entry::Unreadable(key) => key,
    };
    json!({
        "type": "key",
        "id": key.id,
        "name": key.name,
        "readable": false,
        "valid": false,
        "created_at": rfc3339(key.created_at),
        "expires_at": key.expires_at.map(rfc3339),
        "revoked_at": key.revoked_at.map(rfc3339),
    })
}

/// Stands for what can be changed of a key. Its use is not among it.
pub(super) fn etag(key: &Key) -> Etag {
    let parts = json!({
        "id": key.id.as_str(),
        "name": key.name,
        "scopes": key.scopes.iter().map(Scope::as_str).collect::<Vec<_>>(),
        "policy": key.policy,
        "expires_at": key.expires_at.map(Timestamp::as_millisecond),
        "revoked_at": key.revoked_at.map(Timestamp::as_millisecond),
    });
    Etag::of_bytes(parts.to_string().as_bytes())
}

/// A key with its secret, this once.
pub(super) fn with_token(made: &Made, now: Timestamp) -> Value {
    let mut key = shown(&made.key, now);
    key["key"] = made.token.expose_secret().into();
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_shown_without_a_trace_of_its_secret() {
        insta::assert_snapshot!(shown(&Key::admin(), Timestamp::UNIX_EPOCH).to_string(),
            @r#"{"created_at":null,"created_by":"admin","expires_at":null,"id":"admin","last_used_address":null,"last_used_at":null,"name":"admin","policy":{},"previous_secret_expires_at":null,"revoked_at":null,"scopes":["ask","runs:read","runs:write","config:read","config:write","config:exec","approvals","usage:read","metrics:read","admin"],"type":"key","valid":true}"#);
    }
}
