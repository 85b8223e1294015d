//! What a stranger's schema cannot do.

use serde_json::{Map, json};

use super::*;

/// Every definition leads to the next one twice: `2.pow(levels)` ways to the last.
fn ways(levels: usize, keyword: &str, draft: &str) -> Value {
    let mut definitions = Map::new();
    for level in 0..levels {
        let next = json!({"$ref": format!("#/definitions/d{}", level + 1)});
        definitions.insert(format!("d{level}"), json!({keyword: [next, next]}));
    }
    definitions.insert(format!("d{levels}"), json!({"type": "integer"}));
    json!({"$schema": draft, "$ref": "#/definitions/d0", "definitions": definitions})
}

/// Every level of an answer goes through all definitions, one within the other.
fn spiral(definitions: usize) -> Value {
    let mut all = Map::new();
    for number in 0..definitions {
        all.insert(format!("d{number}"), json!({"allOf": [{"$ref": format!("#/$defs/d{}", number + 1)}]}));
    }
    all.insert(format!("d{definitions}"), json!({"properties": {"a": {"$ref": "#/$defs/d0"}}}));
    json!({"$ref": "#/$defs/d0", "$defs": all})
}

fn compiled(schema: &Value) -> Result<(), String> {
    checker::compile(schema, &Arc::default()).map(drop)
}

/// The first flaw, with its place.
fn checked(schema: &Value, answer: &Value) -> Result<(), String> {
    let flaws = checker::check(schema, answer, &Arc::default())?;
    flaws.map_err(|flaws| format!("{} (at `{}`)", flaws[0].message, flaws[0].path))
}

/// Checks aside and stops it when it has taken some time; whether it was ended then.
fn ends_when_stopped(schema: Value, answer: Value) -> bool {
    let watch = Arc::<Watch>::default();
    let watch_there = Arc::clone(&watch);
    let work = move || checker::check(&schema, &answer, &watch_there);
    let thread = std::thread::Builder::new().stack_size(checker::STACK).spawn(work).unwrap();
    while watch.steps() < 100_000 {
        assert!(!thread.is_finished(), "it ended by itself: {:?}", thread.join());
        std::thread::yield_now();
    }
    watch.stop();
    thread.join().is_err()
}

const OLD: &str = "http://json-schema.org/draft-07/schema#";
const NEW: &str = "https://json-schema.org/draft/2020-12/schema";

#[test]
fn a_check_without_end_is_ended() {
    for draft in [OLD, NEW] {
        for (keyword, answer) in
            [("allOf", json!(1)), ("anyOf", json!("x")), ("oneOf", json!(1)), ("oneOf", json!("x"))]
        {
            let schema = ways(40, keyword, draft);
            assert!(ends_when_stopped(schema, answer.clone()), "{draft} {keyword} {answer}");
        }
    }
    let innermost = json!({"anyOf": [{"type": "object"}], "unevaluatedProperties": true});
    let nested = (0..20).fold(innermost, |inner, _| json!({"anyOf": [inner], "unevaluatedProperties": false}));
    assert!(ends_when_stopped(nested, json!({"a": 1})), "unevaluatedProperties");
}

#[tokio::test]
async fn a_check_that_would_overflow_the_stack_is_ended() {
    let deep = (0..120).fold(json!({}), |inner, _| json!({"a": inner}));
    let schema = AnswerSchema::new(spiral(900)).unwrap();
    schema.compile().await.unwrap();
    let error = schema.check(deep.clone()).await.unwrap_err();
    assert!(error.to_string().contains("nest too deeply"), "{error}");
    assert_eq!(AnswerSchema::new(spiral(20)).unwrap().check(deep).await, Ok(Ok(())));
}

#[test]
fn a_long_chain_of_references_is_compiled() {
    let mut all = Map::new();
    for number in 0..999 {
        all.insert(format!("d{number}"), json!({"$ref": format!("#/definitions/d{}", number + 1)}));
    }
    all.insert("d999".into(), json!({"type": "integer"}));
    for draft in [OLD, NEW] {
        let schema = json!({"$schema": draft, "$ref": "#/definitions/d0", "definitions": all});
        let schema = AnswerSchema::new(schema).unwrap().schema;
        let work = move || (checked(&schema, &json!(1)), checked(&schema, &json!("x")).is_err());
        let thread = std::thread::Builder::new().stack_size(checker::STACK).spawn(work).unwrap();
        assert_eq!(thread.join().unwrap(), (Ok(()), true), "{draft}");
    }
}

#[test]
fn references_that_lead_back_at_once_do_no_harm() {
    for schema in [json!({"$ref": "#"}), json!({"allOf": [{"$ref": "#"}]}), json!({"not": {"not": {"$ref": "#"}}})] {
        for draft in [OLD, NEW] {
            let mut schema = schema.clone();
            schema["$schema"] = draft.into();
            drop(checked(&schema, &json!({"a": 1})));
        }
    }
}

#[test]
fn nothing_is_fetched() {
    for reference in ["https://example.com/x.json", "file:///etc/passwd", "x.json", "urn:x:y"] {
        assert!(compiled(&json!({"$ref": reference})).unwrap_err().contains("not a valid JSON Schema"), "{reference}");
        assert!(compiled(&json!({"$schema": reference})).is_err(), "{reference}");
        assert!(compiled(&json!({"$id": "https://example.com/", "$ref": reference})).is_err(), "{reference}");
    }
}

