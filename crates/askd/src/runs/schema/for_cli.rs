//! The schema as the CLI can use it.
//!
//! The CLI compiles a schema with a strict validator of draft 7. One keyword that it does not know, one `$schema` of
//! another draft, one regular expression of another dialect, and it silently does without the schema: the model is then
//! not offered the tool `StructuredOutput` at all (checked). And the provider takes no tool whose schema has `anyOf`,
//! `oneOf` or `allOf` at its top.
//!
//! So the CLI gets a copy in draft 7. What draft 7 can say in other words is said in them, what it cannot say is left
//! out. The copy lets through all that fits the original, and perhaps more: the answer is checked against the original.

use std::collections::BTreeMap;

use jsonschema::Draft;
use serde_json::{Map, Value, json};

use super::checker;

mod drafts;
mod pattern;
#[cfg(test)]
mod properties;
mod references;
#[cfg(test)]
mod tests;
mod unfolded;

use pattern::is_common;
use references::{References, find};

/// Keywords of draft 7 whose values need no change.
const PLAIN: [&str; 22] = [
    "type",
    "const",
    "required",
    "maximum",
    "minimum",
    "multipleOf",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "maxItems",
    "minItems",
    "uniqueItems",
    "maxProperties",
    "minProperties",
    "title",
    "description",
    "default",
    "examples",
    "$comment",
    "readOnly",
    "writeOnly",
];
/// Keywords that our validator looks at and the CLI's takes for remarks.
const REMARKS: [&str; 3] = ["format", "contentEncoding", "contentMediaType"];
/// Keywords that change nothing in what fits.
const WITHOUT_EFFECT: [&str; 11] = [
    "$schema",
    "$id",
    "id",
    "$anchor",
    "$dynamicAnchor",
    "$recursiveAnchor",
    "$vocabulary",
    "deprecated",
    "contentSchema",
    "example",
    "nullable",
];
/// What the provider does not take at the top.
const NOT_AT_TOP: [&str; 3] = ["allOf", "anyOf", "oneOf"];

/// The CLI unfolds the copy, and with it whatever is referred to twice: forty levels of two references each took 4 GiB in ten
/// seconds (checked). Of what nobody means ill with, little is larger than a few thousand.
const MAX_UNFOLDED: u64 = 300_000;

/// The copy for the CLI of a schema that compiles.
pub(super) fn for_cli(schema: &Value) -> Value {
    let references = References::of(schema);
    let draft = Draft::default().detect(schema);
    let copied = |by_reference| {
        let mut copy = Copy { references: &references, exact: true, by_reference };
        let mut made = copy.schema(schema, draft, &[]);
        let all_lead_somewhere = !drop_dangling(&mut made);
        (made, copy.exact && all_lead_somewhere)
    };
    let (made, exact) = copied(true);
    // What a reference leads to may be wider than it was.
    at_top(if exact { made } else { copied(false).0 })
}

/// Whether the copy is small enough, with all that its references lead to written out. The error follows the schema's name.
pub(super) fn check_size(schema: &Value) -> Result<(), String> {
    if unfolded::size(&for_cli(schema)) > MAX_UNFOLDED {
        return Err(format!(
            "is too complex: with each reference replaced by what it leads to it has more than {MAX_UNFOLDED} parts"
        ));
    }
    Ok(())
}

/// Makes the copy.
struct Copy<'a> {
    references: &'a References,
    /// Whether all that was copied so far means the same as the original. What does not is wider.
    exact: bool,
    /// Whether a reference counts as exact.
    by_reference: bool,
}

/// One object of the original, and what has become of it so far.
struct Object<'a> {
    members: &'a Map<String, Value>,
    draft: Draft,
    /// Its place in the original.
    at: &'a [&'a str],
    made: Map<String, Value>,
    /// What is said by words that may be there already.
    all: Vec<Value>,
}

