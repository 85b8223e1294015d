//! What in the entries of MCP servers is a credential, so that it reaches no client when a server or the CLI prints it.
//!
//! Words of the configuration that are none (`NODE_ENV=production`) must not be taken for one: they would vanish from every
//! answer.

use secrecy::SecretString;
use serde_json::{Map, Value};

use super::secret_words::{is_secret, says_secret};

/// In bytes. A shorter value may well be an ordinary word.
const SHORTEST: usize = 12;

/// Values of headers, of variables by their names, and what stands before the host and in the query of URLs.
pub fn secrets(servers: &Map<String, Value>) -> Vec<SecretString> {
    let mut found = Vec::new();
    for server in servers.values() {
        for (_, value) in texts(&server["headers"]) {
            found.push(value);
            // `Bearer …`: servers print the second word alone, too.
            found.extend(value.split_once(' ').map(|(_, secret)| secret.trim()));
        }
        for (name, value) in texts(&server["env"]) {
            if says_secret(name) {
                found.push(value);
            }
            found.extend(of_url(value));
        }
        let args = server["args"].as_array().into_iter().flatten().chain([&server["url"]]);
        found.extend(args.filter_map(Value::as_str).flat_map(of_url));
    }
    found.retain(|value| value.len() >= SHORTEST);
    found.into_iter().map(|value| SecretString::from(value.to_owned())).collect()
}

/// What is a credential in the servers of a request, which names them itself: also by its looks, in options of a command
/// line, and all values of headers.
pub fn of_request(servers: &Map<String, Value>) -> Vec<SecretString> {
    let mut found = Vec::new();
    for server in servers.values() {
        for (_, value) in texts(&server["headers"]) {
            found.push(value);
            found.extend(value.split_once(' ').map(|(_, secret)| secret.trim()));
        }
        for (name, value) in texts(&server["env"]).chain(texts(&server["oauth"])) {
            found.extend(Some(value).filter(|value| is_secret(name, value)));
        }
        found.extend(options(&server["args"]));
        // A part of its path can be one.
        let parts = server["url"].as_str().unwrap_or_default().split(['/', '?', '#']);
        found.extend(parts.filter(|part| is_secret("", part)));
    }
    let found = found.into_iter().map(|value| SecretString::from(value.to_owned()));
    found.chain(secrets(servers)).collect()
}

/// The credentials of a command line: `--token VALUE`, `--token=VALUE`, and what looks like one.
fn options(args: &Value) -> Vec<&str> {
    let mut option = "";
    let mut found = Vec::new();
    for arg in args.as_array().into_iter().flatten().filter_map(Value::as_str) {
        let is_option = arg.starts_with('-') && !arg.contains('=');
        let (name, value) = arg.split_once('=').unwrap_or((option, arg));
        if !is_option && is_secret(name, value) {
            found.push(value);
        }
        option = if is_option { arg } else { "" };
    }
    found
}

fn texts(fields: &Value) -> impl Iterator<Item = (&str, &str)> {
    let fields = fields.as_object().into_iter().flatten();
    fields.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
}

/// The parts of a URL that may be credentials; nothing if the text is none.
pub fn of_url(text: &str) -> Vec<&str> {
    let Some((_, rest)) = text.split_once("://") else { return Vec::new() };
    let (place, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (place, query) = place.split_once('?').unwrap_or((place, ""));
    let authority = place.split('/').next().unwrap_or_default();
    let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let values = [query, fragment].into_iter().flat_map(|query| query.split('&'));
    let values = values.filter_map(|pair| pair.split_once('=')).map(|(_, value)| value);
    [user, name, password].into_iter().chain(values).collect()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;
    use serde_json::json;

    use super::*;

    fn found(servers: &Value) -> Vec<String> {
        secrets(servers.as_object().unwrap()).iter().map(|secret| secret.expose_secret().to_owned()).collect()
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
        let mut found = found(&servers);
        found.sort();
        let mut expected = [
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
        expected.sort_unstable();
        // The user is named twice where there is no password.
        assert_eq!(found, expected);
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
