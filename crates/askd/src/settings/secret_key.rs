//! The key with which secrets of runs that wait are sealed: 32 bytes, written as hexadecimal digits or in base64.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::{alphabet, engine::DecodePaddingMode};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretBox, SecretString};

/// The length of a key, in bytes.
pub const LENGTH: usize = 32;

/// A key of random bytes has more different ones than this, in all but one of 10^15 cases; one that somebody has typed or
/// that was filled up has fewer.
const LEAST_DIFFERENT: usize = 16;

/// With padding or without.
const fn engine(alphabet: &alphabet::Alphabet) -> GeneralPurpose {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(alphabet, config)
}

const STANDARD: GeneralPurpose = engine(&alphabet::STANDARD);
const URL_SAFE: GeneralPurpose = engine(&alphabet::URL_SAFE);

/// A key that was read. Never printed.
pub struct SecretKey {
    bytes: SecretBox<[u8; LENGTH]>,
    /// As it was written, so that it can be kept out of events.
    written: SecretString,
}

/// Why a text is no key: a fragment that follows it. It shows nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoKey {
    /// Neither hexadecimal digits nor base64.
    #[error("is neither hexadecimal digits nor base64")]
    Form,
    /// Of so many bytes.
    #[error("has {0} bytes, and must have {LENGTH}")]
    Length(usize),
    /// Too few different bytes.
    #[error("is not random")]
    NotRandom,
}

impl SecretKey {
    /// Reads 64 hexadecimal digits, or base64 in either alphabet, with padding or without.
    pub fn read(written: &SecretString) -> Result<Self, NoKey> {
        let text = written.expose_secret().trim();
        // All of them hexadecimal digits: base64 of random bytes does not look like that.
        let is_hex = text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let bytes = if is_hex {
            let digits = (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16));
            digits.collect::<Result<_, _>>().ok()
        } else {
            STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok()
        };
        let bytes: Zeroizing<Vec<u8>> = Zeroizing::new(bytes.ok_or(NoKey::Form)?);
        if bytes.len() != LENGTH {
            return Err(NoKey::Length(bytes.len()));
        }
        let mut different: Zeroizing<Vec<u8>> = bytes.clone();
        different.sort_unstable();
        different.dedup();
        if different.len() < LEAST_DIFFERENT {
            return Err(NoKey::NotRandom);
        }
        let key = SecretBox::init_with_mut(|key: &mut [u8; LENGTH]| key.copy_from_slice(&bytes));
        Ok(Self { bytes: key, written: written.clone() })
    }

    /// Its bytes.
    pub fn expose(&self) -> &[u8; LENGTH] {
        self.bytes.expose_secret()
    }

    /// As it was written.
    pub fn written(&self) -> &SecretString {
        &self.written
    }
}

impl Clone for SecretKey {
    fn clone(&self) -> Self {
        let key = SecretBox::init_with_mut(|key: &mut [u8; LENGTH]| key.copy_from_slice(self.expose()));
        Self { bytes: key, written: self.written.clone() }
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<[u8; LENGTH], NoKey> {
        SecretKey::read(&text.to_owned().into()).map(|key| *key.expose())
    }

    fn random() -> [u8; LENGTH] {
        std::array::from_fn(|place| u8::try_from(place * 7 % 256).unwrap() ^ 0xf9)
    }

    #[test]
    fn a_key_is_read_from_hexadecimal_digits_and_from_every_form_of_base64() {
        let hex = crate::hex::hex(&random());
        let standard = STANDARD.encode(random());
        assert!(standard.contains('+') || standard.contains('/'), "{standard}");
        for text in [
            hex.clone(),
            hex.to_uppercase(),
            format!("{standard}\n"),
            standard.trim_end_matches('=').to_owned(),
            URL_SAFE.encode(random()),
        ] {
            assert_eq!(read(&text), Ok(random()), "{text}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused_with_the_reason() {
        for (text, why) in [
            ("correct horse battery staple", NoKey::Form),
            ("", NoKey::Length(0)),
            ("c2hvcnQ=", NoKey::Length(5)),
            (&"a7".repeat(16), NoKey::Length(16)),
            (&"a7".repeat(33), NoKey::Length(33)),
            (&STANDARD.encode([7; 31]), NoKey::Length(31)),
            (&"0".repeat(64), NoKey::NotRandom),
            (&"deadbeef".repeat(8), NoKey::NotRandom),
            (&STANDARD.encode("the password the password the pa"), NoKey::NotRandom),
        ] {
            assert_eq!(read(text), Err(why), "{text}");
        }
    }

    #[test]
    fn a_key_is_never_printed() {
        let text = STANDARD.encode(random());
        let key = SecretKey::read(&text.clone().into()).unwrap();
        assert_eq!(format!("{key:?} {:?}", key.clone()), "SecretKey SecretKey");
        assert_eq!(key.written().expose_secret(), text);
    }
}
