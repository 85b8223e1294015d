//! How large a schema is when every reference is replaced by what it leads to.

use std::collections::HashMap;

use serde_json::Value;

use super::references::find;

/// Lists and objects within each other, through references. The stack is bounded, and what is deeper is no answer's form.
const MAX_DEPTH: usize = 10_000;

/// Lists, objects and references, from the top: a definition counts where something leads to it. A reference that leads back to
/// where it stands counts as one: there is no end to what it means.
pub(super) fn size(schema: &Value) -> u64 {
    Unfolding { whole: schema, known: HashMap::new() }.of(schema, 0)
}

struct Unfolding<'v> {
    whole: &'v Value,
    /// By pointer; 1 while it is looked at. So each is looked at once, however often it is named.
    known: HashMap<&'v str, u64>,
}

impl<'v> Unfolding<'v> {
    fn of(&mut self, value: &'v Value, depth: usize) -> u64 {
        if depth > MAX_DEPTH {
            return u64::MAX;
        }
        match value {
            Value::Array(items) => {
                items.iter().fold(1, |size: u64, item| size.saturating_add(self.of(item, depth + 1)))
            }
            Value::Object(members) => members.iter().fold(1, |size: u64, (name, member)| {
                size.saturating_add(match (name.as_str(), member) {
                    ("$ref", Value::String(reference)) => self.behind(reference, depth + 1),
                    ("$defs" | "definitions", Value::Object(_)) => 0,
                    // Their members have names, and no keywords.
                    ("properties" | "patternProperties" | "dependencies", Value::Object(schemas)) => {
                        schemas.values().fold(1, |size: u64, schema| size.saturating_add(self.of(schema, depth + 2)))
                    }
                    _ => self.of(member, depth + 1),
                })
            }),
            _ => 0,
        }
    }

    fn behind(&mut self, reference: &'v str, depth: usize) -> u64 {
        if let Some(known) = self.known.get(reference) {
            return *known;
        }
        let target = reference.strip_prefix('#').and_then(|pointer| find(self.whole, pointer));
        let Some(target) = target else { return 1 };
        self.known.insert(reference, 1);
        let size = self.of(target, depth).saturating_add(1);
        self.known.insert(reference, size);
        size
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;

    #[test]
    fn what_is_named_twice_counts_twice_and_what_leads_back_counts_once() {
        let of = |mut schema: Value| {
            schema["definitions"] = json!({"a": {"items": [{}, {}]}});
            size(&schema)
        };
        let to = json!({"$ref": "#/definitions/a"});
        // An object, the reference in it, and what that leads to.
        assert_eq!((of(json!({"not": to})), of(json!({"allOf": [to, to]}))), (1 + 6, 1 + 1 + 6 + 6));
        assert_eq!(of(json!({})), 1, "nothing leads to the definition");
        assert_eq!(of(json!({"properties": {"definitions": to}})), 1 + 1 + 6, "a name is no keyword");
        // The top; `a` with what its reference leads to, which is the top once more, and there the reference leads back.
        assert_eq!(size(&json!({"properties": {"a": {"$ref": "#"}}})), 2 + 1 + 1 + 2 + 1 + 1);
        assert_eq!(size(&json!({"$ref": "#/nowhere", "enum": ["x"]})), 1 + 1 + 1);
    }

    #[test]
    fn levels_of_two_references_each_grow_without_end_and_a_chain_does_not() {
        let levels = |number: usize, each: usize| {
            let mut all = Map::new();
            for level in 0..number {
                let next = json!({"$ref": format!("#/definitions/d{}", level + 1)});
                all.insert(format!("d{level}"), json!({"allOf": vec![next; each]}));
            }
            all.insert(format!("d{number}"), json!({"$ref": "#/definitions/d0"}));
            size(&json!({"$ref": "#/definitions/d0", "definitions": all}))
        };
        assert!(levels(900, 1) < 5_000);
        assert!(levels(10, 2) < 10_000 && levels(40, 2) > 1 << 40);
        assert_eq!(levels(400, 2), u64::MAX);
    }
}
