//! Which of the values that a request names are credentials.
//!
//! A value that is one must be in nothing that the run tells. One that is none must not: `MODE=production` would vanish from
//! every answer that speaks of production.

/// A variable or option whose name holds one of these has a credential for a value.
const NAMES: [&str; 11] =
    ["KEY", "TOKEN", "SECRET", "PASS", "PWD", "AUTH", "CREDENTIAL", "COOKIE", "SIGNATURE", "PRIVATE", "DSN"];

/// After these words comes a credential.
const SCHEMES: [&str; 4] = ["Basic", "Bearer", "Digest", "Token"];

/// In bytes. A longer part of a value is no word.
const LONGEST_WORD: usize = 20;

/// Digits at the end of a word, as of `node20` and `2026`.
const MOST_DIGITS: usize = 8;

/// What in a value is a credential: all of it, parts of it, or parts of a URL in it.
pub(super) fn credentials<'a>(name: &str, value: &'a str) -> Vec<&'a str> {
    let mut found = of_url(value);
    if is_secret(name, value) {
        found.push(value);
    }
    // `Authorization: Bearer …`, `Server=…;Password=…`, JSON: programs print the credential in it alone, too.
    let between = |char: char| char.is_whitespace() || "\"'`,;{}".contains(char);
    let mut scheme = false;
    for part in value.split(between).filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            Some((name, value)) if says_secret(name) => found.push(value),
            _ if scheme || !is_plain(part) => found.push(part),
            _ => {}
        }
        scheme = SCHEMES.iter().any(|name| part.eq_ignore_ascii_case(name));
    }
    found
}

/// The user, the password and the values of the query of a URL; nothing if the text is none.
fn of_url(text: &str) -> Vec<&str> {
    let Some((_, rest)) = text.split_once("://") else { return Vec::new() };
    let (place, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (place, query) = place.split_once('?').unwrap_or((place, ""));
    let authority = place.split('/').next().unwrap_or_default();
    let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let values = [query, fragment].into_iter().flat_map(|query| query.split('&'));
    let values = values.filter_map(|pair| pair.split_once('=')).map(|(_, value)| value);
    [user, name, password].into_iter().chain(values).filter(|part| !part.is_empty()).collect()
}

/// Whether the name says that its value is a credential.
fn says_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    NAMES.iter().any(|word| name.contains(word)) || name.ends_with("_PAT")
}

/// Whether a value is a credential, by its name or by its looks: words, numbers, paths and addresses without a credential in
/// them are none.
fn is_secret(name: &str, value: &str) -> bool {
    says_secret(name) || !is_plain(value)
}

/// Whether the value consists of words and numbers, with what usually stands between them.
fn is_plain(value: &str) -> bool {
    let between = |char: char| char.is_whitespace() || "-_./:@+,=;()[]\"'!?#&%*~<>|$`".contains(char);
    value.split(between).all(is_word)
}

/// Letters of one kind, but for the first one, and then digits.
fn is_word(part: &str) -> bool {
    let letters = part.trim_end_matches(|char: char| char.is_ascii_digit());
    let is_of_one_kind = |mut rest: std::str::Chars<'_>, is_kind: fn(char) -> bool| rest.all(is_kind);
    let mut rest = letters.chars();
    rest.next();
    let are_letters = letters.chars().all(char::is_alphabetic)
        && (is_of_one_kind(rest.clone(), |char| !char.is_uppercase())
            || is_of_one_kind(rest, |char| !char.is_lowercase()));
    are_letters && letters.len() <= LONGEST_WORD && part.len() - letters.len() <= MOST_DIGITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_configuration_are_no_credentials() {
        for value in [
            "production",
            "eu-central-1",
            "claude-opus-5-5",
            "claude-haiku-4-5-20251001",
            "/srv/data/node20/x.sqlite3",
            "https://example.com:8443/v1/items",
            "is_error",
            "\"type\":\"",
            "Fix the parser, again (see #12)",
            "v1.2.3",
            "127.0.0.1",
            "TRUE",
            "2026-11-23 10:00:00",
            "",
            "größe",
        ] {
            assert!(!is_secret("MODE", value), "{value}");
        }
    }

    #[test]
    fn what_no_word_looks_like_is_one() {
        for value in [
            "ghp_0123456789abcdef",
            "xK9fQ2mZ",
            "sk-ant-api03-Ab3dE",
            "AKIAIOSFODNN7EXAMPLE",
            "hunter2hunter",
            "9f86d081884c7d659a2feaa0c55ad015",
            "1234567890123456",
            "https://example.com/hooks/T0AB12cd/B3",
            "abcdefghijklmnopqrstuvwxyz",
            "one\nMIIEvQIBADANBgkq\n",
        ] {
            assert!(is_secret("MODE", value), "{value}");
        }
    }

    #[test]
    fn of_a_value_with_a_credential_in_it_that_part_is_one() {
        for (name, value, part) in [
            ("AUTH_HEADER", "Bearer correcthorse", "correcthorse"),
            ("H", "Authorization: Bearer xK9fQ2mZ81aaB7", "xK9fQ2mZ81aaB7"),
            ("H", r#"{"Authorization":"Bearer xK9fQ2mZ81aaB7"}"#, "xK9fQ2mZ81aaB7"),
            ("C", "Server=db;User=sa;Password=hunterhunter", "hunterhunter"),
            ("DB", "postgres://u:database@db/x?sslkey=of-a-url", "of-a-url"),
        ] {
            assert!(credentials(name, value).contains(&part), "{value}");
        }
        assert_eq!(credentials("MODE", "server=db;mode=production"), [""; 0]);
    }

    #[test]
    fn a_name_can_say_it() {
        for name in ["GH_TOKEN", "api_key", "DB_PASSWORD", "MYSQL_PWD", "GITHUB_PAT", "--client-secret", "SENTRY_DSN"] {
            assert!(is_secret(name, "word"), "{name}");
        }
        for name in ["PATH_OF_IT", "REGION", "SPATIAL"] {
            assert!(!is_secret(name, "word"), "{name}");
        }
    }
}
