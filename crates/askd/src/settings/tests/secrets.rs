//! Secrets come from variables and files, and go nowhere.

use secrecy::ExposeSecret as _;

use super::Surroundings;
use crate::settings::{render_json, render_text};

#[test]
fn a_secret_may_come_from_a_file() {
    let at = Surroundings::new().env("API_KEY", "").file("key", "from-a-file\r\n").env("API_KEY_FILE", "key");
    assert_eq!(at.settings().auth.api_key.expose_secret(), "from-a-file");
    let at = Surroundings::new().file("token", "sesame\n").toml("claude_code_oauth_token_file = 'token'");
    let variables = at.settings().credentials.variables();
    assert_eq!(variables[0].0, "CLAUDE_CODE_OAUTH_TOKEN");
    assert_eq!(variables[0].1.expose_secret(), "sesame");
}

#[test]
fn the_database_is_secret_for_its_password() {
    let at = Surroundings::new().file("url", "postgres://user:sesame@host/askd\n").env("ASKD_DATABASE_URL_FILE", "url");
    let url = at.settings().store.database_url.unwrap();
    assert_eq!(url.expose_secret(), "postgres://user:sesame@host/askd");
    assert!(Surroundings::new().settings().store.database_url.is_none());
}

#[test]
fn a_variable_wins_over_a_file_that_the_settings_file_names() {
    let at = Surroundings::new().toml("api_key_file = 'is-not-even-read'");
    assert_eq!(at.settings().auth.api_key.expose_secret(), "a-long-enough-key");
}

#[test]
fn both_forms_in_one_place_are_an_error() {
    let problem = Surroundings::new().env("API_KEY_FILE", "key").problem();
    assert!(problem.contains("both `API_KEY` and `API_KEY_FILE` are given"), "{problem}");
    let at = Surroundings::new().env("API_KEY", "").toml("api_key = 'sesame'\napi_key_file = 'x'");
    assert!(at.problem().contains("both `api_key` and `api_key_file` are given"), "{}", at.problem());
    let at = Surroundings::new().env("AWS_SECRET_ACCESS_KEY", "x").env("AWS_SECRET_ACCESS_KEY_FILE", "y");
    assert!(at.problem().contains("both `AWS_SECRET_ACCESS_KEY` and"), "{}", at.problem());
}

#[test]
fn an_empty_or_missing_file_is_an_error_that_does_not_show_its_path() {
    let at = Surroundings::new().env("API_KEY", "").env("API_KEY_FILE", "sesame");
    let problem = at.problem();
    assert!(problem.contains("environment variable `API_KEY_FILE`: cannot read the file that it names: "), "{problem}");
    assert!(!problem.contains("sesame"), "perhaps somebody put the key here: {problem}");
    let problem = at.file("sesame", "\n").problem();
    assert!(problem.contains("the file that it names is empty"), "{problem}");
}

#[test]
fn a_file_that_never_ends_or_never_begins_is_refused_at_once_and_so_is_a_large_one() {
    for name in ["pipe", "/dev/zero", "large"] {
        let at = Surroundings::new().file("large", &"x".repeat(200 << 10));
        at.pipe("pipe");
        let problem = at.env("API_KEY", "").env("API_KEY_FILE", name).problem();
        let why = if name == "large" { "it is larger than 131072 bytes" } else { "it is not a regular file" };
        assert!(problem.contains(&format!("cannot read the file that it names: {why}")), "{problem}");
        assert!(problem.contains("no pipe"), "{problem}");

        let at = Surroundings::new().file("large", &"#".repeat(2 << 20)).env("ASKD_CONFIG", name);
        at.pipe("pipe");
        let why = if name == "large" { "it is larger than 1048576 bytes" } else { "it is not a regular file" };
        assert!(at.problem().contains(&format!("cannot be read: {why}")), "{}", at.problem());
    }
}

