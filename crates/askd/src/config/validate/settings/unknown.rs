//! Keys that the CLI does not know, and therefore ignores.

use serde_json::{Map, Value};

use super::schema::{SCHEMA, did_you_mean};
use crate::config::json::{Json, MAX_PROBLEMS, Path};
use crate::config::problem::Problem;

/// Each as a warning, at most [`MAX_PROBLEMS`]: another version of the CLI may know them.
pub(super) fn keys(json: &Json<'_>) -> Vec<Problem> {
    let mut found = Vec::new();
    look(json, json.value(), &SCHEMA, &Path::default(), &mut found);
    found
}

/// The schema bounds the depth: what it does not describe is not looked into.
fn look(json: &Json<'_>, value: &Value, schema: &Value, path: &Path, found: &mut Vec<Problem>) {
    if found.len() >= MAX_PROBLEMS {
        return;
    }
    let schema = meant(schema, value);
    match value {
        Value::Object(members) => {
            let described = schema["properties"].as_object();
            let others = &schema["additionalProperties"];
            for (name, member) in members {
                let path = path.key(name);
                match described.and_then(|described| described.get(name)) {
                    Some(schema) => look(json, member, schema, &path, found),
                    // Names that may be chosen.
                    None if others.as_object().is_some_and(|others| !others.is_empty()) => {
                        look(json, member, others, &path, found);
                    }
                    None if found.len() < MAX_PROBLEMS => {
                        if let Some(described) = described.filter(|described| !described.is_empty()) {
                            let meant = did_you_mean(name, described.keys().map(String::as_str));
                            found.push(json.problem(&path, format!("is no key that the CLI knows here{meant}")));
                        }
                    }
                    None => {}
                }
            }
        }
        Value::Array(items) if schema["items"].is_object() => {
            for (index, item) in items.iter().enumerate().filter(|(_, item)| item.is_object() || item.is_array()) {
                look(json, item, &schema["items"], &path.index(index), found);
            }
        }
        _ => {}
    }
}

/// Of several forms the one whose constants the value has.
fn meant<'s>(schema: &'s Value, value: &Value) -> &'s Value {
    let Some(forms) = schema["anyOf"].as_array() else { return schema };
    let fits = |form: &&Value| match (form["properties"].as_object(), value) {
        (Some(described), Value::Object(members)) => {
            constants(described).all(|(name, word)| members.get(name) == Some(word))
        }
        (_, Value::Object(_)) => form["type"] == "object",
        (_, Value::Array(_)) => form["type"] == "array",
        _ => false,
    };
    forms.iter().find(fits).unwrap_or(&Value::Null)
}

fn constants(described: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    described.iter().filter_map(|(name, schema)| Some((name, schema.get("const")?)))
}
