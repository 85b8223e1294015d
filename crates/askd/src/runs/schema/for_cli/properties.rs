//! Whatever fits a schema fits the copy that the CLI gets, which is a schema of draft 7.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use super::for_cli;

const DRAFTS: [&str; 5] = [
    "https://json-schema.org/draft/2020-12/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema#",
    "http://json-schema.org/draft-06/schema#",
    "http://json-schema.org/draft-04/schema#",
];

/// One keyword with a value, for most drafts a right one.
fn leaf() -> impl Strategy<Value = Value> {
    select(vec![
        json!({"type": "integer"}),
        json!({"type": ["string", "null"]}),
        json!({"type": "object"}),
        json!({"minimum": 1}),
        json!({"minimum": 1, "exclusiveMinimum": true}),
        json!({"exclusiveMinimum": 1}),
        json!({"maxLength": 1}),
        json!({"pattern": "^a"}),
        json!({"pattern": "(?i)^A"}),
        json!({"format": "date"}),
        json!({"format": "ipv4", "nullable": true}),
        json!({"enum": [1, "a", null]}),
        json!({"const": {"a": 1}}),
        json!({"required": ["a"]}),
        json!({"dependentRequired": {"a": ["b"]}}),
        json!({"minItems": 1, "uniqueItems": true}),
        json!({"x-mine": 1}),
        json!({"$ref": "#/definitions/d"}),
        json!({"$ref": "#/$defs/d"}),
        json!({"$ref": "#here", "minProperties": 1}),
        json!({"$dynamicRef": "#here"}),
        json!({}),
    ])
}

fn schema() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(4, 24, 3, |inner| {
        let part = (
            select(vec![
                "not",
                "if",
                "then",
                "else",
                "items",
                "additionalItems",
                "additionalProperties",
                "contains",
                "propertyNames",
                "unevaluatedProperties",
                "unevaluatedItems",
            ]),
            inner.clone(),
        )
            .prop_map(|(name, schema)| json!({name: schema}));
        let list = (select(vec!["allOf", "anyOf", "oneOf", "prefixItems"]), vec(inner.clone(), 1..3))
            .prop_map(|(name, schemas)| json!({name: schemas}));
        let named = (
            select(vec!["properties", "patternProperties", "dependentSchemas"]),
            select(vec!["a", "b", "(?i)c"]),
            inner.clone(),
        )
            .prop_map(|(name, key, schema)| json!({name: {key: schema}}));
        let least = (0..3_u8).prop_map(|least| json!({"minContains": least, "contains": {"type": "integer"}}));
        let one = prop_oneof![4 => part, 3 => list, 3 => named, 1 => least, 2 => inner];
        vec(one, 1..4).prop_map(|parts| {
            let members = parts.into_iter().flat_map(|part| part.as_object().unwrap().clone());
            Value::Object(members.collect())
        })
    })
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = select(vec![
        json!(null),
        json!(0),
        json!(1),
        json!(2.5),
        json!("a"),
        json!("Ab"),
        json!("2026-11-23"),
        json!(true),
    ]);
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::Array),
            vec((select(vec!["a", "b", "C", "d"]), inner), 0..3).prop_map(|members| members
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect::<Value>()),
        ]
    })
}

fn object() -> impl Strategy<Value = Value> {
    vec((select(vec!["a", "b", "C", "d"]), value()), 0..4)
        .prop_map(|members| members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Value>())
}

/// Whether judging by this part comes back to it without going on to a part of the value. What that means is not defined
/// (JSON Schema 2020-12, core, 9.4.1), and validators differ.
fn never_ends(part: &Value, definitions: &Value, depth: usize) -> bool {
    let Value::Object(members) = part else { return false };
    depth > 100
        || members.iter().any(|(name, value)| {
            let (of_list, of_object) = (value.as_array(), value.as_object());
            let same_value: Vec<&Value> = match (name.as_str(), value.as_str()) {
                ("allOf" | "anyOf" | "oneOf", _) => of_list.into_iter().flatten().collect(),
                ("not" | "if" | "then" | "else", _) => vec![value],
                ("dependentSchemas", _) => of_object.into_iter().flat_map(Map::values).collect(),
                (_, Some("#/definitions/d" | "#here")) => vec![&definitions["d"]],
                _ => vec![],
            };
            same_value.into_iter().any(|part| never_ends(part, definitions, depth + 1))
        })
}

proptest! {
    #![proptest_config(ProptestConfig { max_global_rejects: 10_000_000, ..ProptestConfig::default() })]

    #[test]
    fn the_copy_is_a_schema_of_draft_7_and_never_narrower(
        (top, defined) in (schema(), schema()),
        draft in select(DRAFTS.to_vec()),
        objects in vec(object(), 8),
    ) {
        prop_assume!(!never_ends(&defined, &json!({"d": defined}), 0));
        let mut schema = top;
        let members = schema.as_object_mut().unwrap();
        members.insert("$schema".to_owned(), draft.into());
        let mut named = defined.clone();
        named["$anchor"] = "here".into();
        members.insert("definitions".to_owned(), json!({"d": defined, "h": named}));
        members.insert("$defs".to_owned(), json!({"d": {"type": "integer"}}));
        // Ours, as it judges answers.
        let original = jsonschema::options().offline().should_validate_formats(true).build(&schema);
        prop_assume!(original.is_ok());
        let original = original.unwrap();
        let copy = for_cli(&schema);
        let mut of_cli = copy.clone();
        of_cli["$schema"] = DRAFTS[2].into();
        let compiled = jsonschema::options().offline().should_validate_formats(false).build(&of_cli);
        prop_assert!(compiled.is_ok(), "{schema}\n{copy}\n{:?}", compiled.err());
        let compiled = compiled.unwrap();
        for object in objects.iter().filter(|object| original.is_valid(object)) {
            prop_assert!(compiled.is_valid(object), "{schema}\n{copy}\n{object}");
        }
    }
}
