//! What a client shows: `askd_<id>_<secret>`.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::KeyId;
use crate::ambient::Ambient;

/// What every token begins with, so that scanners of secrets find one that leaked.
const PREFIX: &str = "askd_";

/// Two random ids, in hexadecimal digits: 244 bits that nobody guesses.
const SECRET_LENGTH: usize = 64;

/// A key's id with one of its secrets.
pub struct Token {
    id: Uuid,
    secret: SecretString,
}

impl Token {
    /// A fresh secret for a key.
    pub fn make(id: Uuid, ambient: &Ambient) -> Self {
        let secret = format!("{}{}", ambient.uuid().simple(), ambient.uuid().simple());
        Self { id, secret: secret.into() }
    }

    /// What a client shows, if it looks like a token at all. Nothing is asked of the store for what does not.
    pub fn parse(shown: &str) -> Option<Self> {
        let (id, secret) = shown.strip_prefix(PREFIX)?.split_once('_')?;
        let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if id.len() != 32 || secret.len() != SECRET_LENGTH || !is_hex(id) || !is_hex(secret) {
            return None;
        }
        Some(Self { id: Uuid::try_parse(id).ok()?, secret: secret.to_owned().into() })
    }

    /// The key that it claims to be of.
    pub fn key(&self) -> KeyId {
        KeyId::new(self.id)
    }

    /// The whole, to be shown once.
    pub fn reveal(&self) -> SecretString {
        format!("{PREFIX}{}_{}", self.id.simple(), self.secret.expose_secret()).into()
    }

    /// What is kept of it. A secret of so many random bits needs no slow hash: there is no dictionary to try.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.secret.expose_secret().as_bytes()).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_as_it_was_shown() {
        let token = Token::make(Uuid::from_u128(7), &Ambient::system());
        let shown = token.reveal();
        let again = Token::parse(shown.expose_secret()).unwrap();
        assert_eq!((again.key(), again.hash()), (token.key(), token.hash()));
        assert!(!format!("{token:?}").contains(token.secret.expose_secret()));
    }

    #[test]
    fn nothing_else_is_taken_for_one() {
        let shown = Token::make(Uuid::from_u128(0xabc), &Ambient::system()).reveal();
        let shown = shown.expose_secret();
        for wrong in [
            "",
            "askd_",
            "askd__",
            &shown[1..],
            &shown[..shown.len() - 1],
            &format!("{shown}0"),
            &shown.to_uppercase(),
            &shown.replace("askd_", "askd-"),
            &format!(" {shown}"),
        ] {
            assert!(Token::parse(wrong).is_none(), "{wrong:?}");
        }
    }
}