#[test]
fn a_regular_expression_is_small_and_plain() {
    for pattern in [r"\p{L}{300}x", "(?=a)b", r"(a)\1", "("] {
        let error = compiled(&json!({"pattern": pattern})).unwrap_err();
        assert!(error.contains("at `/pattern`"), "{error}");
    }
    assert_eq!(compiled(&json!({"pattern": r"^[\w.+-]{1,64}@([a-z0-9-]{1,63}\.){1,8}[a-z]{2,24}$"})), Ok(()));
}

#[test]
fn a_schema_means_what_it_meant_without_our_keyword() {
    let pair = json!({"$ref": "#/definitions/n", "minimum": 5, "definitions": {"n": {"type": "integer"}}});
    let with = |draft: &str| {
        let mut schema = pair.clone();
        schema["$schema"] = draft.into();
        schema
    };
    // Older drafts ignore what stands beside a reference.
    assert_eq!(checked(&with(OLD), &json!(1)), Ok(()));
    assert!(checked(&with(NEW), &json!(1)).unwrap_err().contains("minimum"));
    let names = json!({
        "properties": {"$ref": {"type": "string"}, "enum": {"$ref": "#/$defs/default"}, "allOf": {"const": {"a": []}}},
        "additionalProperties": false,
        "default": {"$ref": 7},
        "$defs": {"default": {"enum": [{"x": 1}, 2]}},
    });
    assert_eq!(checked(&names, &json!({"$ref": "x", "enum": {"x": 1}, "allOf": {"a": []}})), Ok(()));
    for wrong in [json!({"$ref": 1}), json!({"enum": 1}), json!({"allOf": {}}), json!({"other": 1})] {
        assert!(checked(&names, &wrong).is_err(), "{wrong}");
    }
    let closed = json!({
        "$ref": "#/$defs/base", "properties": {"b": true}, "unevaluatedProperties": false,
        "$defs": {"base": {"properties": {"a": true}}},
    });
    assert_eq!(checked(&closed, &json!({"a": 1, "b": 2})), Ok(()));
    assert!(checked(&closed, &json!({"c": 1})).is_err());
    let anchors = json!({"$ref": "#here", "$defs": {"x": {"$anchor": "here", "items": {"$dynamicRef": "#here"}}}});
    assert_eq!(checked(&anchors, &json!([[[]]])), Ok(()));
}

#[test]
fn what_is_said_does_not_show_our_keyword_nor_go_on_without_end() {
    let error = checked(&json!({"not": {"required": ["a"]}}), &json!({"a": 1})).unwrap_err();
    assert!(error.contains("`not` excludes") && !error.contains("askd"), "{error}");
    let error = checked(&json!({"type": "integer"}), &json!("x".repeat(100_000))).unwrap_err();
    assert_eq!(error, "the value is not of type \"integer\" (at ``)", "the reason is not lost behind the answer");
    let enumeration = json!({"enum": (0..1_000).map(|n| format!("choice {n}")).collect::<Vec<_>>()});
    let error = checked(&enumeration, &json!("x")).unwrap_err();
    assert!(error.chars().count() < 520, "{error}");
}

#[test]
fn flaws_are_told_up_to_a_number_and_looked_for_up_to_another() {
    let schema = json!({"properties": {"a": {"items": {"type": "integer"}}}});
    let flaws = |schema: &Value, answer: &Value| checker::check(schema, answer, &Arc::default()).unwrap().unwrap_err();
    assert_eq!(flaws(&schema, &json!({"a": [1, "x", 2, null]})).len(), 2);
    assert_eq!(flaws(&schema, &json!({"a": vec!["x"; 100]})).len(), 20);
    // Too many to collect: the first one is told.
    assert_eq!(flaws(&schema, &json!({"a": vec!["x"; 9_000]})).len(), 1);
    assert_eq!(flaws(&schema, &json!({"a": vec!["x"; 90_000]})).len(), 1);
    assert_eq!(flaws(&ways(9, "allOf", NEW), &json!("x")).len(), 1, "the same from many sides");
    assert_eq!(flaws(&ways(14, "allOf", NEW), &json!("x")).len(), 1);
}

#[test]
fn a_format_is_checked_whatever_the_draft_and_a_regular_expression_is_not_compiled() {
    for draft in [OLD, NEW] {
        let of = |format: &str| json!({"$schema": draft, "format": format});
        assert_eq!(checked(&of("date"), &json!("2026-11-23")), Ok(()));
        assert!(checked(&of("date"), &json!("2026-23-11")).unwrap_err().contains("date"), "{draft}");
        assert_eq!(checked(&of("my-own"), &json!("x")), Ok(()), "one that nobody knows says nothing");
        assert_eq!(checked(&of("regex"), &json!("(")), Ok(()));
    }
}

#[test]
fn data_that_a_reference_could_make_a_schema_of_must_be_simple() {
    let hidden = json!({"$ref": "#/enum/0", "enum": [{"anyOf": [{"$ref": "#/enum/0"}]}]});
    assert_eq!(compiled(&hidden).unwrap_err(), "has `$ref` within `enum`, which is not allowed");
}
