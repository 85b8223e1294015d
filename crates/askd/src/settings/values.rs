//! The checked values by key, on their way into [`Settings`](super::Settings).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::value::Value;
use crate::usd::Usd;

/// Checked values by key; a setting that is not set is absent.
#[derive(Clone, Debug, Default)]
pub(super) struct Values(BTreeMap<&'static str, Value>);

/// Getters for values whose type the table has fixed and whose presence has been checked. Every load
/// calls every one of them, so a key that does not fit its type fails the first test there is.
macro_rules! getters {
    ($($getter:ident: $variant:ident -> $type:ty;)+) => {
        $(pub(super) fn $getter(&self, key: &str) -> $type {
            match self.0.get(key) {
                Some(Value::$variant(value)) => value.clone(),
                _ => unreachable!("`{key}` is declared as {} with a default", stringify!($variant)),
            }
        })+
    };
}

impl Values {
    pub(super) fn insert(&mut self, key: &'static str, value: Value) {
        self.0.insert(key, value);
    }

    /// What a setting has, if it has something.
    pub(super) fn put(&mut self, key: &'static str, value: Option<Value>) {
        if let Some(value) = value {
            self.insert(key, value);
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    getters! {
        bool: Bool -> bool;
        integer: Integer -> u64;
        duration: Duration -> Duration;
        size: Size -> u64;
        usd: Usd -> Usd;
        ratio: Ratio -> f64;
        address: Address -> SocketAddr;
        path: Path -> PathBuf;
        text: Text -> String;
        list: List -> Vec<String>;
        secret: Secret -> SecretString;
    }

    /// One of the words of a choice.
    pub(super) fn word<T>(&self, key: &str, from_word: fn(&str) -> Option<T>) -> T {
        let text = self.text(key);
        from_word(&text).unwrap_or_else(|| unreachable!("the words of `{key}` are declared"))
    }

    pub(super) fn count(&self, key: &str) -> usize {
        usize::try_from(self.integer(key)).unwrap_or(usize::MAX)
    }

    /// Requests a minute; `None`: no limit.
    pub(super) fn rate(&self, key: &str) -> Option<NonZeroU32> {
        NonZeroU32::new(u32::try_from(self.integer(key)).unwrap_or(u32::MAX))
    }

    pub(super) fn bytes(&self, key: &str) -> usize {
        usize::try_from(self.size(key)).unwrap_or(usize::MAX)
    }

    pub(super) fn optional_text(&self, key: &str) -> Option<String> {
        self.get(key).map(|_| self.text(key))
    }

    pub(super) fn optional_integer(&self, key: &str) -> Option<u64> {
        self.get(key).map(|_| self.integer(key))
    }

    pub(super) fn optional_secret(&self, key: &str) -> Option<SecretString> {
        self.get(key).map(|_| self.secret(key))
    }
}
