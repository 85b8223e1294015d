//! The CLI's messages.

use serde_json::{Value, json};

pub(crate) fn reply(request_id: &str, body: &Value) -> Value {
    json!({"type": "control_response", "response": {"subtype": "success", "request_id": request_id, "response": body}})
}

pub(crate) fn refusal(request_id: &str, reason: &str) -> Value {
    json!({"type": "control_response", "response": {"subtype": "error", "request_id": request_id, "error": reason}})
}

pub(crate) fn assistant(session: &str, text: &str) -> Value {
    json!({
        "type": "assistant",
        "message": {"id": "msg_fake", "role": "assistant", "content": [{"type": "text", "text": text}]},
        "parent_tool_use_id": null,
        "session_id": session,
    })
}

/// As the command line says.
pub(crate) fn init(session: &str, cwd: &str, model: Option<&str>, mode: Option<&str>) -> Value {
    let model = model.map_or_else(|| "fake".to_owned(), |model| format!("claude-{model}-0"));
    json!({
        "type": "system", "subtype": "init", "session_id": session, "cwd": cwd, "tools": [], "mcp_servers": [],
        "model": model, "permissionMode": mode.unwrap_or("acceptEdits"), "claude_code_version": "2.1.330",
    })
}

pub(crate) fn state(session: &str, state: &str) -> Value {
    json!({"type": "system", "subtype": "session_state_changed", "state": state, "session_id": session})
}

pub(crate) fn lifecycle(session: &str, input: &str, state: &str) -> Value {
    json!({"type": "command_lifecycle", "command_uuid": input, "state": state, "session_id": session})
}

/// `argument` is the type and description of the only task, or empty.
pub(crate) fn background(session: &str, argument: &str) -> Value {
    let task = argument.split_once(' ').map(|(kind, description)| {
        json!({"task_id": "task_1", "task_type": kind, "description": description, "is_backgrounded": true})
    });
    let tasks: Vec<Value> = task.into_iter().collect();
    json!({"type": "system", "subtype": "background_tasks_changed", "tasks": tasks, "session_id": session})
}

/// A successful result, with fields changed: those of an object, or `result` by a text.
pub(crate) fn result(session: &str, change: &str) -> Value {
    let mut result = json!({
        "type": "result", "subtype": "success", "is_error": false, "result": "done", "session_id": session,
        "num_turns": 1, "duration_ms": 1, "duration_api_ms": 1, "total_cost_usd": 0.0, "usage": {}, "modelUsage": {},
        "permission_denials": [], "terminal_reason": "completed", "stop_reason": "end_turn",
    });
    match serde_json::from_str(change) {
        Ok(Value::Object(fields)) => {
            for (name, value) in fields {
                if value.is_null() {
                    result.as_object_mut().map(|result| result.remove(&name));
                } else {
                    result[name] = value;
                }
            }
        }
        _ => result["result"] = change.into(),
    }
    result
}

pub(crate) fn startup_failure(session: &str, reason: &str) -> Value {
    let failed = json!({
        "subtype": "error_during_execution", "is_error": true, "result": null, "num_turns": 0,
        "errors": [format!("cannot start: {reason}")], "startup_failure_reason": reason,
    });
    result(session, &failed.to_string())
}

pub(crate) fn aborted(session: &str) -> Value {
    let aborted = json!({
        "subtype": "error_during_execution", "is_error": true, "result": null, "terminal_reason": "aborted_streaming",
        "errors": ["Request was aborted."],
    });
    result(session, &aborted.to_string())
}

pub(crate) fn unknown_session(session: &str) -> Value {
    let unknown = json!({
        "subtype": "error_during_execution", "is_error": true, "result": null, "num_turns": 0,
        "errors": [format!("No conversation found with session ID: {session}")],
    });
    result(session, &unknown.to_string())
}
