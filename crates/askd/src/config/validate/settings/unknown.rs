//! Keys that the CLI does not know, and therefore ignores. One that was probably meant to forbid something is the worst
//! mistake there is: nothing is said, and nothing forbidden.

use serde_json::{Map, Value};

use super::schema::{SCHEMA, did_you_mean};
use super::{Effect, Findings};
use crate::config::json::{Json, Path, Step};

/// How many are compared with all known keys, which takes a while. A file that people write has a few.
const MOST: usize = 1_000;

/// All of them. What is near no known key is merely odd: another version of the CLI may know it.
pub(super) fn keys(json: &Json<'_>, found: &mut Findings) {
    look(json, json.value(), &SCHEMA, &Path::default(), found);
}

/// A key that nobody knows: what becomes of what it says, and what was probably meant.
fn unknown<'k>(parent: &Path, name: &str, known: impl IntoIterator<Item = &'k str>) -> (Effect, String) {
    let top = match parent.0.first() {
        None => "",
        Some(Step::Key(key)) => key,
        Some(Step::Index(_)) => return (Effect::Odd, String::new()),
    };
    let meant = did_you_mean(name, known);
    let plain = name.to_lowercase();
    let is_like = |words: &[&str]| words.iter().any(|word| plain.starts_with(word));
    match (top, parent.0.len()) {
        ("", _) if matches!(&*plain, "allow" | "deny" | "ask") => {
            let effect = if plain == "allow" { Effect::Loses } else { Effect::Opens };
            (effect, format!("; did you mean `permissions.{plain}`?"))
        }
        ("", _) if ["`permissions`", "`sandbox`"].iter().any(|known| meant.contains(known)) => (Effect::Opens, meant),
        ("permissions", 1) if meant.is_empty() && is_like(&["den", "forbid", "disallow", "block"]) => {
            (Effect::Opens, "; did you mean `deny`?".to_owned())
        }
        _ if meant.is_empty() => (Effect::Odd, meant),
        ("permissions", 1) if ["`allow`", "`additionalDirectories`"].iter().any(|known| meant.contains(known)) => {
            (Effect::Loses, meant)
        }
        ("permissions" | "sandbox", _) => (Effect::Opens, meant),
        ("" | "hooks", _) => (Effect::Loses, meant),
        _ => (Effect::Odd, meant),
    }
}

/// The schema bounds the depth: what it does not describe is not looked into.
fn look(json: &Json<'_>, value: &Value, schema: &Value, parent: &Path, found: &mut Findings) {
    if found.is_enough() || found.unknown > MOST {
        return;
    }
    let schema = meant(schema, value);
    match value {
        Value::Object(members) => {
            let described = schema["properties"].as_object();
            let others = &schema["additionalProperties"];
            for (name, member) in members {
                let path = parent.key(name);
                match described.and_then(|described| described.get(name)) {
                    Some(schema) => look(json, member, schema, &path, found),
                    // Names that may be chosen.
                    None if others.as_object().is_some_and(|others| !others.is_empty()) => {
                        look(json, member, others, &path, found);
                    }
                    None => {
                        if let Some(described) = described.filter(|described| !described.is_empty()) {
                            found.unknown += 1;
                            if found.unknown > MOST {
                                // Nobody has looked at the rest, which may be meant to forbid something.
                                let message = format!("comes after {MOST} keys that the CLI does not know");
                                return found.add(Effect::Opens, || json.problem(&path, message));
                            }
                            let (effect, meant) = unknown(parent, name, described.keys().map(String::as_str));
                            found.add(effect, || {
                                json.problem(&path, format!("is no key that the CLI knows here{meant}"))
                            });
                        }
                    }
                }
            }
        }
        Value::Array(items) if schema["items"].is_object() => {
            for (index, item) in items.iter().enumerate().filter(|(_, item)| item.is_object() || item.is_array()) {
                look(json, item, &schema["items"], &parent.index(index), found);
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
