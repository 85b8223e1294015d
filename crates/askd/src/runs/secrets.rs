//! What of a request is never returned, logged or stored in the clear.

use std::collections::BTreeMap;
use std::fmt;

use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::secret_words::credentials;
use super::server_secrets;

/// The secret parts of a request. [`super::request::RunRequest`] has their names.
#[derive(Clone, Default)]
pub struct RunSecrets {
    /// Variables for the run's programs.
    pub env: BTreeMap<String, SecretString>,
    /// MCP servers by name, in the form of `.mcp.json`: their headers and variables hold credentials.
    pub mcp_servers: Map<String, Value>,
}

impl RunSecrets {
    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        self.env.is_empty() && self.mcp_servers.is_empty()
    }

    /// The field of a request that has put something in.
    pub fn field(&self) -> &'static str {
        if self.env.is_empty() { "mcp_servers" } else { "env" }
    }

    /// What of it must not reach a client in what the CLI says: what is a credential by its name or its looks, and what in
    /// URLs is one.
    pub fn to_redact(&self) -> Vec<SecretString> {
        let env = self.env.iter().flat_map(|(name, value)| credentials(name, value.expose_secret()));
        let values = env.map(|value| SecretString::from(value.to_owned()));
        values.chain(server_secrets::of_request(&self.mcp_servers)).collect()
    }

    /// All of it, for [`super::seal`].
    pub(super) fn to_json(&self) -> Option<Zeroizing<Vec<u8>>> {
        let env = self.env.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect();
        serde_json::to_vec(&Shown { env, mcp_servers: &self.mcp_servers }).ok().map(Zeroizing::new)
    }

    /// What [`Self::to_json`] has written; `None`: it has not.
    pub(super) fn from_json(text: &[u8]) -> Option<Self> {
        let Read { env, mcp_servers } = serde_json::from_slice(text).ok()?;
        Some(Self { env: env.into_iter().map(|(name, value)| (name, value.into())).collect(), mcp_servers })
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    env: BTreeMap<&'a str, &'a str>,
    mcp_servers: &'a Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    env: BTreeMap<String, String>,
    mcp_servers: Map<String, Value>,
}

impl fmt::Debug for RunSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers: Vec<_> = self.mcp_servers.keys().collect();
        f.debug_struct("RunSecrets").field("env", &self.env.keys()).field("mcp_servers", &servers).finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secrets() -> RunSecrets {
        let servers = json!({
            "web": {"url": "https://user:url-pass-word@host/", "headers": {"X-Org": "sesame of a header"}},
            "local": {"command": "sesame-is-no-secret", "env": {"A_TOKEN": "sesame of a variable", "MODE": "a plain word"},
                      "args": ["--token", "sesame of an option", "--key=sesame of another", "serve", "path/to/it"]},
        });
        RunSecrets {
            env: [
                ("A_KEY", "sesame of the run"),
                ("MODE", "production"),
                ("DB", "pg://u:db-pass-word@db/x"),
                ("X", "a1B2c3D4e5"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned().into()))
            .into(),
            mcp_servers: servers.as_object().unwrap().clone(),
        }
    }

    #[test]
    fn credentials_are_kept_out_of_events_and_words_are_not() {
        let values: Vec<_> = secrets().to_redact().iter().map(|value| value.expose_secret().to_owned()).collect();
        let credentials = [
            "sesame of the run",
            "db-pass-word",
            "a1B2c3D4e5",
            "sesame of a header",
            "sesame of a variable",
            "sesame of an option",
            "sesame of another",
            "url-pass-word",
        ];
        for value in credentials {
            assert!(values.iter().any(|found| found == value), "{value}: {values:?}");
        }
        for value in ["sesame-is-no-secret", "production", "a plain word", "serve", "path/to/it", "--token"] {
            assert!(!values.iter().any(|found| found == value), "{value}: {values:?}");
        }
    }

    #[test]
    fn only_names_are_ever_printed() {
        let printed = format!("{:?} {:#?}", secrets(), secrets());
        assert!(printed.contains("web") && printed.contains('A'), "{printed}");
        assert!(!printed.contains("sesame") && !printed.contains("url-pass-word"), "{printed}");
    }

    #[test]
    fn they_are_read_back_as_they_were() {
        let again = RunSecrets::from_json(&secrets().to_json().unwrap()).unwrap();
        assert_eq!(again.to_json().unwrap(), secrets().to_json().unwrap());
        assert!(RunSecrets::default().is_empty() && !again.is_empty());
        assert!(RunSecrets::from_json(b"{}").is_none());
    }
}
