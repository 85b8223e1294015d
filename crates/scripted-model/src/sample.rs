//! Makes a small value that fits a JSON schema, for requests that dictate the answer's form.
//!
//! It heeds what schemas of tools and answers are made of. Where conditions contradict each other, or a pattern is more
//! than a plain word, the value may not fit.

use serde_json::{Map, Value, json};

/// Schemas may refer to themselves; a sample of this depth is deep enough.
const DEPTH: u32 = 16;
/// A text or an array is not made longer, whatever the schema asks for.
const MOST_CHARS: u64 = 4096;
const MOST_ITEMS: u64 = 64;

/// The smallest plain value for `schema`: required properties only.
pub(crate) fn sample(schema: &Value) -> Value {
    build(schema, schema, DEPTH)
}

fn build(schema: &Value, root: &Value, depth: u32) -> Value {
    if depth == 0 {
        return Value::Null;
    }
    if let Some(fixed) = schema.get("const") {
        return fixed.clone();
    }
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    if let Some(schema) = merged(schema, root) {
        return build(&schema, root, depth - 1);
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.first().and_then(Value::as_str),
        Value::String(kind) => Some(kind.as_str()),
        _ => implied(schema),
    };
    match kind {
        Some("string") => text(schema),
        Some("integer" | "number") => number(schema),
        Some("boolean") => json!(false),
        Some("null") => Value::Null,
        Some("array") => array(schema, root, depth),
        _ => object(schema, root, depth),
    }
}

/// The schema with what it refers to, all that must hold, and the first of what may; `None` if it holds nothing of these.
fn merged(schema: &Value, root: &Value) -> Option<Value> {
    let members = schema.as_object()?;
    let target = schema["$ref"].as_str().and_then(|path| root.pointer(path.strip_prefix('#')?));
    let all = schema["allOf"].as_array().into_iter().flatten();
    let first = ["anyOf", "oneOf"].into_iter().filter_map(|choice| schema[choice].get(0));
    // A condition that is always met, as it stands where a top-level choice may not.
    let then = schema.get("then").filter(|_| schema["if"] == json!({}) || schema["if"] == true);
    let parts: Vec<&Value> = target.into_iter().chain(all).chain(first).chain(then).collect();
    let combining = ["$ref", "allOf", "anyOf", "oneOf", "if", "then", "else"];
    if !combining.iter().any(|name| members.contains_key(*name)) {
        return None;
    }
    let mut whole = members.clone();
    for name in combining {
        whole.remove(name);
    }
    for part in parts {
        absorb(&mut whole, part);
    }
    Some(Value::Object(whole))
}

/// Adds a part's keywords. Of two of the same name the first counts, but for those that are lists of names.
fn absorb(whole: &mut Map<String, Value>, part: &Value) {
    for (name, value) in part.as_object().into_iter().flatten() {
        match (whole.get_mut(name), value) {
            (Some(Value::Array(there)), Value::Array(more)) if name == "required" || name == "allOf" => {
                there.extend(more.iter().cloned());
            }
            (Some(Value::Object(there)), Value::Object(more)) if name == "properties" => {
                for (property, schema) in more {
                    there.entry(property.clone()).or_insert_with(|| schema.clone());
                }
            }
            (Some(_), _) => {}
            (None, value) => drop(whole.insert(name.clone(), value.clone())),
        }
    }
}

/// The type that the other keywords are about.
fn implied(schema: &Value) -> Option<&'static str> {
    let has = |names: &[&str]| names.iter().any(|name| schema.get(*name).is_some());
    if has(&["minLength", "maxLength", "pattern", "format"]) {
        return Some("string");
    }
    if has(&["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"]) {
        return Some("number");
    }
    has(&["items", "minItems", "maxItems", "contains"]).then_some("array")
}

