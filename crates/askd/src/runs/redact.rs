//! Replaces the values of known credentials in what the CLI says.

use secrecy::{ExposeSecret, SecretString};

/// What stands in place of a credential.
const MARK: &str = "[redacted]";

/// A shorter value would be found in ordinary text, and is no credential.
const SHORTEST: usize = 8;

/// The values to replace.
#[derive(Debug, Default, Clone)]
pub struct Redactor {
    values: Vec<SecretString>,
}

impl Redactor {
    /// Credentials that are too short to tell from text are left out.
    pub fn new(values: impl IntoIterator<Item = SecretString>) -> Self {
        Self { values: values.into_iter().filter(|value| value.expose_secret().len() >= SHORTEST).collect() }
    }

    /// The line, changed only if it holds a credential.
    pub fn redact(&self, line: String) -> String {
        self.values.iter().fold(line, |line, value| {
            let value = value.expose_secret();
            if line.contains(value) { line.replace(value, MARK) } else { line }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_replaced_and_the_rest_is_untouched() {
        let redactor = Redactor::new(["sk-ant-secret".to_owned().into(), "short".to_owned().into()]);
        assert_eq!(redactor.redact("key=sk-ant-secret, sk-ant-secret".into()), "key=[redacted], [redacted]");
        assert_eq!(redactor.redact("a short text".into()), "a short text");
        assert_eq!(format!("{redactor:?}").contains("sk-ant"), false);
    }
}
