//! Examples of requests and answers. A test of the suite sends each request to a server; another one holds each answer
//! against its schema.

use serde_json::{Value, json};

use super::each_operation;

const RUN: &str = "run_0199f3a1-0000-7000-8000-000000000001";
const SESSION: &str = "0b8e7f0a-1d1f-4c5e-9b7f-2f6f4f0e3c11";
const KEY: &str = "key_0199f3a1-0000-7000-8000-000000000002";
const UPLOAD: &str = "upl_0199f3a1-0000-7000-8000-000000000003";
const CHANGE: &str = "chg_0199f3a1-0000-7000-8000-000000000004";
const TAG: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

const AGENT: &str = "---\nname: reviewer\ndescription: Reviews changes.\n---\nYou review changes.\n";

/// Where an example belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The body of a request.
    Request,
    /// The body of the answer with this status.
    Answer(u16),
}
use Place::{Answer, Request};

/// Puts them where they belong.
pub(super) fn show(document: &mut Value) {
    let examples: Vec<_> = requests().into_iter().chain(answers()).collect();
    each_operation(document, |_, _, operation| {
        let id = operation.get("operationId").and_then(Value::as_str).unwrap_or_default().to_owned();
        for (_, place, summary, value) in examples.iter().filter(|(of, ..)| *of == id) {
            let body = match place {
                Request => operation.get_mut("requestBody"),
                Answer(status) => operation.get_mut("responses").map(|all| &mut all[status.to_string()]),
            };
            let Some(content) = body.and_then(|body| body.get_mut("content")?.get_mut("application/json")) else {
                continue;
            };
            let name = summary.to_lowercase().replace(' ', "_");
            content["examples"][name] = json!({"summary": summary, "value": value});
        }
    });
}

/// How many there are.
#[cfg(test)]
pub(super) fn count() -> usize {
    requests().len() + answers().len()
}

type Example = (&'static str, Place, &'static str, Value);

/// In an order in which a fresh server takes them.
fn requests() -> Vec<Example> {
    vec![
        ("create_answer", Request, "A question", json!({"prompt": "Say hello."})),
        (
            "create_answer",
            Request,
            "A stream with a tool",
            json!({"prompt": "What is in this folder?", "stream": true, "maxTurns": 5, "allowedTools": ["Bash(ls:*)"]}),
        ),
        ("create_run", Request, "A run", json!({"prompt": "Say hello."})),
        (
            "create_run",
            Request,
            "A run with bounds",
            json!({"prompt": "Say hello.", "max_turns": 10, "timeout_seconds": 600, "max_budget_usd": 0.5,
                "permission_mode": "plan", "tools": ["Read", "Grep"], "metadata": {"job": "4711"}}),
        ),
        (
            "create_run",
            Request,
            "A picture",
            json!({"content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
            ]}),
        ),
        (
            "create_run",
            Request,
            "An answer in a form",
            json!({"prompt": "How many files are there?", "output_schema": {
                "type": "object", "properties": {"files": {"type": "integer"}}, "required": ["files"]}}),
        ),
        ("create_input", Request, "A further message", json!({"message": "And in French?", "priority": "next"})),
        (
            "create_key",
            Request,
            "A key for a job",
            json!({"name": "ci", "scopes": ["ask", "runs:read", "runs:write"],
                "policy": {"max_concurrent": 2, "max_usd_per_run": 1, "max_usd_per_day": 20},
                "expires_at": "2099-01-31T00:00:00Z"}),
        ),
        ("update_key", Request, "Another name", json!({"name": "nightly"})),
        ("rotate_key", Request, "With an overlap", json!({"overlap_seconds": 3600})),
        ("revoke_key", Request, "Let its runs end", json!({"runs": "keep"})),
        ("put_legacy_document", Request, "An agent", json!({"content": AGENT})),
        ("put_claude_md", Request, "A text", json!({"content": "Answer briefly.\n"})),
        ("put_single_document", Request, "Settings", json!({"content": {"permissions": {"deny": ["WebFetch"]}}})),
        ("put_document", Request, "An agent", json!({"content": AGENT})),
        (
            "put_mcp_server",
            Request,
            "A server",
            json!({"content": {"type": "http", "url": "https://tracker.example.com/mcp"}}),
        ),
        ("validate_config", Request, "A document", json!({"kind": "agents", "name": "reviewer", "content": AGENT})),
        ("validate_config", Request, "Everything there is", json!({})),
    ]
}

/// The smallest picture that there is.
const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