fn text(schema: &Value) -> Value {
    let of_format = match schema["format"].as_str() {
        Some("date-time") => Some("2026-01-02T03:04:05Z"),
        Some("date") => Some("2026-01-02"),
        Some("time") => Some("03:04:05Z"),
        Some("duration") => Some("P1D"),
        Some("email" | "idn-email") => Some("scripted@example.com"),
        Some("uri" | "uri-reference" | "iri" | "iri-reference") => Some("https://example.com/"),
        Some("hostname" | "idn-hostname") => Some("example.com"),
        Some("ipv4") => Some("192.0.2.1"),
        Some("ipv6") => Some("2001:db8::1"),
        Some("uuid") => Some("00000000-0000-4000-8000-000000000000"),
        _ => None,
    };
    if let Some(text) = of_format {
        return json!(text);
    }
    let least = schema["minLength"].as_u64().unwrap_or(0).min(MOST_CHARS);
    let most = schema["maxLength"].as_u64().unwrap_or(MOST_CHARS);
    let filled = "scripted".chars().chain(std::iter::repeat('x'));
    let length = least.max(8).min(most);
    json!(filled.take(usize::try_from(length).unwrap_or_default()).collect::<String>())
}

fn number(schema: &Value) -> Value {
    let bound = |name: &str| schema[name].as_f64();
    let step = bound("multipleOf").filter(|step| *step > 0.0);
    let least = bound("minimum").or_else(|| bound("exclusiveMinimum").map(|least| least + step.unwrap_or(1.0)));
    let most = bound("maximum").or_else(|| bound("exclusiveMaximum").map(|most| most - step.unwrap_or(1.0)));
    let plain = least.unwrap_or(0.0).min(most.unwrap_or(f64::MAX));
    let number = step.map_or(plain, |step| (plain / step).ceil() * step);
    // Whole ones are written without a point.
    #[expect(clippy::cast_possible_truncation, reason = "an integer within what a float holds exactly")]
    let whole = (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64);
    whole.map_or_else(|| json!(number), |whole| json!(whole))
}

fn array(schema: &Value, root: &Value, depth: u32) -> Value {
    let tuple = schema["prefixItems"].as_array().or_else(|| schema["items"].as_array());
    let least = schema["minItems"].as_u64().unwrap_or(0).min(MOST_ITEMS);
    let mut items: Vec<Value> = tuple.into_iter().flatten().map(|item| build(item, root, depth - 1)).collect();
    let rest = if schema["items"].is_object() { &schema["items"] } else { &Value::Null };
    while (items.len() as u64) < least {
        items.push(build(rest, root, depth - 1));
    }
    Value::Array(items)
}

fn object(schema: &Value, root: &Value, depth: u32) -> Value {
    let required = schema["required"].as_array().into_iter().flatten();
    let properties: Map<String, Value> = required
        .filter_map(Value::as_str)
        .map(|name| {
            let property = &schema["properties"][name];
            (name.to_owned(), build(property, root, depth - 1))
        })
        .collect();
    Value::Object(properties)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_fits_plain_schemas() {
        for (schema, value) in [
            (json!({"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}), json!({"n": 0})),
            (json!({"type": "integer", "minimum": 3}), json!(3)),
            (json!({"exclusiveMinimum": 3, "multipleOf": 5}), json!(10)),
            (json!({"type": "number", "maximum": -1}), json!(-1)),
            (json!({"type": "string", "maxLength": 3}), json!("scr")),
            (json!({"minLength": 9}), json!("scriptedx")),
            (json!({"type": "string", "format": "date"}), json!("2026-01-02")),
            (json!({"type": "array", "minItems": 2, "items": {"type": "boolean"}}), json!([false, false])),
            (json!({"items": [{"const": 1}, {"type": "null"}]}), json!([1, null])),
            (json!({"type": ["null", "string"]}), json!(null)),
        ] {
            assert_eq!(sample(&schema), value, "{schema}");
        }
    }

    #[test]
    fn what_is_combined_holds_together() {
        let schema = json!({
            "required": ["a"], "properties": {"a": {"$ref": "#/definitions/x", "minimum": 2}},
            "allOf": [{"required": ["b"], "properties": {"b": {"enum": ["e"]}}}],
            "if": {}, "then": {"anyOf": [{"required": ["c"], "properties": {"c": {"type": "null"}}}]},
            "definitions": {"x": {"type": "integer"}},
        });
        assert_eq!(sample(&schema), json!({"a": 2, "b": "e", "c": null}));
    }
}