impl Object<'_> {
    fn put(&mut self, name: &str, value: Value) {
        self.made.insert(name.to_owned(), value);
    }

    /// Whether no other keyword evaluates properties, so that `unevaluatedProperties` means `additionalProperties`.
    fn evaluates_properties_here_only(&self) -> bool {
        let others = ["additionalProperties", "allOf", "anyOf", "oneOf", "not", "if", "dependentSchemas"];
        !others.iter().chain(&checker::REFERENCES).any(|name| self.members.contains_key(*name))
    }

    /// Whether the copy has the patterns of the names that are no additional ones.
    fn keeps_patterns(&self) -> bool {
        let patterns = self.members.get("patternProperties").and_then(Value::as_object);
        patterns.is_none_or(|patterns| patterns.keys().all(|pattern| is_common(pattern)))
    }
}

impl Copy<'_> {
    /// Copies a schema at a place in the original.
    fn schema(&mut self, schema: &Value, draft: Draft, at: &[&str]) -> Value {
        let Value::Object(members) = schema else { return schema.clone() };
        let draft = if members.contains_key("$schema") { draft.detect(schema) } else { draft };
        let mut object = Object { members, draft, at, made: Map::new(), all: Vec::new() };
        let alone = self.reference(&mut object) && drafts::refers_alone(draft);
        for (name, value) in members {
            // The CLI heeds what stands beside a reference (checked).
            if alone && !matches!(name.as_str(), "$defs" | "definitions") {
                continue;
            }
            if drafts::knows(draft, name) {
                self.keyword(&mut object, name, value);
            } else {
                self.exact = false;
            }
        }
        let Object { mut made, all, .. } = object;
        if !all.is_empty()
            && let Value::Array(there) = made.entry("allOf").or_insert_with(|| json!([]))
        {
            there.extend(all);
        }
        self.exact &= !tidy(&mut made);
        Value::Object(made)
    }

    /// Copies where it refers to; whether it has a `$ref`.
    fn reference(&mut self, object: &mut Object<'_>) -> bool {
        let text = |name: &str| object.members.get(name).and_then(Value::as_str);
        let dynamic = drafts::dynamic(object.draft).and_then(text);
        let (plain, is_plain) = (text("$ref"), text("$ref").is_some());
        // What it finds dynamically may be more than what stands there.
        self.exact &= dynamic.is_none();
        if let Some(reference) = plain.or(dynamic) {
            let pointer = self.references.pointer(reference, object.at);
            self.exact &= self.by_reference && pointer.is_some();
            if let Some(pointer) = pointer {
                // Validators differ on what stands beside a reference in draft 7.
                let reference = format!("#{pointer}");
                if object.at.is_empty() || object.members.len() == 1 || drafts::refers_alone(object.draft) {
                    object.put("$ref", reference.into());
                } else {
                    object.all.push(json!({"$ref": reference}));
                }
            }
        }
        is_plain
    }

    fn keyword(&mut self, object: &mut Object<'_>, name: &str, value: &Value) {
        let members = object.members;
        match (name, value) {
            _ if PLAIN.contains(&name) => {
                if let Some(name) = drafts::of_bound(object.draft, name, members) {
                    object.put(name, value.clone());
                }
            }
            _ if REMARKS.contains(&name) => {
                self.exact = false;
                object.put(name, value.clone());
            }
            // The CLI's validator takes no empty list.
            ("enum", Value::Array(choices)) if choices.is_empty() => self.exact = false,
            ("enum", _) => object.put(name, value.clone()),
            ("pattern", Value::String(pattern)) if is_common(pattern) => object.put(name, value.clone()),
            ("properties" | "$defs" | "definitions", Value::Object(schemas)) => {
                let copied = self.by_name(object, name, schemas);
                object.put(name, copied);
            }
            ("patternProperties", Value::Object(schemas)) if object.keeps_patterns() => {
                let copied = self.by_name(object, name, schemas);
                object.put(name, copied);
            }
            ("dependencies" | "dependentSchemas" | "dependentRequired", Value::Object(schemas)) => {
                let copied = self.by_name(object, name, schemas);
                object.all.push(json!({"dependencies": copied}));
            }
            ("minContains", _) if value.as_f64() == Some(1.0) => {}
            ("maxContains" | "minContains", _) if !members.contains_key("contains") => {}
            _ if WITHOUT_EFFECT.contains(&name) || checker::REFERENCES.contains(&name) => {}
            _ => self.applicator(object, name, value),
        }
    }

    fn applicator(&mut self, object: &mut Object<'_>, name: &str, value: &Value) {
        let members = object.members;
        match (name, value) {
            ("allOf" | "anyOf" | "items", Value::Array(schemas)) => {
                let copied = self.list(object, name, schemas);
                object.put(name, copied);
            }
            ("oneOf", Value::Array(schemas)) => match self.apart(|copy| copy.list(object, name, schemas)) {
                (copied, true) => object.put(name, copied),
                // Wider alternatives overlap.
                (copied, false) => object.all.push(json!({"anyOf": copied})),
            },
            ("not" | "if", _) => {
                // Wider, it would exclude more.
                if let (copied, true) = self.apart(|copy| copy.within(object, name, value)) {
                    object.put(name, copied);
                }
            }
            ("then" | "else", _) if !members.contains_key("if") => {}
            ("prefixItems", Value::Array(schemas)) => {
                let copied = self.list(object, name, schemas);
                object.put("items", copied);
            }
            ("items", _) if members.contains_key("prefixItems") && drafts::knows(object.draft, "prefixItems") => {
                let copied = self.within(object, name, value);
                object.put("additionalItems", copied);
            }
            ("additionalProperties" | "unevaluatedProperties", _) if !object.keeps_patterns() => self.exact = false,
            // With 0 of them an array fits that has none.
            ("contains", _) if members.get("minContains").and_then(Value::as_f64) == Some(0.0) => self.exact = false,
            (
                "then" | "else" | "items" | "additionalItems" | "additionalProperties" | "propertyNames" | "contains",
                _,
            ) => {
                let copied = self.within(object, name, value);
                object.put(name, copied);
            }
            ("unevaluatedProperties", _) if object.evaluates_properties_here_only() => {
                let copied = self.within(object, name, value);
                object.put("additionalProperties", copied);
            }
            // Some change what fits, and some nobody knows.
            _ => self.exact = false,
        }
    }

    fn within(&mut self, object: &Object<'_>, name: &str, schema: &Value) -> Value {
        let at = [object.at, &[name]].concat();
        self.schema(schema, object.draft, &at)
    }

    fn list(&mut self, object: &Object<'_>, name: &str, schemas: &[Value]) -> Value {
        let copied = schemas.iter().enumerate().map(|(place, schema)| {
            let place = place.to_string();
            let at = [object.at, &[name, &place]].concat();
            self.schema(schema, object.draft, &at)
        });
        Value::Array(copied.collect())
    }

    fn by_name(&mut self, object: &Object<'_>, name: &str, schemas: &Map<String, Value>) -> Value {
        let copied = schemas.iter().map(|(key, schema)| {
            let at = [object.at, &[name, key.as_str()]].concat();
            (key.clone(), self.schema(schema, object.draft, &at))
        });
        Value::Object(copied.collect())
    }

    /// Copies a part, and says whether that part is exact. What is not is left out or replaced, and makes the whole wider.
    fn apart(&mut self, part: impl FnOnce(&mut Self) -> Value) -> (Value, bool) {
        let before = std::mem::replace(&mut self.exact, true);
        let copied = part(self);
        let exact = self.exact;
        self.exact = before && exact;
        (copied, exact)
    }
}