fn run(state: &str) -> Value {
    let ended = state == "completed";
    let time = |time: &str| if ended { json!(format!("2026-11-23T09:30:0{time}Z")) } else { Value::Null };
    json!({
        "type": "run", "id": RUN, "key": KEY, "state": state, "session_id": SESSION, "workspace": "shop", "cwd": "shop",
        "metadata": {"job": "4711"}, "options": {"prompt": "Say hello.", "max_turns": 10}, "on_disconnect": "continue",
        "created_at": "2026-11-23T09:30:00.000Z", "started_at": time("0.004"), "finished_at": time("2.150"),
        "queued_ms": if ended { json!(4) } else { Value::Null },
        "first_event_ms": if ended { json!(410) } else { Value::Null },
        "duration_ms": if ended { json!(2150) } else { Value::Null },
        "cli_version": if ended { json!("2.1.330") } else { Value::Null },
        "isolation": null, "last_seq": if ended { 9 } else { 1 },
        "result_seq": if ended { json!(8) } else { Value::Null },
        "permission_denials": {"count": 0}, "warnings": [],
        "cost_usd": if ended { json!(0.0123) } else { Value::Null }, "usage": null,
        "result": if ended { json!("Hello!") } else { Value::Null }, "partial_result": null, "structured_output": null,
        "error": null,
    })
}

fn key() -> Value {
    json!({
        "type": "key", "id": KEY, "name": "ci", "valid": true, "scopes": ["ask", "runs:read", "runs:write"],
        "policy": {"max_concurrent": 2}, "created_at": "2026-11-23T09:00:00.000Z", "created_by": "admin",
        "expires_at": null, "revoked_at": null, "previous_secret_expires_at": null, "last_used_at": null,
        "last_used_address": null,
    })
}

fn answers() -> Vec<Example> {
    let written = json!({
        "type": "config_written", "kind": "agents", "name": "reviewer", "workspace": null, "outcome": "created", "etag": TAG,
        "change": CHANGE, "warnings": [],
    });
    let mut made = key();
    made["key"] = json!("askd_…");
    made["warnings"] = json!([]);
    vec![
        (
            "create_answer",
            Answer(200),
            "An answer",
            json!({"type": "result", "subtype": "success", "is_error": false, "result": "Hello!", "session_id": SESSION}),
        ),
        ("create_run", Answer(202), "A run that waits", run("queued")),
        ("create_run", Answer(200), "A run that has ended", run("completed")),
        ("get_run", Answer(200), "A run that has ended", run("completed")),
        ("list_runs", Answer(200), "The only run", json!({"data": [listed()], "next_page": null})),
        (
            "list_events",
            Answer(200),
            "The first events",
            json!({"data": [
                {"seq": 1, "run_id": RUN, "type": "run.queued", "time": "2026-11-23T09:30:00.000Z", "data": {}},
                {"seq": 2, "run_id": RUN, "type": "run.state", "time": "2026-11-23T09:30:00.004Z",
                    "data": {"state": "running"}},
            ], "next_page": "2", "last_seq": 9}),
        ),
        (
            "create_stream_token",
            Answer(201),
            "A token",
            json!({"type": "stream_token", "token": "5f3c…", "expires_at": "2026-11-23T09:35:00.000Z",
                "url": format!("/v1/runs/{RUN}/events?token=5f3c…")}),
        ),
        ("interrupt_run", Answer(202), "Taken", json!({"type": "interrupt", "run_id": RUN})),
        (
            "create_input",
            Answer(202),
            "Taken",
            json!({"type": "input", "id": "6a3f6a52-5d60-4a8e-8f7c-6f0d8a1f2b11", "run_id": RUN, "priority": "next"}),
        ),
        ("create_key", Answer(201), "The key with its secret", made),
        ("get_key", Answer(200), "A key", key()),
        ("list_keys", Answer(200), "The only key", json!({"data": [key()], "next_page": null})),
        (
            "create_upload",
            Answer(201),
            "An upload",
            json!({"type": "upload", "id": UPLOAD, "key": KEY, "media_type": "image/png", "name": "plan.png", "size": 70,
                "sha256": TAG, "created_at": "2026-11-23T09:30:00.000Z", "expires_at": "2026-11-24T09:30:00.000Z"}),
        ),
        ("put_document", Answer(201), "A new agent", written),
        (
            "list_legacy_documents",
            Answer(200),
            "The only agent",
            json!({"items": [{"name": "reviewer", "description": "Reviews changes."}], "count": 1, "total": 1, "limit": 50,
                "offset": 0}),
        ),
        (
            "get_health",
            Answer(200),
            "An idle server",
            json!({"status": "ok", "version": env!("CARGO_PKG_VERSION"), "concurrency": {"active": 0, "max": 3, "queued": 0}}),
        ),
        (
            "list_usage",
            Answer(200),
            "One day",
            json!({"type": "usage", "group_by": "day", "from": "2026-11-23", "to": "2026-11-23", "estimate": true,
                "data": [{"day": "2026-11-23", "runs": 1, "input_tokens": 10, "output_tokens": 5,
                    "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0, "web_search_requests": 0,
                    "cost_usd": 0.0123}],
                "next_page": null, "budget": null}),
        ),
    ]
}

/// A run in a list.
fn listed() -> Value {
    let mut run = run("completed");
    for long in ["result", "partial_result", "structured_output", "warnings"] {
        run.as_object_mut().map(|run| run.remove(long));
    }
    run
}
