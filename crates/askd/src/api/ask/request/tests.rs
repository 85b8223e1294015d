//! What `/ask` accepts, and what it says of the rest.

use claude::permission_mode::PermissionMode;
use serde_json::json;
use uuid::Uuid;

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
    let request = RunRequest {
        prompt: "-p".into(),
        cwd: "a/b".into(),
        max_turns: Some(50),
        agent: Some("reviewer".into()),
        system_prompt: Some("s".into()),
        model: Some("opus".into()),
        allowed_tools: vec!["Read".into(), "Bash(git status:*)".into()],
        permission_mode: Some(PermissionMode::DontAsk),
        resume: Some(Uuid::from_u128(7)),
        output_schema: Some(json!({"type": "object"})),
        expand: true,
        ..RunRequest::default()
    };
    assert_eq!(asked.unwrap(), AskRequest { request, stream: true });
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
        (json!({"prompt": "x", "allowedTools": ["a\nb"]}), "allowedTools[0] must have 1 to 1000 characters"),
        (json!({"prompt": "x", "allowedTools": vec!["Read"; 201]}), "allowedTools has 201 rules"),
        (json!({"prompt": "x", "permissionMode": "all"}), "permissionMode must be one of default, plan"),
        (json!({"prompt": "x", "resume": "last"}), "resume must be a session's id"),
        (json!({"prompt": "x", "jsonSchema": []}), "jsonSchema must be an object"),
        (json!({"prompt": "x", "allowedTools": ["Read", "Bash(x"]}), "allowedTools[1] `Bash(x` must end with the `)`"),
        (json!({"prompt": "x", "allowedTools": "Bash()"}), "allowedTools[0] `Bash()` is dropped: the parentheses"),
        (json!({"prompt": "x", "max_turns": 5}), "there is no field `max_turns`; it is called `maxTurns` here"),
        (json!({"prompt": "x", "session_id": "x"}), "there is no field `session_id`; it is called `resume` here"),
        (json!({"prompt": "x", "tools": []}), "there is no field `tools`; POST /v1/runs has it, as `tools`"),
        (json!({"promt": "x"}), "there is no field `promt`"),
        (json!({"prompt": "x", "timeout": 5}), "there is no field `timeout`; the fields are prompt, cwd"),
    ];
    for (body, expected) in table {
        let said = complaint(body);
        assert!(said.starts_with(expected), "{said}");
    }
}

#[test]
fn rules_without_effect_are_taken_as_ever_and_with_the_old_leniency_so_is_what_is_none() {
    for rule in ["bash", "Bsah(ls)", "Write(a)", "WebFetch(example.com)", "nope"] {
        assert!(parse_with(json!({"prompt": "x", "allowedTools": [rule]}), false).is_ok(), "{rule}");
    }
    assert!(parse_with(json!({"prompt": "x", "allowedTools": ["Bash(x"]}), true).is_ok());
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
    let request = asked.request;
    assert_eq!((request.prompt.as_str(), asked.stream, request.max_turns), ("5", true, Some(7)));
    assert_eq!(request.output_schema, Some(json!({})));
}