/// Takes away what a strict validator does not like beside something else, or without it; whether that makes it wider.
fn tidy(made: &mut Map<String, Value>) -> bool {
    if !made.get("items").is_some_and(Value::is_array) {
        made.remove("additionalItems");
    }
    if !made.contains_key("if") {
        made.remove("then");
        made.remove("else");
    } else if !made.contains_key("then") && !made.contains_key("else") {
        made.remove("if");
    }
    // A name among the properties may not match a pattern as well.
    if made.contains_key("properties")
        && let Some(by_pattern) = made.remove("patternProperties")
    {
        if let Value::Array(there) = made.entry("allOf").or_insert_with(|| json!([])) {
            there.push(json!({"patternProperties": by_pattern}));
        }
        return made.remove("additionalProperties").is_some();
    }
    false
}

/// Takes away references that lead into what is not in the copy; whether there were any.
fn drop_dangling(made: &mut Value) -> bool {
    let whole = made.clone();
    let (mut known, mut dropped) = (BTreeMap::new(), false);
    each(made, &mut |members| {
        let Some(pointer) = members.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix('#')) else {
            return;
        };
        let is_there = *known
            .entry(pointer.to_owned())
            .or_insert_with(|| find(&whole, pointer).is_some_and(|there| there.is_object() || there.is_boolean()));
        if !is_there {
            members.remove("$ref");
            dropped = true;
        }
    });
    dropped
}

