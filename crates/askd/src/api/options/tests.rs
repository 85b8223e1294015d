//! What each option of `POST /v1/runs` may be, and what is said of the rest.

use proptest::prelude::*;
use secrecy::ExposeSecret;
use serde_json::{Map, json};

use super::super::dialect::RUNS;
use super::*;
use crate::runs::request::RunRequest;

mod contents;
mod right;
mod wrong;

fn parse(body: Value) -> Result<(RunRequest, RunSecrets), ApiError> {
    let Value::Object(object) = body else { panic!("not an object") };
    run_request(&mut Fields::new(object, &RUNS, false)?, Route::Runs)
}

/// With a prompt, and one field besides.
#[expect(clippy::needless_pass_by_value, reason = "a test gives it a literal")]
fn with(field: &str, value: Value) -> Result<(RunRequest, RunSecrets), ApiError> {
    parse(json!({"prompt": "x", field: value}))
}

/// What is wrong with a request: the field at fault, and the message.
#[expect(clippy::needless_pass_by_value, reason = "a test gives it a literal")]
fn complaint(body: Value) -> (String, String) {
    let error = parse(body.clone()).map(|_| ()).expect_err(&body.to_string());
    (error.at_fault().unwrap_or_default().to_owned(), error.message().to_owned())
}

/// JSON of any form, not too deep.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~äß\\n]{0,12}".prop_map(Value::from),
        prop::sample::select(vec![
            "text",
            "image",
            "document",
            "base64",
            "upload",
            "image/png",
            "application/pdf",
            "text/plain",
            "R0lGODlh",
            "Read",
            "Bash(git:*)",
            "mcp__s",
            "stdio",
            "http",
            "https://example.com",
            "opus",
            "low",
            "plan",
            "bare",
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let keys = prop::sample::select(vec![
            "type",
            "text",
            "source",
            "media_type",
            "data",
            "upload_id",
            "title",
            "context",
            "description",
            "prompt",
            "tools",
            "model",
            "command",
            "args",
            "env",
            "url",
            "headers",
            "path",
            "writable",
            "reviewer",
            "s",
            "A_B",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((keys, inner), 0..4).prop_map(|members| {
                Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
            }),
        ]
    })
}

fn any_request() -> impl Strategy<Value = Map<String, Value>> {
    let fields = prop::sample::select(vec![
        "prompt",
        "content",
        "tools",
        "disallowed_tools",
        "allowed_tools",
        "effort",
        "fallback_model",
        "add_dirs",
        "agents",
        "mcp_servers",
        "env",
        "profile",
        "timeout_seconds",
        "idle_timeout_seconds",
        "queue_timeout_seconds",
        "fork_session",
        "session_id",
        "agent",
        "model",
        "append_system_prompt",
        "system_prompt",
        "expand",
    ]);
    prop::collection::vec((fields, anything()), 0..5).prop_map(|fields| {
        let mut request = Map::from_iter([("prompt".to_owned(), Value::from("x"))]);
        request.extend(fields.into_iter().map(|(name, value)| (name.to_owned(), value)));
        if request.contains_key("content") {
            request.remove("prompt");
        }
        request
    })
}

proptest! {
    #[test]
    fn no_request_is_too_odd_and_what_is_taken_is_stored_whole(request in any_request()) {
        match parse(Value::Object(request)) {
            Ok((taken, secrets)) => {
                let stored = taken.to_stored().unwrap();
                prop_assert_eq!(RunRequest::from_stored(&stored).unwrap(), taken);
                for value in secrets.env.values().map(ExposeSecret::expose_secret).filter(|value| value.len() > 8) {
                    prop_assert!(!stored.contains(value));
                }
            }
            Err(error) => prop_assert!(error.at_fault().is_some(), "{error:?}"),
        }
    }
}
