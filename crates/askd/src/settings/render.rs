//! What `askd settings` prints: the effective settings with their origins, secrets redacted.

use std::fmt::Write as _;

use secrecy::ExposeSecret as _;
use serde_json::json;

use super::declaration::Setting;
use super::load::Passed;
use super::problem::Origin;
use super::table::SECTIONS;
use super::units::{show_duration, show_size};
use super::value::Value;
use super::{Loaded, table};

const REDACTED: &str = "[redacted]";

/// One long list must not push every origin out of sight.
const WIDEST: usize = 40;

/// For people, and a settings file at the same time: what cannot stand in one is a comment.
pub fn render_text(loaded: &Loaded) -> String {
    let mut text = String::new();
    for section in SECTIONS {
        let lines = section.settings.iter().map(|setting| setting_line(setting, loaded));
        write_block(&mut text, section.title, &lines.collect::<Vec<_>>());
    }
    let lines = loaded.environment.iter().map(|passed| {
        let value = toml::Value::from(passed_value(passed)).to_string();
        [format!("# {}", passed.name), value, passed.origin.to_string()]
    });
    write_block(&mut text, "Passed to the CLI", &lines.collect::<Vec<_>>());
    for warning in &loaded.warnings {
        let _ = writeln!(text, "# warning: {warning}");
    }
    text
}

/// For programs.
pub fn render_json(loaded: &Loaded) -> serde_json::Value {
    let settings = table::all().map(|setting| {
        let value = loaded.values.get(setting.key).map(json_value);
        let entry = json!({
            "value": value,
            "origin": json_origin(loaded.origin(setting.key)),
            "secret": setting.is_secret(),
            "env": setting.env,
            "flag": setting.flag().map(|flag| format!("--{flag}")),
        });
        (setting.key.to_owned(), entry)
    });
    let environment = loaded.environment.iter().map(|passed| {
        let entry = json!({
            "value": passed_value(passed),
            "origin": json_origin(&passed.origin),
            "secret": !passed.shown,
        });
        (passed.name.clone(), entry)
    });
    json!({
        "settings": settings.collect::<serde_json::Map<_, _>>(),
        "environment": environment.collect::<serde_json::Map<_, _>>(),
        "warnings": loaded.warnings,
    })
}

/// Key, value, origin.
fn setting_line(setting: &Setting, loaded: &Loaded) -> [String; 3] {
    let origin = loaded.origin(setting.key).to_string();
    let value = match loaded.values.get(setting.key) {
        None => return [format!("# {}", setting.key), "(not set)".to_owned(), origin],
        Some(Value::Secret(_)) => return [format!("# {}", setting.key), REDACTED.to_owned(), origin],
        Some(Value::List(items)) => toml::Value::from(items.clone()),
        Some(Value::Bool(flag)) => toml::Value::from(*flag),
        Some(Value::Integer(number)) => {
            i64::try_from(*number).map_or_else(|_| toml::Value::from(number.to_string()), toml::Value::from)
        }
        Some(other) => toml::Value::from(plain(other)),
    };
    [setting.key.to_owned(), value.to_string(), origin]
}

fn write_block(text: &mut String, title: &str, lines: &[[String; 3]]) {
    if lines.is_empty() {
        return;
    }
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let (keys, values) = (width(0), width(1).min(WIDEST));
    let _ = writeln!(text, "# {title}");
    for [key, value, origin] in lines {
        let _ = writeln!(text, "{key:keys$} = {value:values$}   # {origin}");
    }
    text.push('\n');
}

fn json_value(value: &Value) -> serde_json::Value {
    match value {
        Value::Bool(flag) => json!(flag),
        Value::Integer(number) => json!(number),
        Value::List(items) => json!(items),
        other => json!(plain(other)),
    }
}

/// A value as it would be written in the environment.
fn plain(value: &Value) -> String {
    match value {
        Value::Bool(flag) => flag.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Duration(duration) => show_duration(*duration),
        Value::Size(bytes) => show_size(*bytes),
        Value::Usd(amount) => amount.to_string(),
        Value::Ratio(share) => share.to_string(),
        Value::Address(address) => address.to_string(),
        Value::Path(path) => path.display().to_string(),
        Value::Text(text) => text.clone(),
        Value::List(items) => items.join(","),
        Value::Secret(_) => REDACTED.to_owned(),
    }
}

/// A URL can hold a password (`https://user:password@host`), so what stands before an `@` goes.
fn passed_value(passed: &Passed) -> String {
    if !passed.shown {
        return REDACTED.to_owned();
    }
    let value = passed.value.expose_secret();
    match (value.split_once("://"), value.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{REDACTED}@{host}"),
        _ => value.to_owned(),
    }
}

fn json_origin(origin: &Origin) -> serde_json::Value {
    match origin {
        Origin::Default => json!({"kind": "default"}),
        Origin::Flag(name) => json!({"kind": "flag", "name": format!("--{name}")}),
        Origin::Environment(name) => json!({"kind": "environment", "name": name}),
        Origin::File { file, line, key } => json!({"kind": "file", "file": file, "line": line, "key": key}),
    }
}
