//! Keys, for people.

use std::io::{self, Write};

use serde_json::Value;

use crate::keys::name::is_unseen;

/// A key, line by line.
pub(super) fn one(key: &Value, to: &mut impl Write) -> io::Result<()> {
    writeln!(to, "{}", plain(key["id"].as_str().unwrap_or("?")))?;
    for (label, value) in [
        ("name", text(&key["name"])),
        ("scopes", scopes(key)),
        ("state", state(key)),
        ("created", format!("{} by {}", text(&key["created_at"]), text(&key["created_by"]))),
        ("last used", last_used(key)),
        ("policy", text(&key["policy"])),
    ] {
        writeln!(to, "  {label:<10}{value}")?;
    }
    Ok(())
}

/// What became of the runs of a key that was revoked.
pub(super) fn ended_runs(answer: &Value, to: &mut impl Write) -> io::Result<()> {
    let [here, elsewhere] = ["runs_ended", "runs_elsewhere"].map(|field| answer[field].as_u64());
    if let Some(here) = here {
        writeln!(to, "  {:<10}{here}", "ended runs")?;
    }
    if let Some(elsewhere) = elsewhere.filter(|count| *count > 0) {
        writeln!(to, "  {:<10}{elsewhere} more, with other servers: those at work go on", "")?;
    }
    Ok(())
}

/// What the server says might be a mistake.
pub(super) fn warnings(answer: &Value, to: &mut impl Write) -> io::Result<()> {
    for warning in answer["warnings"].as_array().into_iter().flatten() {
        writeln!(to, "warning: {}", text(warning))?;
    }
    to.flush()
}

/// Keys, one a line.
pub(super) fn table(keys: &[Value], to: &mut impl Write) -> io::Result<()> {
    let mut rows = vec![["ID", "NAME", "SCOPES", "STATE", "LAST USED"].map(str::to_owned)];
    rows.extend(keys.iter().map(|key| [text(&key["id"]), text(&key["name"]), scopes(key), state(key), last_used(key)]));
    let widths: [usize; 5] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    for row in &rows {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        writeln!(to, "{}", cells.join("  ").trim_end())?;
    }
    to.flush()
}

/// What the server says shall not move the cursor.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if is_unseen(c) { '\u{fffd}' } else { c }).collect()
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => plain(text),
        other => plain(&other.to_string()),
    }
}

fn scopes(key: &Value) -> String {
    let words = key["scopes"].as_array().into_iter().flatten().map(text);
    words.collect::<Vec<_>>().join(",")
}

fn state(key: &Value) -> String {
    match (&key["revoked_at"], &key["expires_at"]) {
        (Value::Null, _) if key["readable"] == false => "not readable: of a later askd".to_owned(),
        (Value::Null, Value::Null) => "valid".to_owned(),
        (Value::Null, expired) if key["valid"] == false => format!("expired {}", text(expired)),
        (Value::Null, expires) => format!("valid until {}", text(expires)),
        (revoked, _) => format!("revoked {}", text(revoked)),
    }
}

fn last_used(key: &Value) -> String {
    match (&key["last_used_at"], &key["last_used_address"]) {
        (Value::Null, _) => "-".to_owned(),
        (at, Value::Null) => text(at),
        (at, from) => format!("{} from {}", text(at), text(from)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_state_has_the_words_of_the_api() {
        for (key, word) in [
            (json!({"valid": true}), "valid"),
            (json!({"valid": true, "expires_at": "2027"}), "valid until 2027"),
            (json!({"valid": false, "expires_at": "2025"}), "expired 2025"),
            (json!({"valid": false, "expires_at": "2025", "revoked_at": "2024"}), "revoked 2024"),
            (json!({"valid": false, "readable": false}), "not readable: of a later askd"),
        ] {
            assert_eq!(state(&key), word, "{key}");
        }
    }

    #[test]
    fn a_table_has_a_line_for_each_key_and_nothing_that_moves_the_cursor() {
        let key = json!({"id": "key_1", "name": "\u{202e}\u{1b}[2Ji", "scopes": ["ask", "runs:read"], "revoked_at": null,
            "expires_at": "2027-01-01T00:00:00Z", "last_used_at": null});
        let other = json!({"id": "key_22", "name": "x", "scopes": ["admin"], "revoked_at": "2026-01-01T00:00:00Z",
            "expires_at": null, "last_used_at": "2026-01-01T00:00:00Z", "last_used_address": "::1"});
        let mut out = Vec::new();
        table(&[key, other], &mut out).unwrap();
        let lines = "\
            ID      NAME    SCOPES         STATE                             LAST USED\n\
            key_1   \u{fffd}\u{fffd}[2Ji  ask,runs:read  valid until 2027-01-01T00:00:00Z  -\n\
            key_22  x       admin          revoked 2026-01-01T00:00:00Z      2026-01-01T00:00:00Z from ::1\n";
        assert_eq!(String::from_utf8(out).unwrap(), lines);
    }
}
