//! `askd settings` and the reference page.

use super::Surroundings;
use crate::settings::{child_env, reference_markdown, render_json, render_text, table};

#[test]
fn the_listing_has_a_line_for_each_setting_with_its_origin() {
    let at = Surroundings::new().env("MAX_CONCURRENT", "8").env("TZ", "UTC").toml("queue_timeout = 90000\n");
    let text = render_text(&at.load());
    let line = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap_or_default();
    assert_eq!(line("max_concurrent "), "max_concurrent       = 8       # environment variable `MAX_CONCURRENT`");
    assert_eq!(line("queue_timeout "), "queue_timeout        = \"90s\"   # `askd.toml` line 1 key `queue_timeout`");
    assert_eq!(line("queue_length "), "queue_length         = 100     # default");
    assert!(line("# api_key ").contains("= [redacted]"), "{text}");
    assert!(line("# default_model ").contains("= (not set)"), "{text}");
    assert!(line("# TZ ").contains("\"UTC\""), "{text}");
    for setting in table::all() {
        assert!(text.lines().any(|line| line.trim_start_matches("# ").starts_with(setting.key)), "{}", setting.key);
    }
}

#[test]
fn the_listing_is_a_settings_file_that_gives_the_same_settings() {
    let at =
        Surroundings::new().env("ASKD_MODELS", "a,b").env("WORKSPACE_DIR", "with \"quotes\"").flag("allow_root", "1");
    let text = render_text(&at.load());
    let mut again = Surroundings::new().toml(&text).settings();
    // The one difference: the settings file itself, which may hold a secret.
    assert_eq!(again.paths.private_files.len(), 1);
    again.paths.private_files.clear();
    assert_eq!(format!("{again:?}"), format!("{:?}", at.settings()), "{text}");
}

#[test]
fn the_listing_for_programs_has_types_and_origins() {
    let at = Surroundings::new().env("MAX_CONCURRENT", "8").toml("models = ['a']\n");
    let json = render_json(&at.load());
    let entry = &json["settings"]["max_concurrent"];
    assert_eq!(entry["value"], 8);
    assert_eq!(entry["origin"]["kind"], "environment");
    assert_eq!(entry["flag"], "--max-concurrent");
    assert_eq!(json["settings"]["models"]["value"][0], "a");
    assert_eq!(json["settings"]["models"]["origin"]["line"], 1);
    assert_eq!(json["settings"]["default_model"]["value"], serde_json::Value::Null);
    assert_eq!(json["settings"]["api_key"]["value"], "[redacted]");
    assert_eq!(json["settings"]["api_key"]["flag"], serde_json::Value::Null);
}

#[test]
fn the_reference_names_everything_once() {
    let page = reference_markdown();
    for setting in table::all() {
        assert_eq!(page.matches(&format!("\n- `{}`: ", setting.env)).count(), 1, "{}", setting.env);
    }
    for passed in child_env::PASSED {
        assert!(page.contains(&format!("| `{}` | ", passed.name)), "{}", passed.name);
    }
    assert!(page.ends_with("|\n"));
}

#[test]
fn names_are_unique_and_every_default_is_valid() {
    let mut names: Vec<&str> = table::all().flat_map(|setting| [setting.key, setting.env]).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    Surroundings::new().load();
}

#[test]
fn documentation_is_a_sentence() {
    for setting in table::all() {
        assert!(setting.doc.ends_with('.') && setting.doc.len() > 15, "{}: {}", setting.key, setting.doc);
    }
}
