//! Whether an object can fit a schema at all.

use serde_json::Value;

use super::for_cli::target;

/// What the other values of JSON are called. A name that is none of these is an error that the checker names.
const OTHER_TYPES: [&str; 6] = ["array", "boolean", "integer", "null", "number", "string"];

/// Looks at so many subschemas; a schema that takes more is given the benefit of the doubt.
const MAX_STEPS: u32 = 1_000;

/// Whether nothing at the top of the schema excludes every object. Only what is plain to see is looked at.
pub(super) fn can_be_object(schema: &Value) -> bool {
    let mut steps = MAX_STEPS;
    look(schema, schema, &mut steps)
}

fn look(schema: &Value, whole: &Value, steps: &mut u32) -> bool {
    if *steps == 0 {
        return true;
    }
    *steps -= 1;
    let Value::Object(members) = schema else { return *schema != Value::Bool(false) };
    let by_type = match members.get("type") {
        Some(Value::String(name)) => !OTHER_TYPES.contains(&name.as_str()),
        Some(Value::Array(names)) => names.iter().any(|name| !OTHER_TYPES.iter().any(|other| name == other)),
        _ => true,
    };
    let by_value = members.get("const").is_none_or(Value::is_object)
        && members.get("enum").and_then(Value::as_array).is_none_or(|choices| choices.iter().any(Value::is_object));
    let each = |name: &str, all: bool, steps: &mut u32| {
        let Some(Value::Array(schemas)) = members.get(name) else { return true };
        let mut fits = schemas.iter().map(|schema| look(schema, whole, steps));
        if all { fits.all(|fits| fits) } else { fits.any(|fits| fits) }
    };
    by_type
        && by_value
        && each("allOf", true, steps)
        && each("anyOf", false, steps)
        && each("oneOf", false, steps)
        && members
            .get("$ref")
            .and_then(Value::as_str)
            .is_none_or(|reference| target(whole, reference).is_none_or(|target| look(target, whole, steps)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_no_object_fits_is_seen() {
        for schema in [
            json!({"type": "array"}),
            json!({"type": ["string", "null"]}),
            json!({"const": 1}),
            json!({"enum": [1, "a"]}),
            json!({"anyOf": [{"type": "string"}, {"const": null}]}),
            json!({"oneOf": [false, {"type": "array"}]}),
            json!({"allOf": [{}, {"type": "number"}]}),
            json!({"$ref": "#/$defs/n", "$defs": {"n": {"type": "integer"}}}),
        ] {
            assert!(!can_be_object(&schema), "{schema}");
        }
    }

    #[test]
    fn anything_else_may_be_one() {
        for schema in [
            json!({}),
            json!({"type": ["object", "null"]}),
            json!({"type": "nonsense"}),
            json!({"enum": [1, {}]}),
            json!({"anyOf": [{"type": "string"}, {"properties": {}}]}),
            json!({"$ref": "#"}),
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}]}}}),
            json!({"$ref": "https://example.com/x"}),
            json!({"not": {"type": "string"}}),
        ] {
            assert!(can_be_object(&schema), "{schema}");
        }
    }
}
