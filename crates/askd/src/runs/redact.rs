//! Replaces the values of known credentials in what the CLI says.

use std::fmt;

use memchr::memmem::Finder;
use secrecy::{ExposeSecret, SecretString};

/// What stands in place of a credential.
const MARK: &str = "[redacted]";

/// A shorter value would be found in ordinary text, and is no credential.
const SHORTEST: usize = 8;

/// The values to replace.
#[derive(Default, Clone)]
pub struct Redactor {
    values: Vec<Finder<'static>>,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Redactor").field("values", &self.values.len()).finish()
    }
}

impl Redactor {
    /// Credentials that are too short to tell from text are left out.
    pub fn new(values: impl IntoIterator<Item = SecretString>) -> Self {
        let mut spellings = Vec::new();
        for value in values {
            let value = value.expose_secret();
            // Of several lines, as of ANTHROPIC_CUSTOM_HEADERS, each is one secret: `name: value`.
            for line in value.lines() {
                let secret = line.split_once(": ").map_or(line, |(_, secret)| secret).trim();
                // The whole, too: it may be a text with a colon in it, whose second part is a short one.
                let line = line.trim();
                spellings.extend([secret.to_owned(), escaped(secret), line.to_owned(), escaped(line)]);
            }
        }
        spellings.retain(|spelling| spelling.len() >= SHORTEST);
        spellings.sort_unstable();
        spellings.dedup();
        // A value that contains another one goes first.
        spellings.sort_by_key(|spelling| std::cmp::Reverse(spelling.len()));
        Self { values: spellings.iter().map(|spelling| Finder::new(spelling).into_owned()).collect() }
    }

    /// Whether the line holds a credential.
    pub fn is_needed(&self, line: &str) -> bool {
        self.values.iter().any(|value| value.find(line.as_bytes()).is_some())
    }

    /// The line, changed only if it holds a credential.
    pub fn redact(&self, line: String) -> String {
        self.values.iter().fold(line, |line, value| {
            match (value.find(line.as_bytes()), str::from_utf8(value.needle())) {
                (Some(_), Ok(value)) => line.replace(value, MARK),
                _ => line,
            }
        })
    }
}

/// As it stands in a JSON string.
fn escaped(secret: &str) -> String {
    let quoted = serde_json::Value::from(secret).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_replaced_and_the_rest_is_untouched() {
        let redactor = Redactor::new(["sk-ant-secret".to_owned().into(), "short".to_owned().into()]);
        assert_eq!(redactor.redact("key=sk-ant-secret, sk-ant-secret".into()), "key=[redacted], [redacted]");
        assert_eq!(redactor.redact("a short text".into()), "a short text");
        assert!(!format!("{redactor:?}").contains("sk-ant"));
    }

    #[test]
    fn every_spelling_of_a_credential_is_known() {
        let redactor = Redactor::new([
            "pass\"word\\1".to_owned().into(),
            "x-one: first-value\nx-two: second-value".to_owned().into(),
        ]);
        assert_eq!(redactor.redact(r#"{"a":"pass\"word\\1"}"#.into()), r#"{"a":"[redacted]"}"#);
        assert_eq!(redactor.redact("first-value second-value x-one".into()), "[redacted] [redacted] x-one");
        let redactor = Redactor::new(["what to say: hush".to_owned().into()]);
        assert_eq!(redactor.redact("I was told what to say: hush".into()), "I was told [redacted]");
    }
}
