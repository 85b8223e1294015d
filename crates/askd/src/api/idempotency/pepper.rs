//! What a fingerprint of a body is made with besides the body. A body may hold secrets that are never stored, and whoever
//! has a copy of the database could test guesses of them against a plain hash.
//!
//! It comes from the secret that the caller has shown: only a hash of that is stored, and it is long. Of `API_KEY` nothing is
//! stored at all, and it may be a word that a person has thought of: a copy of the database must not become a way to test
//! guesses of it either, so it is made slow to try.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use ring::{hmac, pbkdf2};
use secrecy::{ExposeSecret as _, SecretBox, SecretString};
use tokio::sync::OnceCell;

use super::super::error::ApiError;
use super::super::error::code::ErrorCode;
use crate::hex::hex;

/// Of a fingerprint and of what it is made with, in bytes.
const LENGTH: usize = 32;

/// Keeps what is made here apart from whatever else is made of the same secret.
const LABEL: &[u8] = b"askd fingerprints of idempotent requests";

/// Some tenths of a second of one processor, once in the life of a server whose operator uses idempotency keys, and for each
/// guess.
const ROUNDS: NonZeroU32 = NonZeroU32::new(600_000).unwrap();

type Bytes = SecretBox<[u8; LENGTH]>;

/// The caller's, to make fingerprints with. Never printed.
#[derive(Clone)]
pub(in crate::api) enum Pepper {
    /// Of a secret that askd has made.
    OfKey(Arc<Bytes>),
    /// Of `API_KEY`.
    Operators(Arc<Operators>),
}

/// The one of `API_KEY`, made when it is needed first.
pub(in crate::api) struct Operators {
    api_key: SecretString,
    made: OnceCell<Bytes>,
}

impl Operators {
    pub(in crate::api) fn new(api_key: &SecretString) -> Self {
        Self { api_key: api_key.clone(), made: OnceCell::new() }
    }

    async fn bytes(&self) -> Result<&Bytes, ApiError> {
        let make = async || {
            let api_key = self.api_key.clone();
            tokio::task::spawn_blocking(move || stretched(&api_key)).await
        };
        self.made.get_or_try_init(make).await.map_err(|error| {
            tracing::error!(%error, "no fingerprint of a request can be made");
            ApiError::new(ErrorCode::InternalError, "the request could not be compared with earlier ones")
        })
    }
}

impl Pepper {
    /// Of a secret that askd has made.
    pub(in crate::api) fn of_key(secret: &str) -> Self {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), LABEL);
        let fill = |bytes: &mut [u8; LENGTH]| bytes.copy_from_slice(tag.as_ref());
        Self::OfKey(Arc::new(SecretBox::init_with_mut(fill)))
    }

    /// What signs fingerprints.
    pub(super) async fn signer(&self) -> Result<Signer, ApiError> {
        let bytes = match self {
            Self::OfKey(bytes) => bytes,
            Self::Operators(operators) => operators.bytes().await?,
        };
        Ok(Signer(hmac::Key::new(hmac::HMAC_SHA256, bytes.expose_secret())))
    }
}

/// Makes fingerprints of the bodies of one caller.
pub(super) struct Signer(hmac::Key);

impl Signer {
    pub(super) fn sign(&self, body: &[u8]) -> String {
        hex(hmac::sign(&self.0, body).as_ref())
    }
}

fn stretched(api_key: &SecretString) -> Bytes {
    let key = api_key.expose_secret().as_bytes();
    SecretBox::init_with_mut(|bytes: &mut [u8; LENGTH]| {
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, LABEL, key, bytes);
    })
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper")
    }
}

impl fmt::Debug for Operators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Operators")
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer")
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    const BODY: &[u8] = br#"{"env":{"PIN":"1234"}}"#;

    async fn of(pepper: &Pepper) -> String {
        pepper.signer().await.unwrap().sign(BODY)
    }

    #[tokio::test]
    async fn a_fingerprint_says_nothing_to_whoever_has_not_the_callers_secret() {
        let operators = |key: &str| Pepper::Operators(Arc::new(Operators::new(&key.into())));
        let all = [Pepper::of_key("one"), Pepper::of_key("two"), operators("one"), operators("two")];
        let mut found = vec![hex(&Sha256::digest(BODY))];
        for pepper in &all {
            let fingerprint = of(pepper).await;
            assert_eq!((fingerprint.len(), &fingerprint), (64, &of(pepper).await), "it stays the same");
            assert!(!found.contains(&fingerprint), "{pepper:?}");
            found.push(fingerprint);
        }
        assert_eq!(of(&Pepper::of_key("one")).await, found[1], "after a restart too");
        assert!(!format!("{:?}", all[0]).contains("one"));
    }
}
