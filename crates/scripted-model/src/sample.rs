//! Makes a small value that fits a JSON schema, for requests that dictate the answer's form.

use serde_json::{Map, Value, json};

/// Schemas may refer to themselves; a sample of this depth is deep enough.
const DEPTH: u32 = 16;

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
    if let Some(target) = schema["$ref"].as_str() {
        let target = target.strip_prefix('#').and_then(|path| root.pointer(path));
        return target.map_or(Value::Null, |target| build(target, root, depth - 1));
    }
    for choice in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema[choice].get(0) {
            return build(first, root, depth - 1);
        }
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.first().and_then(Value::as_str),
        kind => kind.as_str(),
    };
    match kind {
        Some("string") => {
            let least = schema["minLength"].as_u64().unwrap_or(0).min(4096);
            let mut text = "scripted".to_owned();
            while (text.len() as u64) < least {
                text.push('x');
            }
            json!(text)
        }
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or(json!(0)),
        Some("boolean") => json!(false),
        Some("null") => Value::Null,
        Some("array") => {
            let least = schema["minItems"].as_u64().unwrap_or(0).min(64);
            (0..least).map(|_| build(&schema["items"], root, depth - 1)).collect()
        }
        _ => object(schema, root, depth),
    }
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
