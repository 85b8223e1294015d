//! Schemas as the derives make them, tidied up: one object where a type is put together of several.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// All schemas by name, as `paths` refer to them.
pub(super) fn tidy(made: Value, paths: &Value) -> Value {
    let Value::Object(all) = made else { return Value::Null };
    let asked = asked(paths, &all);
    let mut tidied = Map::new();
    for (name, schema) in &all {
        // It is part of the run that it comes with.
        if name == "Answer" {
            continue;
        }
        let mut schema = flat(schema.clone(), &all);
        if asked.contains(name) {
            without_null(&mut schema);
            closed(&mut schema);
        }
        // Generic types have what they are about within them.
        let page = name.strip_prefix(PAGE);
        if let Some(item) = page {
            schema["properties"]["data"]["items"] = json!({"$ref": format!("{SCHEMAS}{item}")});
        }
        plain(&mut schema);
        tidied.insert(page.map_or_else(|| name.clone(), |item| format!("{item}Page")), schema);
    }
    Value::Object(tidied)
}

/// What bodies of requests consist of: there a field is left out and not `null`, but for those that say otherwise.
fn asked(paths: &Value, all: &Map<String, Value>) -> BTreeSet<String> {
    let operations =
        paths.as_object().into_iter().flatten().flat_map(|(_, item)| item.as_object().into_iter().flatten());
    let mut open: Vec<_> = operations.filter_map(|(_, operation)| operation.get("requestBody")).collect();
    let mut asked = BTreeSet::new();
    while let Some(value) = open.pop() {
        let members = value.as_object().into_iter().flatten().map(|(_, member)| member);
        open.extend(members.chain(value.as_array().into_iter().flatten()));
        let target = value.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix(SCHEMAS));
        if let Some(name) = target
            && asked.insert(name.to_owned())
        {
            open.extend(all.get(name));
        }
    }
    asked
}

/// Names pages as [`tidy`] does, wherever something refers to them.
pub(super) fn name_pages(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(target)) = members.get_mut("$ref")
                && let Some(item) = target.strip_prefix(SCHEMAS).and_then(|name| name.strip_prefix(PAGE))
            {
                *target = format!("{SCHEMAS}{item}Page");
            }
            members.values_mut().for_each(name_pages);
        }
        Value::Array(items) => items.iter_mut().for_each(name_pages),
        _ => {}
    }
}

/// What the derive puts before the name of the item of a page.
const PAGE: &str = "Page_";
const SCHEMAS: &str = "#/components/schemas/";

/// What a request does not have is refused, also in the variants of an enum.
fn closed(schema: &mut Value) {
    let choices = schema.get_mut("oneOf").and_then(Value::as_array_mut).into_iter().flatten();
    for choice in choices.filter(|choice| choice.get("properties").is_some()) {
        choice["additionalProperties"] = json!(false);
    }
    if schema.get("properties").is_some() {
        schema["additionalProperties"] = json!(false);
    }
}

/// One object of the parts that it is put together of. What comes by a part that may be missing is not required.
fn flat(mut schema: Value, all: &Map<String, Value>) -> Value {
    let Some(Value::Array(parts)) = schema.as_object_mut().and_then(|schema| schema.remove("allOf")) else {
        return schema;
    };
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for part in parts {
        let (part, always) = match part.get("oneOf").and_then(Value::as_array) {
            Some(choices) => (choices.iter().find(|choice| choice.get("$ref").is_some()).cloned(), false),
            None => (Some(part), true),
        };
        let part = part.map(|part| flat(resolved(part, all), all)).unwrap_or_default();
        properties.extend(part["properties"].as_object().cloned().unwrap_or_default());
        if always {
            required.extend(part["required"].as_array().cloned().unwrap_or_default());
        }
    }
    schema["type"] = json!("object");
    schema["properties"] = Value::Object(properties);
    schema["required"] = Value::Array(required);
    schema
}

fn resolved(schema: Value, all: &Map<String, Value>) -> Value {
    let name = schema["$ref"].as_str().and_then(|name| name.strip_prefix(SCHEMAS));
    match name {
        Some(name) => all.get(name).cloned().unwrap_or_default(),
        None => schema,
    }
}

/// A field of a request may be left out, and not be `null`.
pub(super) fn without_null(schema: &mut Value) {
    match schema {
        Value::Object(schema) => {
            if let Some(Value::Array(types)) = schema.get_mut("type") {
                types.retain(|kind| kind != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    schema.insert("type".into(), only);
                }
            }
            if let Some(Value::Array(choices)) = schema.get_mut("oneOf") {
                choices.retain(|choice| choice["type"] != "null");
                if let [only] = choices.as_slice() {
                    let only = only.clone();
                    schema.remove("oneOf");
                    schema.extend(only.as_object().cloned().unwrap_or_default());
                }
            }
            schema.values_mut().for_each(without_null);
        }
        Value::Array(items) => items.iter_mut().for_each(without_null),
        _ => {}
    }
}

/// Leaves out what only says of Rust's types what nobody who writes JSON needs to know.
fn plain(schema: &mut Value) {
    match schema {
        Value::Object(schema) => {
            if matches!(schema.get("format").and_then(Value::as_str), Some("int32" | "int64" | "double")) {
                schema.remove("format");
            }
            schema.remove("propertyNames");
            schema.values_mut().for_each(plain);
        }
        Value::Array(items) => items.iter_mut().for_each(plain),
        _ => {}
    }
}
