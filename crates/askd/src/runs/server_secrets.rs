//! What in the entries of MCP servers is a credential, so that it reaches no client when a server or the CLI prints it.
//!
//! Words of the configuration that are none (`NODE_ENV=production`) must not be taken for one: they would vanish from every
//! answer.

use secrecy::SecretString;
use serde_json::{Map, Value};

use super::secret_words::credentials;

/// In bytes. A shorter value of the operator's servers may well be an ordinary word.
const SHORTEST: usize = 12;

/// Those of the operator's servers.
pub fn of_operator(servers: &Map<String, Value>) -> Vec<SecretString> {
    secrets(servers).into_iter().filter(|value| value.len() >= SHORTEST).map(|value| value.to_owned().into()).collect()
}

/// Those of the servers of a request, which names them itself.
pub fn of_request(servers: &Map<String, Value>) -> Vec<SecretString> {
    secrets(servers).into_iter().map(|value| value.to_owned().into()).collect()
}

/// All values of headers; of variables, options and URLs what is a credential by its name or its looks.
fn secrets(servers: &Map<String, Value>) -> Vec<&str> {
    let mut found = Vec::new();
    for server in servers.values() {
        for (name, value) in texts(&server["headers"]) {
            found.push(value);
            found.extend(credentials(name, value));
        }
        for (name, value) in texts(&server["env"]).chain(texts(&server["oauth"])) {
            found.extend(credentials(name, value));
        }
        found.extend(options(&server["args"]));
        let url = server["url"].as_str().unwrap_or_default();
        found.extend(credentials("", url));
        // A part of its path can be one.
        found.extend(url.split(['/', '?', '#']).flat_map(|part| credentials("", part)));
    }
    found
}

/// The credentials of a command line: `--token VALUE`, `--token=VALUE`, and what looks like one.
fn options(args: &Value) -> Vec<&str> {
    let mut option = "";
    let mut found = Vec::new();
    for arg in args.as_array().into_iter().flatten().filter_map(Value::as_str) {
        let is_option = arg.starts_with('-') && !arg.contains('=');
        let (name, value) = arg.split_once('=').unwrap_or((option, arg));
        if !is_option {
            found.extend(credentials(name, value));
        }
        option = if is_option { arg } else { "" };
    }
    found
}

fn texts(fields: &Value) -> impl Iterator<Item = (&str, &str)> {
    let fields = fields.as_object().into_iter().flatten();
    fields.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;
    use serde_json::json;

    use super::*;

    fn found(servers: &Value) -> Vec<String> {
        of_operator(servers.as_object().unwrap()).iter().map(|secret| secret.expose_secret().to_owned()).collect()
    }

    #[test]
    fn headers_named_variables_and_parts_of_urls_are_credentials() {
        let servers = json!({
            "web": {
                "url": "https://someone:pass-word-1234@example.com/mcp?key=query-value-1&short=abc#token=fragment-value",
                "headers": {"Authorization": "Bearer header-value-1", "X-Org": "short"},
            },
            "local": {
                "args": ["--flag", "https://token-of-args@example.com"],
                "env": {"github_token": "variable-value-1", "API_KEY": "short", "DATABASE": "postgres://u:database-pass@db/x"},
            },
        });
        let found = found(&servers);
        let expected = [
            "Bearer header-value-1",
            "header-value-1",
            "someone:pass-word-1234",
            "pass-word-1234",
            "query-value-1",
            "fragment-value",
            "token-of-args",
            "token-of-args",
            "variable-value-1",
            "u:database-pass",
            "database-pass",
        ];
        for value in expected {
            assert!(found.iter().any(|found| found == value), "{value}: {found:?}");
        }
        for word in ["short", "example.com", "--flag", "someone", "local"] {
            assert!(!found.iter().any(|found| found == word), "{word}: {found:?}");
        }
    }

    #[test]
    fn words_of_the_configuration_are_not() {
        let servers = json!({"s": {
            "command": "a-long-program-name",
            "args": ["a-long-argument", "https://example.com/a-long-path/of-it"],
            "env": {"NODE_ENV": "production-like", "MODE": "assistant-of-all", "TOKEN": "assistant", "HOME": "/home/somebody"},
            "headers": {"X-Kind": "assistant"},
        }});
        assert_eq!(found(&servers), [""; 0]);
        assert_eq!(found(&json!({"s": "no object", "t": {"env": [], "headers": 3}})), [""; 0]);
    }
}