/// Visits every schema of a copy.
fn each(value: &mut Value, visit: &mut impl FnMut(&mut Map<String, Value>)) {
    let Value::Object(members) = value else { return };
    visit(members);
    for (name, member) in members.iter_mut() {
        match (name.as_str(), member) {
            ("properties" | "patternProperties" | "$defs" | "definitions" | "dependencies", Value::Object(schemas)) => {
                for (_, schema) in schemas.iter_mut() {
                    each(schema, visit);
                }
            }
            ("allOf" | "anyOf" | "oneOf" | "items", Value::Array(schemas)) => {
                for schema in schemas.iter_mut() {
                    each(schema, visit);
                }
            }
            (
                "items"
                | "additionalItems"
                | "additionalProperties"
                | "contains"
                | "propertyNames"
                | "not"
                | "if"
                | "then"
                | "else",
                schema,
            ) => each(schema, visit),
            _ => {}
        }
    }
}

/// The input of a tool is an object, and its schema says so. What the provider does not take at the top goes behind a
/// condition that is always met.
fn at_top(made: Value) -> Value {
    let target =
        made["$ref"].as_str().and_then(|reference| target(&made, reference)).and_then(Value::as_object).cloned();
    let Value::Object(mut top) = made else { return json!({"type": "object"}) };
    if let Some(target) = target.filter(|target| !target.keys().any(|name| name != "$ref" && top.contains_key(name))) {
        top.remove("$ref");
        top.extend(target);
    }
    top.insert("type".to_owned(), "object".into());
    if NOT_AT_TOP.iter().any(|name| top.contains_key(*name)) {
        let moved = NOT_AT_TOP.iter().chain(&["if", "then", "else"]);
        let moved: Map<String, Value> = moved.filter_map(|name| top.remove_entry(*name)).collect();
        top.insert("if".to_owned(), json!({}));
        top.insert("then".to_owned(), Value::Object(moved));
        // What led there leads behind the condition.
        let mut top = Value::Object(top);
        each(&mut top, &mut |members| {
            if let Some(Value::String(reference)) = members.get_mut("$ref") {
                let first = reference.split('/').nth(1).unwrap_or_default();
                if NOT_AT_TOP.contains(&first) || ["if", "then", "else"].contains(&first) {
                    *reference = format!("#/then{}", &reference[1..]);
                }
            }
        });
        return top;
    }
    Value::Object(top)
}

/// What a reference by pointer leads to.
pub(super) fn target<'v>(whole: &'v Value, reference: &str) -> Option<&'v Value> {
    references::find(whole, reference.strip_prefix('#')?)
}
