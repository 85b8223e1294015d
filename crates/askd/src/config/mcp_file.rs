//! Single entries of the file of MCP servers. What an edit is not about keeps its place and its spelling.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::document::Etag;
use super::error::ConfigError;

/// The field of the file that holds the entries.
const ENTRIES: &str = "mcpServers";

/// Stands for an entry: for the value and not for the bytes, so that blanks and the order of fields do not matter.
pub fn entry_etag(entry: &Value) -> Etag {
    Etag::of_bytes(entry.to_string().as_bytes())
}

/// An entry of the file; `None` when there is none.
pub fn entry(text: &str, name: &str) -> Result<Option<Value>, ConfigError> {
    File::parse(text)?.entry(name)
}

/// The file with an entry replaced in its place, or added at the end.
pub(super) fn with(text: &str, name: &str, entry: &Value) -> Result<String, ConfigError> {
    let mut file = File::parse(text)?;
    // A value always serialises. The other lines of the entry stand below its name.
    let pretty = serde_json::to_string_pretty(entry).unwrap_or_default().replace('\n', "\n    ");
    let raw = RawValue::from_string(pretty).map_err(|_| unusable("cannot hold this entry"))?;
    match file.entries.0.iter_mut().find(|(key, _)| key == name) {
        Some((_, old)) => *old = raw,
        None => file.entries.0.push((name.to_owned(), raw)),
    }
    Ok(file.text())
}

/// The file without an entry.
pub(super) fn without(text: &str, name: &str) -> Result<String, ConfigError> {
    let mut file = File::parse(text)?;
    file.entries.0.retain(|(key, _)| key != name);
    Ok(file.text())
}

/// The file's fields and entries as they are written, in their order.
struct File {
    fields: Fields,
    entries: Fields,
}

impl File {
    /// An empty text is a file without entries.
    fn parse(text: &str) -> Result<Self, ConfigError> {
        let text = text.trim_start_matches('\u{feff}');
        let text = if text.trim().is_empty() { "{}" } else { text };
        let fields: Fields = serde_json::from_str(text).map_err(|_| unusable("is not a JSON object"))?;
        let entries = match fields.0.iter().find(|(key, _)| key == ENTRIES) {
            None => Fields::default(),
            Some((_, raw)) => {
                serde_json::from_str(raw.get()).map_err(|_| unusable(&format!("has no object {ENTRIES}")))?
            }
        };
        Ok(Self { fields, entries })
    }

    fn entry(&self, name: &str) -> Result<Option<Value>, ConfigError> {
        let found = self.entries.0.iter().find(|(key, _)| key == name);
        let read = |raw: &RawValue| serde_json::from_str(raw.get()).map_err(|_| unusable("is not a JSON object"));
        found.map(|(_, raw)| read(raw)).transpose()
    }

    fn text(&self) -> String {
        let entries = self.entries.text("    ", "  ");
        let mut fields: Vec<_> = self.fields.0.iter().map(|(key, raw)| (key.as_str(), raw.get())).collect();
        match fields.iter_mut().find(|(key, _)| *key == ENTRIES) {
            Some((_, raw)) => *raw = &entries,
            None => fields.push((ENTRIES, &entries)),
        }
        object(&fields, "  ", "") + "\n"
    }
}

/// An object's fields, in their order, each value as it is written.
#[derive(Default)]
struct Fields(Vec<(String, Box<RawValue>)>);

impl Fields {
    fn text(&self, indent: &str, end: &str) -> String {
        let fields: Vec<_> = self.0.iter().map(|(key, raw)| (key.as_str(), raw.get())).collect();
        object(&fields, indent, end)
    }
}

/// One field a line.
fn object(fields: &[(&str, &str)], indent: &str, end: &str) -> String {
    if fields.is_empty() {
        return "{}".to_owned();
    }
    let lines: Vec<_> = fields.iter().map(|(key, raw)| format!("{indent}{}: {raw}", Value::from(*key))).collect();
    format!("{{\n{}\n{end}}}", lines.join(",\n"))
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// The file is not what entries can be put into.
fn unusable(what: &str) -> ConfigError {
    ConfigError::Conflict(format!("the file of the MCP servers {what}; hint: put the whole: /v1/config/mcp-servers"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FILE: &str = r#"{
  "$schema": "x",
  "mcpServers": {
    "zeta": {"command": "z",   "args": []},
    "alpha": {
      "type": "http", "url": "https://a"
    }
  },
  "after": 1.0
}
"#;

    #[test]
    fn what_an_edit_is_not_about_keeps_its_place_and_its_spelling() {
        let added = with(FILE, "mid", &json!({"command": "m"})).unwrap();
        let expected = FILE.replace("    }\n  },", "    },\n    \"mid\": {\n      \"command\": \"m\"\n    }\n  },");
        assert_eq!(added, expected);
        assert_eq!(without(&added, "mid").unwrap(), FILE);
        let replaced = with(FILE, "zeta", &json!({})).unwrap();
        assert_eq!(replaced, FILE.replace(r#"{"command": "z",   "args": []}"#, "{}"));
    }

    #[test]
    fn a_file_is_begun_and_emptied() {
        let one = with("", "a", &json!({"command": "c"})).unwrap();
        assert_eq!(one, "{\n  \"mcpServers\": {\n    \"a\": {\n      \"command\": \"c\"\n    }\n  }\n}\n");
        assert_eq!(entry(&one, "a").unwrap(), Some(json!({"command": "c"})));
        assert_eq!(without(&one, "a").unwrap(), "{\n  \"mcpServers\": {}\n}\n");
        assert_eq!(entry(&one, "b").unwrap(), None);
    }

    #[test]
    fn what_is_no_file_of_entries_is_told_and_not_overwritten() {
        for text in ["[]", "{", r#"{"mcpServers": 5}"#] {
            let error = with(text, "a", &json!({})).unwrap_err();
            assert!(matches!(error, ConfigError::Conflict(_)), "{text}: {error}");
        }
    }

    #[test]
    fn an_entry_is_the_same_whatever_the_order_of_its_fields() {
        let read = |text: &str| entry_etag(&serde_json::from_str(text).unwrap());
        assert_eq!(read(r#"{"a": 1, "b": 2}"#), read(r#"{"b":2,"a":1}"#));
    }
}
