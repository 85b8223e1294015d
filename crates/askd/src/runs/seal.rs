//! The secrets of a run that waits, in the form in which the store keeps them: sealed with `ASKD_SECRET_KEY`.
//!
//! ```text
//! version (1 byte) | id of the key (8) | nonce (12) | ChaCha20-Poly1305 of JSON, with its tag (16)
//! ```
//!
//! The id of the run and what stands before the nonce are sealed with it, so that a row which somebody moves to another run
//! cannot be opened.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use secrecy::zeroize::Zeroizing;
use sha2::{Digest as _, Sha256};

use super::RunId;
use super::secrets::RunSecrets;
use crate::settings::secret_key::SecretKey;

const VERSION: u8 = 1;

/// Names a key without saying anything of it.
type KeyNumber = [u8; 8];

/// Version and id of the key.
const HEAD: usize = 1 + size_of::<KeyNumber>();

/// Why secrets cannot be opened. For the caller of the run, and for the log: nothing of them is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unopened {
    /// The server has no key.
    #[error("the server has no ASKD_SECRET_KEY now")]
    NoKey,
    /// It has another one.
    #[error("they were sealed with another ASKD_SECRET_KEY than the server has now")]
    OtherKey,
    /// They were changed, or are those of another run.
    #[error("what is stored of them is damaged")]
    Damaged,
    /// There are none.
    #[error("they are not stored")]
    Gone,
}

/// Seals the secrets of a run. `None`: the machine has no randomness to give, or what is to be sealed is no JSON; neither
/// happens.
pub fn seal(key: &SecretKey, run: RunId, secrets: &RunSecrets) -> Option<Vec<u8>> {
    let mut nonce = [0; NONCE_LEN];
    // Random, and not counted: several servers share a key. With a billion runs the odds that two of them have one nonce are
    // still below one in a hundred billion.
    SystemRandom::new().fill(&mut nonce).ok()?;
    let mut sealed = Vec::with_capacity(HEAD + NONCE_LEN);
    sealed.push(VERSION);
    sealed.extend(number(key));
    let bound = bound(&sealed, run);
    let mut text = secrets.to_json()?;
    let nonce_bytes = nonce;
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag = cipher(key)?.seal_in_place_separate_tag(nonce, Aad::from(bound), &mut text).ok()?;
    sealed.extend(nonce_bytes);
    sealed.extend_from_slice(&text);
    sealed.extend(tag.as_ref());
    Some(sealed)
}

/// Opens what [`seal`] has made for this run.
pub fn open(key: Option<&SecretKey>, run: RunId, sealed: &[u8]) -> Result<RunSecrets, Unopened> {
    let key = key.ok_or(Unopened::NoKey)?;
    let (head, rest) = sealed.split_at_checked(HEAD).ok_or(Unopened::Damaged)?;
    let (nonce, text) = rest.split_at_checked(NONCE_LEN).ok_or(Unopened::Damaged)?;
    if head[0] != VERSION {
        return Err(Unopened::Damaged);
    }
    if head[1..] != number(key) {
        return Err(Unopened::OtherKey);
    }
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unopened::Damaged)?;
    let mut text = Zeroizing::new(text.to_vec());
    let cipher = cipher(key).ok_or(Unopened::Damaged)?;
    let plain = cipher.open_in_place(nonce, Aad::from(bound(head, run)), &mut text).map_err(|_| Unopened::Damaged)?;
    RunSecrets::from_json(plain).ok_or(Unopened::Damaged)
}

/// What is sealed with the secrets besides them.
fn bound(head: &[u8], run: RunId) -> Vec<u8> {
    [head, b" askd secrets of ", run.to_string().as_bytes()].concat()
}

fn cipher(key: &SecretKey) -> Option<LessSafeKey> {
    UnboundKey::new(&CHACHA20_POLY1305, key.expose()).ok().map(LessSafeKey::new)
}

/// A hash of so many random bits says nothing of them.
fn number(key: &SecretKey) -> KeyNumber {
    let mut hash = Sha256::new();
    hash.update(b"askd id of a secret key\n");
    hash.update(key.expose());
    let hash = hash.finalize();
    std::array::from_fn(|place| hash[place])
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn key(shift: u8) -> SecretKey {
        let bytes: [u8; 32] = std::array::from_fn(|place| u8::try_from(place).unwrap() * 7 + shift);
        SecretKey::read(&crate::hex::hex(&bytes).into()).unwrap()
    }

    fn run(number: u128) -> RunId {
        RunId(Uuid::from_u128(number))
    }

    fn secrets() -> RunSecrets {
        let servers = json!({"tracker": {"command": "x", "env": {"TOKEN": "sesame of the server"}}});
        RunSecrets {
            env: [("GREETING".to_owned(), "sesame of the run\nwith a second line".to_owned().into())].into(),
            mcp_servers: servers.as_object().unwrap().clone(),
        }
    }

    #[test]
    fn what_was_sealed_is_opened_by_the_same_key_for_the_same_run() {
        let sealed = seal(&key(0), run(1), &secrets()).unwrap();
        let opened = open(Some(&key(0)), run(1), &sealed).unwrap();
        assert_eq!(opened.env["GREETING"].expose_secret(), "sesame of the run\nwith a second line");
        assert_eq!(opened.mcp_servers, secrets().mcp_servers);
        assert!(!String::from_utf8_lossy(&sealed).contains("sesame"), "{sealed:?}");
        assert_ne!(sealed, seal(&key(0), run(1), &secrets()).unwrap(), "no nonce comes twice");
    }

    #[test]
    fn nobody_else_opens_it_and_the_reason_is_told() {
        let sealed = seal(&key(0), run(1), &secrets()).unwrap();
        let why = |key: Option<&SecretKey>, run, sealed: &[u8]| open(key, run, sealed).unwrap_err();
        assert_eq!(why(None, run(1), &sealed), Unopened::NoKey);
        assert_eq!(why(Some(&key(1)), run(1), &sealed), Unopened::OtherKey);
        assert_eq!(why(Some(&key(0)), run(2), &sealed), Unopened::Damaged, "it is another run's");
        for length in 0..sealed.len() {
            assert_eq!(why(Some(&key(0)), run(1), &sealed[..length]), Unopened::Damaged, "cut to {length}");
        }
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert!(open(Some(&key(0)), run(1), &changed).is_err(), "changed at {place}");
        }
    }
}
