//! What `/ask` accepts, and what it says of the rest.

use serde_json::json;

use super::*;

fn parse_with(body: Value, lenient: bool) -> Result<AskRequest, ApiError> {
    let Value::Object(object) = body else { panic!("not an object") };
    AskRequest::parse(object, lenient)
}

fn complaint(body: Value) -> String {
    parse_with(body, false).unwrap_err().message().to_owned()
}

#[test]
fn every_field_is_understood() {
    let asked = parse_with(
        json!({
            "prompt": "-p", "cwd": "a/b", "stream": true, "maxTurns": 50, "agent": "reviewer", "systemPrompt": "s",
            "model": "opus", "allowedTools": ["Read", "Bash(git status:*)"], "permissionMode": "dontAsk",
            "resume": "00000000-0000-0000-0000-000000000007", "jsonSchema": {"type": "object"},
        }),
        false,
    );
    let expected = AskRequest {
        prompt: "-p".into(),
        cwd: "a/b".into(),
        stream: true,
        max_turns: Some(50),
        agent: Some("reviewer".into()),
        system_prompt: Some("s".into()),
        model: Some("opus".into()),
        allowed_tools: vec!["Read".into(), "Bash(git status:*)".into()],
        permission_mode: Some(PermissionMode::DontAsk),
        resume: Some(Uuid::from_u128(7)),
        schema: Some(AnswerSchema::new(json!({"type": "object"})).unwrap()),
    };
    assert_eq!(asked.unwrap(), expected);
}

#[test]
fn what_is_wrong_names_the_field() {
    let table = [
        (json!({}), "prompt is missing"),
        (json!({"prompt": 5}), "prompt must be a string"),
        (json!({"prompt": null}), "prompt must be a string"),
        (json!({"prompt": " \n"}), "prompt must not be empty"),
        (json!({"prompt": "x".repeat(50_001)}), "prompt has 50001 characters; at most 50000 are allowed"),
        (json!({"prompt": "x", "systemPrompt": "x".repeat(50_001)}), "systemPrompt has 50001 characters"),
        (json!({"prompt": "x", "stream": "yes"}), "stream must be true or false"),
        (json!({"prompt": "x", "maxTurns": 0}), "maxTurns must be from 1 to 50"),
        (json!({"prompt": "x", "maxTurns": 51}), "maxTurns must be from 1 to 50"),
        (json!({"prompt": "x", "maxTurns": 1.5}), "maxTurns must be a whole number"),
        (json!({"prompt": "x", "allowedTools": [1]}), "allowedTools must be a list of strings or one string"),
        (json!({"prompt": "x", "allowedTools": ["a\nb"]}), "each rule of allowedTools"),
        (json!({"prompt": "x", "allowedTools": vec!["Read"; 201]}), "allowedTools has 201 rules"),
        (json!({"prompt": "x", "permissionMode": "all"}), "permissionMode must be one of default, plan"),
        (json!({"prompt": "x", "resume": "last"}), "resume must be a session's id"),
        (json!({"prompt": "x", "jsonSchema": []}), "jsonSchema must be an object"),
        (json!({"promt": "x"}), "there is no field `promt`"),
        (json!({"prompt": "x", "timeout": 5}), "there is no field `timeout`; the fields are prompt, cwd"),
    ];
    for (body, expected) in table {
        let said = complaint(body);
        assert!(said.starts_with(expected), "{said}");
    }
}

#[test]
fn a_schema_that_leaves_its_bounds_names_the_field_and_the_bound() {
    let deep = (0..64).fold(json!({}), |inner, _| json!({"not": inner}));
    let references: Vec<_> = (0..1001).map(|_| json!({"$ref": "#/$defs/a"})).collect();
    let patterns: serde_json::Map<_, _> = (0..101).map(|n| (format!("^{n}$"), json!({}))).collect();
    let table = [
        (json!({"description": "x".repeat(256 * 1024)}), "has 262162 bytes; at most 262144 are allowed"),
        (deep, "is nested too deeply; at most 64 levels are allowed"),
        (json!({"pattern": "x".repeat(1001)}), "has a pattern of 1001 characters; at most 1000 are allowed"),
        (json!({"patternProperties": patterns}), "has 101 regular expressions; at most 100 are allowed"),
        (json!({"allOf": references}), "has 1001 references; at most 1000 are allowed"),
    ];
    for (schema, expected) in table {
        assert_eq!(complaint(json!({"prompt": "x", "jsonSchema": schema})), format!("jsonSchema {expected}"));
    }
}

#[test]
fn characters_are_counted_and_not_bytes() {
    assert!(parse_with(json!({"prompt": "😀".repeat(50_000)}), false).is_ok());
}

#[test]
fn lenient_servers_coerce_and_drop_as_the_node_server_did() {
    let asked = parse_with(
        json!({"prompt": 5, "stream": "true", "maxTurns": "7", "cwd": null, "jsonSchema": "{}", "unknown": 1}),
        true,
    )
    .unwrap();
    assert_eq!((asked.prompt.as_str(), asked.stream, asked.max_turns), ("5", true, Some(7)));
    assert_eq!(asked.schema.unwrap().schema, json!({}));
}

#[test]
fn one_string_of_rules_is_taken_apart_outside_of_parentheses() {
    assert_eq!(split_rules("Read, Bash(git log:*, x) Edit,,"), ["Read", "Bash(git log:*, x)", "Edit"]);
    assert_eq!(split_rules(""), [""; 0]);
}