#[test]
fn a_secret_with_a_line_break_is_refused_without_showing_it() {
    let problem = Surroundings::new().env("ANTHROPIC_API_KEY", "sesame\nopen").problem();
    assert!(problem.contains("contains a line break") && !problem.contains("sesame"), "{problem}");
}

#[test]
fn the_key_that_seals_secrets_is_read_from_its_variable_or_its_file() {
    let written = "mDCn5sWfUOeCkWlFJOHv3YIcZBb2TBbzYBdqTfXbhyQ=";
    let by_variable = Surroundings::new().env("ASKD_SECRET_KEY", written).settings();
    let by_file =
        Surroundings::new().file("key", &format!("{written}\n")).env("ASKD_SECRET_KEY_FILE", "key").settings();
    let (one, other) = (by_variable.store.secret_key.as_ref().unwrap(), by_file.store.secret_key.as_ref().unwrap());
    assert_eq!((one.expose()[0], one.expose()), (0x98, other.expose()));
    let is_kept_out = by_variable.secrets().iter().any(|secret| secret.expose_secret() == written);
    assert!(is_kept_out, "no client is shown it");
    assert!(!format!("{by_variable:?}").contains(written));
    assert!(Surroundings::new().settings().store.secret_key.is_none());
}

#[test]
fn a_key_that_seals_nothing_is_refused_without_showing_it() {
    for (written, why) in [
        ("open sesame", "is neither hexadecimal digits nor base64"),
        ("c2VzYW1l", "has 6 bytes, and must have 32"),
        ("0000000000000000000000000000000000000000000000000000000000000000", "is not random"),
    ] {
        let problem = Surroundings::new().env("ASKD_SECRET_KEY", written).problem();
        assert!(problem.contains("environment variable `ASKD_SECRET_KEY`: ") && problem.contains(why), "{problem}");
        assert!(problem.contains("openssl rand -base64 32") && !problem.contains(written), "{problem}");
    }
}

#[test]
fn a_key_that_can_be_guessed_brings_a_warning() {
    let warnings = Surroundings::new().env("API_KEY", "secret7").load().warnings;
    assert_eq!(warnings, ["`API_KEY` has fewer than 8 characters and can be guessed"]);
    let warnings = Surroundings::new().env("API_KEY", " a-long-enough-key").load().warnings;
    assert_eq!(warnings, ["`API_KEY` begins or ends with a blank, which no client can show"]);
}

#[test]
fn the_headers_of_a_gateway_may_have_several_lines() {
    let at = Surroundings::new().env("ANTHROPIC_CUSTOM_HEADERS", "A: 1\nB: 2");
    let value = at.settings().child.get("ANTHROPIC_CUSTOM_HEADERS").unwrap().expose_secret().to_owned();
    assert_eq!(value, "A: 1\nB: 2");
}

#[test]
fn no_secret_is_ever_printed() {
    let at = Surroundings::new()
        .env("API_KEY", "sesame-1")
        .env("ANTHROPIC_AUTH_TOKEN", "sesame-2")
        .env("ANTHROPIC_CUSTOM_HEADERS", "X-Key: sesame-3")
        .env("HTTPS_PROXY", "http://user:sesame-4@proxy")
        .env("ANTHROPIC_BASE_URL", "https://user:sesame-5@gateway/v1")
        .env("GH_TOKEN", "sesame-6")
        .env("ASKD_CHILD_ENV", "GH_TOKEN")
        .env("ASKD_DATABASE_URL", "postgres://user:sesame-8@host/askd")
        .toml("anthropic_api_key = 'sesame-7'");
    let loaded = at.load();
    let printed = [
        format!("{loaded:?}"),
        format!("{:#?}", loaded.settings),
        render_text(&loaded),
        render_json(&loaded).to_string(),
    ];
    for text in printed {
        assert!(!text.contains("sesame"), "{text}");
    }
    assert!(render_text(&loaded).contains("\"https://[redacted]@gateway/v1\""));
}
