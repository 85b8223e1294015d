//! What `POST /v1/runs` accepts, and what it says of the rest.

use serde_json::json;
use uuid::Uuid;

use super::*;

fn parse(body: Value) -> Result<Asked, ApiError> {
    parse_for(body, Form::Json)
}

fn parse_for(body: Value, form: Form) -> Result<Asked, ApiError> {
    let Value::Object(object) = body else { panic!("not an object") };
    Asked::parse(object, &Manner { form, wait: None, fail_http: false, deltas: None, after: 0 })
}

#[test]
fn every_field_is_understood() {
    let asked = parse(json!({
        "prompt": "-p", "cwd": "a", "max_turns": 50, "agent": "reviewer", "system_prompt": "s", "model": "opus",
        "allowed_tools": "Read, Edit", "permission_mode": "plan", "session_id": "00000000-0000-0000-0000-000000000007",
        "output_schema": {"type": "object"}, "expand": true, "deltas": true, "on_disconnect": "continue",
        "timeout_seconds": 60, "metadata": {"team.a_b-1": "x"}, "write_root": "a/b",
        "additional_folders": [{"path": "lib"}, {"path": "out", "writable": true}], "max_budget_usd": 0.5, "priority": "high",
    }))
    .unwrap();
    insta::assert_snapshot!(serde_json::to_string(&asked.request).unwrap(), @r#"{"prompt":"-p","content":[],"cwd":"a","resume":"00000000-0000-0000-0000-000000000007","permission_mode":"plan","allowed_tools":["Read","Edit"],"agent":"reviewer","model":"opus","max_turns":50,"system_prompt":"s","output_schema":{"type":"object"},"expand":true,"deltas":true,"timeout_seconds":60,"write_root":"a/b","additional_folders":[{"path":"lib","writable":false},{"path":"out","writable":true}],"max_budget_usd":0.5,"priority":"high","append_system_prompt":null,"tools":null,"disallowed_tools":[],"effort":null,"fallback_models":[],"agents":{},"mcp_servers":[],"env":[],"profile":null,"idle_timeout_seconds":null,"queue_timeout_seconds":null,"fork_session":false}"#);
    assert_eq!(
        (asked.on_disconnect, asked.metadata),
        (OnDisconnect::Continue, vec![("team.a_b-1".into(), "x".into())])
    );
}

#[test]
fn what_is_wrong_with_a_folder_names_it() {
    let many = vec![json!({"path": "a"}); 17];
    for (field, value, part) in [
        ("write_root", json!(1), "write_root must be a string"),
        ("write_root", json!(""), "write_root must not be empty; `.` is the workspace root"),
        ("write_root", json!("/etc"), "write_root must be relative to the workspace root"),
        ("write_root", json!("a/../b"), "write_root must not contain `..`"),
        ("write_root", json!("a\nb"), "write_root must not have control characters"),
        ("additional_folders", json!({}), "additional_folders must be a list"),
        ("additional_folders", json!([["a"]]), "additional_folders[0] must be a path, or an object with a path"),
        ("additional_folders", json!(many), "additional_folders has 17 folders; at most 16 are allowed"),
        ("additional_folders", json!([{"path": "a"}, {}]), "additional_folders[1].path is missing"),
        ("additional_folders", json!([{"path": 1}]), "additional_folders[0].path must be a string"),
        ("additional_folders", json!([{"path": "../a"}]), "additional_folders[0].path must not contain `..`"),
        ("additional_folders", json!([{"path": "/a"}]), "additional_folders[0].path must be relative"),
        ("additional_folders", json!([{"path": "a", "writable": 1}]), "[0].writable must be true or false"),
        (
            "additional_folders",
            json!([{"path": "a", "mode": "rw"}]),
            "additional_folders[0] has no field `mode`; the fields are path, writable",
        ),
    ] {
        let error = parse(json!({"prompt": "x", field: value})).err().unwrap();
        assert!(error.message().contains(part), "{}", error.message());
        assert!(error.at_fault().unwrap().starts_with(field), "{error:?}");
    }
}

#[test]
fn what_is_left_out_is_plain() {
    let Asked { request, secrets, on_disconnect, metadata } = parse(json!({"prompt": "x"})).unwrap();
    assert!(!request.expand && !request.deltas && secrets.is_empty());
    assert_eq!((on_disconnect, metadata), (OnDisconnect::Continue, vec![]));
}

#[test]
fn the_names_of_ask_are_aliases_where_they_mean_the_same() {
    let asked = parse(json!({"prompt": "x", "resume": "00000000-0000-0000-0000-000000000007", "json_schema": {}}));
    let request = asked.unwrap().request;
    assert_eq!((request.resume, request.output_schema), (Some(Uuid::from_u128(7)), Some(json!({}))));
    let labelled = parse(json!({"prompt": "x", "labels": {"team": "a"}})).unwrap();
    assert_eq!(labelled.metadata, [("team".to_owned(), "a".to_owned())]);
}

#[test]
fn what_is_wrong_names_the_field() {
    let id = "00000000-0000-0000-0000-000000000007";
    let many: Map<_, _> = (0..17).map(|n| (n.to_string(), json!(""))).collect();
    let table = [
        (json!({}), "prompt", "prompt is missing"),
        (
            json!({"prompt": "x", "maxTurns": 1}),
            "maxTurns",
            "there is no field `maxTurns`; it is called `max_turns` here",
        ),
        (
            json!({"prompt": "x", "stream": true}),
            "stream",
            "there is no field `stream`; a stream is asked for by the header accept",
        ),
        (json!({"prompt": "x", "efort": "x"}), "efort", "there is no field `efort`; did you mean `effort`?"),
        (
            json!({"prompt": "x", "colour": "x"}),
            "colour",
            "there is no field `colour`; the fields are prompt, content, cwd",
        ),
        (json!({"prompt": "x", "max_turns": 51}), "max_turns", "max_turns must be from 1 to 50"),
        (json!({"prompt": "x", "system_prompt": 1}), "system_prompt", "system_prompt must be a string"),
        (json!({"prompt": "x", "model": null}), "model", "model must be a string"),
        (json!({"prompt": "x", "session_id": "last"}), "session_id", "session_id must be a session's id"),
        (json!({"prompt": "x", "resume": "last"}), "resume", "resume must be a session's id"),
        (json!({"prompt": "x", "resume": id, "session_id": id}), "resume", "resume is another name of session_id"),
        (json!({"prompt": "x", "json_schema": {}, "output_schema": {}}), "json_schema", "json_schema is another name"),
        (json!({"prompt": "x", "json_schema": 1}), "json_schema", "json_schema must be an object"),
        (json!({"prompt": "x", "timeout_seconds": 0}), "timeout_seconds", "timeout_seconds must be at least 1"),
        (json!({"prompt": "x", "expand": "yes"}), "expand", "expand must be true or false"),
        (json!({"prompt": "x", "on_disconnect": "stop"}), "on_disconnect", "on_disconnect must be cancel or continue"),
        (
            json!({"prompt": "x", "on_disconnect": "cancel"}),
            "on_disconnect",
            "on_disconnect cancel needs a client that stays",
        ),
        (json!({"prompt": "x", "metadata": {"a b": "x"}}), "metadata.a b", "metadata.a b must have a name of 1 to 64"),
        (json!({"prompt": "x", "metadata": {"a": 1}}), "metadata.a", "metadata.a must be a string"),
        (
            json!({"prompt": "x", "metadata": {"a": "x".repeat(513)}}),
            "metadata.a",
            "metadata.a has 513 characters; at most 512",
        ),
        (json!({"prompt": "x", "metadata": {"a": "\0"}}), "metadata.a", "metadata.a must not have control characters"),
        (json!({"prompt": "x", "metadata": many}), "metadata", "metadata has 17 entries"),
        (json!({"prompt": "x", "labels": {"a": 1}}), "labels.a", "labels.a must be a string"),
        (json!({"prompt": "x", "labels": {}, "metadata": {}}), "labels", "labels is another name of metadata"),
    ];
    for (body, param, expected) in table {
        let error = parse(body).map(|_| ()).unwrap_err();
        assert!(error.message().starts_with(expected), "{error:?}");
        assert_eq!(error.at_fault(), Some(param), "{error:?}");
    }
}

#[test]
fn a_client_that_stays_may_take_its_run_with_it() {
    let body = json!({"prompt": "x", "on_disconnect": "cancel"});
    assert_eq!(parse_for(body, Form::Stream(Wire::Sse)).unwrap().on_disconnect, OnDisconnect::Cancel);
}
