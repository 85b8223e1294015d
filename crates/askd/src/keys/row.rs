//! Keys as the store has them, and back.

use std::sync::Arc;

use jiff::Timestamp;

use super::change::ChangeError;
use super::entry::{Entry, Unreadable};
use super::name::is_unseen;
use super::{Key, KeyId, LastUse, Policy, Scope, Scopes};
use crate::store::StoreError;
use crate::store::keys::KeyRow;

/// The longest name, in characters.
const MAX_NAME: usize = 100;

/// What is wrong with a name.
pub(super) fn check_name(name: &str) -> Result<(), ChangeError> {
    let invalid = |message: String| Err(ChangeError::Invalid { field: "name".into(), message });
    match name.chars().take(MAX_NAME + 1).count() {
        0 => invalid("must not be empty".into()),
        length if length > MAX_NAME => invalid(format!("must have at most {MAX_NAME} characters")),
        _ if name.chars().any(is_unseen) => invalid("must not have control or invisible characters".into()),
        _ => Ok(()),
    }
}

/// The key of a row. What this askd does not understand, for a later one has written it, is an error: a key with half of
/// its policy may do too much.
pub(super) fn read_strictly(row: KeyRow) -> Result<Key, StoreError> {
    let mistake = |what: &str| {
        tracing::error!(key = row.id, what, "a key in the store is none that this askd understands");
        StoreError::Mistake(format!("the {what} of a key cannot be read"))
    };
    let time = |millis: i64| Timestamp::from_millisecond(millis).map_err(|_| mistake("time"));
    let scopes = row.scopes.split_whitespace().map(|word| Scope::from_word(word).ok_or_else(|| mistake("scopes")));
    let last_used = match row.last_used_at {
        None => None,
        Some(at) => Some(LastUse { at: time(at)?, address: row.last_used_address.clone() }),
    };
    Ok(Key {
        id: KeyId::parse(&row.id).ok_or_else(|| mistake("id"))?,
        scopes: scopes.collect::<Result<_, _>>()?,
        policy: serde_json::from_str(&row.policy).map_err(|_| mistake("policy"))?,
        created_at: time(row.created_at)?,
        created_by: KeyId::parse(&row.created_by).ok_or_else(|| mistake("maker"))?,
        expires_at: row.expires_at.map(time).transpose()?,
        revoked_at: row.revoked_at.map(time).transpose()?,
        last_used,
        replaced_until: row.replaced_until.map(time).transpose()?,
        name: row.name,
    })
}

/// What is kept in a row, also if this askd does not understand it.
pub(super) fn read(row: KeyRow) -> Entry {
    let unreadable = Unreadable {
        id: row.id.clone(),
        name: row.name.clone(),
        created_at: row.created_at,
        expires_at: row.expires_at,
        revoked_at: row.revoked_at,
    };
    read_strictly(row).map_or(Entry::Unreadable(unreadable), |key| Entry::Key(Arc::new(key)))
}

/// The row of a new key.
pub(super) fn write(key: &Key) -> KeyRow {
    KeyRow {
        id: key.id.to_string(),
        name: key.name.clone(),
        scopes: scopes_text(key.scopes),
        policy: policy_text(&key.policy),
        created_at: key.created_at.as_millisecond(),
        created_by: key.created_by.to_string(),
        expires_at: key.expires_at.map(Timestamp::as_millisecond),
        revoked_at: None,
        last_used_at: None,
        last_used_address: None,
        replaced_until: None,
    }
}

/// Scopes as words.
pub(super) fn words(scopes: Scopes) -> Vec<&'static str> {
    scopes.iter().map(Scope::as_str).collect()
}

/// Scopes as the store has them.
pub(super) fn scopes_text(scopes: Scopes) -> String {
    words(scopes).join(" ")
}

/// A policy as the store has it.
pub(super) fn policy_text(policy: &Policy) -> String {
    serde_json::json!(policy).to_string()
}

/// The minute that a time lies in.
pub(super) fn to_the_minute(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second().div_euclid(60) * 60).unwrap_or(time)
}

/// A time without what the store does not keep of it.
pub(super) fn to_the_millisecond(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_a_later_askd_has_written_is_not_taken_for_less_than_it_is() {
        let row = write(&Key { scopes: [Scope::Ask].into_iter().collect(), ..Key::admin() });
        assert_eq!(read_strictly(row.clone()).map(|key| words(key.scopes)), Ok(vec!["ask"]));
        for later in [
            KeyRow { scopes: "ask fly".into(), ..row.clone() },
            KeyRow { policy: r#"{"planet":"earth"}"#.into(), ..row.clone() },
            KeyRow { id: "robot".into(), ..row },
        ] {
            assert!(read_strictly(later.clone()).is_err());
            assert_eq!(read(later.clone()).id(), later.id, "and it can still be seen");
        }
    }
}
