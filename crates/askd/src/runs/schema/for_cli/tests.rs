//! What the CLI gets.

use serde_json::json;

use super::*;

const NEW: &str = "https://json-schema.org/draft/2020-12/schema";
const OLD: &str = "http://json-schema.org/draft-07/schema#";

/// The copy of a property's schema.
fn part(schema: &Value) -> Value {
    let whole = for_cli(&json!({"$schema": NEW, "properties": {"a": schema}}));
    assert_eq!((&whole["type"], whole.get("$schema")), (&json!("object"), None));
    whole["properties"]["a"].clone()
}

#[test]
fn a_schema_of_plain_draft_7_stays_as_it_is() {
    let schema = json!({
        "type": "object", "title": "T", "description": "D", "required": ["a"], "additionalProperties": false,
        "properties": {
            "a": {"type": ["integer", "null"], "minimum": 1, "default": {"$ref": 1, "x-y": []}},
            "x-vendor": {"enum": [{"x-y": 1}], "examples": ["e"]},
            "b": {"oneOf": [{"const": {"prefixItems": 1}}, {"pattern": "^[a-z_-]{1,3}\\.(x|y)?$"}], "not": {"type": "null"}},
            "c": {"type": "array", "items": {"$ref": "#/definitions/d"}, "uniqueItems": true},
        },
        "definitions": {"d": {"type": "string"}},
    });
    assert_eq!(for_cli(&schema), schema);
}

#[test]
fn what_draft_7_can_say_in_other_words_is_said_in_them() {
    for (original, copy) in [
        (
            json!({"prefixItems": [{"type": "null"}], "items": false}),
            json!({"items": [{"type": "null"}], "additionalItems": false}),
        ),
        (json!({"dependentRequired": {"b": ["c"]}}), json!({"allOf": [{"dependencies": {"b": ["c"]}}]})),
        (
            json!({"dependentSchemas": {"b": {"x-y": 1, "minProperties": 2}}, "allOf": [true]}),
            json!({"allOf": [true, {"dependencies": {"b": {"minProperties": 2}}}]}),
        ),
        (
            json!({"properties": {}, "unevaluatedProperties": false}),
            json!({"properties": {}, "additionalProperties": false}),
        ),
        (
            json!({"oneOf": [{"format": "email"}, {"format": "uri"}]}),
            json!({"allOf": [{"anyOf": [{"format": "email"}, {"format": "uri"}]}]}),
        ),
        (
            json!({"properties": {"b": true}, "patternProperties": {"^x": {"type": "null"}}, "additionalProperties": false}),
            json!({"properties": {"b": true}, "allOf": [{"patternProperties": {"^x": {"type": "null"}}}]}),
        ),
    ] {
        assert_eq!(part(&original), copy, "{original}");
    }
    let draft_4 = json!({"$schema": "http://json-schema.org/draft-04/schema#", "properties": {
        "a": {"minimum": 1, "exclusiveMinimum": true, "maximum": 9, "exclusiveMaximum": false, "if": {}, "examples": {}},
    }});
    assert_eq!(for_cli(&draft_4)["properties"]["a"], json!({"exclusiveMinimum": 1, "maximum": 9}));
}

#[test]
fn what_it_cannot_say_is_left_out_and_never_makes_the_copy_narrower() {
    for (original, copy) in [
        (
            json!({"type": "string", "x-mine": 1, "example": 2, "nullable": true, "deprecated": true}),
            json!({"type": "string"}),
        ),
        (json!({"contains": {"const": 1}, "minContains": 2}), json!({"contains": {"const": 1}})),
        (json!({"contains": {"const": 1}, "minContains": 0, "maxContains": 1}), json!({})),
        (json!({"enum": []}), json!({})),
        (json!({"pattern": "(?i)x"}), json!({})),
        (json!({"patternProperties": {"(?i)x": true}, "additionalProperties": false}), json!({})),
        (json!({"not": {"format": "email"}}), json!({})),
        (json!({"not": {"pattern": "(?i)x"}}), json!({})),
        (json!({"if": {"format": "email"}, "then": {"minLength": 1}, "else": false}), json!({})),
        (json!({"if": {"minLength": 1}}), json!({})),
        (json!({"then": {"minLength": 1}}), json!({})),
        (
            json!({"allOf": [{"properties": {"b": true}}], "unevaluatedProperties": false}),
            json!({"allOf": [{"properties": {"b": true}}]}),
        ),
        (json!({"$ref": "https://example.com/x"}), json!({})),
        (json!({"$ref": "#/nowhere"}), json!({})),
    ] {
        assert_eq!(part(&original), copy, "{original}");
    }
    // A reference may lead to something wider.
    let wide = json!({
        "properties": {"a": {"not": {"$ref": "#/$defs/m"}}, "b": {"$ref": "#/$defs/m"}},
        "$defs": {"m": {"format": "email"}},
    });
    let copy = for_cli(&wide);
    assert_eq!(copy["properties"], json!({"a": {}, "b": {"$ref": "#/$defs/m"}}));
}

