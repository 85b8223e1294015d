//! `Idempotency-Key`: a request that is sent twice is done once.

use axum::http::{HeaderMap, HeaderValue};
use secrecy::zeroize::Zeroizing;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::caller::Caller;
use super::error::ApiError;
use crate::hex::hex;
use crate::runs::submit::Idempotency;
use pepper::Signer;

pub(super) mod pepper;

const HEADER: &str = "idempotency-key";
pub(super) const MAX_LENGTH: usize = 255;

/// A client's key, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key(String);

impl Key {
    /// The request's key, if it has one.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, ApiError> {
        let mut given = headers.get_all(HEADER).iter();
        let Some(first) = given.next() else { return Ok(None) };
        if let (Some(key), None) = (key(first), given.next()) {
            return Ok(Some(Self(key)));
        }
        let what = format_args!("must be given once, as 1 to {MAX_LENGTH} visible ASCII characters");
        Err(ApiError::param("Idempotency-Key", what))
    }

    /// The promise that all requests with this key on this route are about the same `subject`, such as the run that a command
    /// is for. They have no body.
    pub(super) fn promise(self, route: &'static str, subject: &str) -> Idempotency {
        Idempotency { route, key: self.0, body_hash: hex(&Sha256::digest(subject)) }
    }

    /// For requests with a body.
    pub(super) async fn with_body(headers: &HeaderMap, caller: &Caller) -> Result<Option<WithBody>, ApiError> {
        let Some(key) = Self::of(headers)? else { return Ok(None) };
        Ok(Some(WithBody { key, signer: caller.pepper().signer().await? }))
    }
}

/// A client's key of a request with a body.
#[derive(Debug)]
pub(super) struct WithBody {
    key: Key,
    signer: Signer,
}

impl WithBody {
    /// The promise that all requests with this key on this route have the same body and are about the same `subject`.
    pub(super) fn promise(self, route: &'static str, subject: &str, body: &Map<String, Value>) -> Idempotency {
        Idempotency { route, key: self.key.0, body_hash: fingerprint(&self.signer, subject, body) }
    }
}

/// Refuses a key where a secret is made. Silence would be taken for a promise, and it could be kept only by keeping the
/// secret.
pub(super) fn none_for_secrets(headers: &HeaderMap) -> Result<(), ApiError> {
    if headers.contains_key(HEADER) {
        let what = "is not taken here: the answer holds a secret, which is not kept to be told again";
        let hint = "if an answer was lost, look for the key in GET /v1/keys and rotate it";
        return Err(ApiError::param("Idempotency-Key", what).with_hint(hint));
    }
    Ok(())
}

/// Refuses a key where it would be kept for no run: bytes that come twice are stored twice, and that harms nobody.
pub(super) fn none_for_uploads(headers: &HeaderMap) -> Result<(), ApiError> {
    if headers.contains_key(HEADER) {
        let hint = "an upload whose answer was lost may be sent again: what is not used goes by itself; GET /v1/uploads \
            shows the sha256 of those that are there";
        return Err(ApiError::param("Idempotency-Key", "is not taken for uploads").with_hint(hint));
    }
    Ok(())
}

fn key(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?;
    let fits = (1..=MAX_LENGTH).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| text.to_owned())
}

/// Of the values and not of the bytes: order and blanks do not matter. `serde_json` sorts an object's fields.
fn fingerprint(signer: &Signer, subject: &str, body: &Map<String, Value>) -> String {
    let mut bytes = Zeroizing::new(Vec::from(subject));
    bytes.push(b'\n');
    // A value always serialises.
    bytes.extend_from_slice(&Zeroizing::new(serde_json::to_vec(body).unwrap_or_default()));
    signer.sign(&bytes)
}

#[cfg(test)]
mod tests {
    use super::pepper::Pepper;
    use super::*;

    fn of(values: &[&str]) -> Result<Option<Key>, ApiError> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, HeaderValue::from_str(value).unwrap());
        }
        Key::of(&headers)
    }

    #[test]
    fn a_key_is_one_word_of_visible_characters() {
        assert_eq!(of(&[]).unwrap(), None);
        assert_eq!(of(&["a-1"]).unwrap(), Some(Key("a-1".into())));
        assert!(of(&["~".repeat(255).as_str()]).is_ok());
        for wrong in [&[""][..], &["two words"], &["é"], &["a", "a"], &["x".repeat(256).as_str()]] {
            assert_eq!(of(wrong).unwrap_err().at_fault(), Some("Idempotency-Key"), "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn bodies_are_the_same_when_their_values_are() {
        let signer = Pepper::of_key("secret").signer().await.unwrap();
        let of = |subject: &str, text: &str| fingerprint(&signer, subject, &serde_json::from_str(text).unwrap());
        assert_eq!(of("", r#"{"a":1,"b":{"c":2,"d":3}}"#), of("", r#"{ "b": {"d":3, "c":2}, "a": 1 }"#));
        assert_ne!(of("", r#"{"a":1}"#), of("", r#"{"a":2}"#));
        assert_ne!(of("run_1", "{}"), of("run_2", "{}"));
    }
}