#[test]
fn references_lead_where_they_led() {
    let schema = json!({
        "$schema": NEW, "$id": "https://example.com/s.json",
        "properties": {
            "a": {"$ref": "#here"}, "b": {"$ref": "https://example.com/s.json#/$defs/x~1y"}, "c": {"$dynamicRef": "#here"},
            "d": {"$ref": "#/$defs/island/properties/e"}, "f": {"$ref": "#"},
        },
        "$defs": {
            "x/y": {"$anchor": "here", "type": "null"},
            "island": {"$id": "https://example.com/other.json", "properties": {"e": {"$ref": "#/$defs/x"}}},
        },
    });
    let copy = for_cli(&schema);
    assert_eq!(
        copy["properties"],
        json!({
            "a": {"$ref": "#/$defs/x~1y"}, "b": {"$ref": "#/$defs/x~1y"}, "c": {"$ref": "#/$defs/x~1y"},
            "d": {"$ref": "#/$defs/island/properties/e"}, "f": {"$ref": "#"},
        })
    );
    assert_eq!(copy["$defs"]["island"]["properties"]["e"], json!({}), "it would lead elsewhere");
    // Older drafts ignore what stands beside a reference; the CLI does not.
    let beside = json!({"$schema": OLD, "properties": {"a": {"$ref": "#/definitions/n", "minimum": 5}}, "definitions": {"n": true}});
    assert_eq!(for_cli(&beside)["properties"]["a"], json!({"$ref": "#/definitions/n"}));
}

#[test]
fn the_top_is_one_that_the_provider_takes() {
    assert_eq!(for_cli(&json!({})), json!({"type": "object"}));
    let referring = json!({"$ref": "#/$defs/r", "$defs": {"r": {"type": "object", "required": ["a"]}}});
    assert_eq!(
        for_cli(&referring),
        json!({"type": "object", "required": ["a"], "$defs": {"r": {"type": "object", "required": ["a"]}}})
    );
    let either =
        json!({"anyOf": [{"required": ["a"]}, {"required": ["b"]}], "properties": {"c": {"$ref": "#/anyOf/0"}}});
    assert_eq!(
        for_cli(&either),
        json!({
            "type": "object", "properties": {"c": {"$ref": "#/then/anyOf/0"}},
            "if": {}, "then": {"anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
        })
    );
}

#[test]
fn only_patterns_that_mean_the_same_to_both_are_common() {
    for pattern in [
        r"^[\w.+-]{1,64}@([a-z0-9-]{1,63}\.){1,8}[a-z]{2,24}$",
        r"^\d{4}-\d{2}-\d{2}$",
        r"^(?:a|b)*(?<year>\d+)?\/\p{Lu}[^\]\-x]+$",
        "",
        r"^[-+]?[0-9]+[a-]$",
    ] {
        assert!(is_common(pattern), "{pattern}");
    }
    for pattern in [
        "(?i)x",
        "(?P<n>x)",
        r"\A",
        r"\z",
        "[[:alpha:]]",
        "[a&&b]",
        r"\-",
        r"\p{Greek}",
        r"\pL",
        "a}",
        "]",
        "x{,3}",
        "[a",
        r"[\w-z]",
        r"[a-\d]",
        "[]a]",
        r"\x41",
        r"\_",
        "(?<1>x)",
        "[a--b]",
    ] {
        assert!(!is_common(pattern), "{pattern}");
    }
}
