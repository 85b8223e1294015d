//! Questions to the server's guard, right ones and others.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// One question. `kind` says what is wrong with it; `right` for nothing, `twice` for a call that was asked about before.
pub(crate) fn question(number: usize, kind: &str, callback: &str, command: &str) -> Value {
    let tool = if kind == "unknown-tool" { "Other" } else { "Bash" };
    let call = if kind == "twice" { "call".to_owned() } else { format!("call-{number}") };
    let input = match kind {
        "malformed" => json!({"command": command}),
        "no-text" => json!({"hook_event_name": "PreToolUse", "tool_name": tool, "tool_input": {"command": [command]}}),
        _ => json!({"hook_event_name": "PreToolUse", "tool_name": tool, "tool_input": {"command": command}}),
    };
    let callback = if kind == "unknown-id" { "other" } else { callback };
    let request = json!({"subtype": "hook_callback", "callback_id": callback, "input": input, "tool_use_id": call});
    json!({"type": "control_request", "request_id": format!("hook-{number}"), "request": request})
}

/// The answers so far, counted by what they say.
#[derive(Default)]
pub(crate) struct Answers {
    counts: BTreeMap<&'static str, usize>,
}

impl Answers {
    pub(crate) fn add(&mut self, message: &Value) {
        let response = &message["response"];
        if !response["request_id"].as_str().is_some_and(|id| id.starts_with("hook-")) {
            return;
        }
        let kind = match response["response"]["hookSpecificOutput"]["permissionDecision"].as_str() {
            _ if response["subtype"] != "success" => "error",
            Some("deny") => "deny",
            Some(_) => "other",
            None => "pass",
        };
        *self.counts.entry(kind).or_default() += 1;
    }

    pub(crate) fn len(&self) -> usize {
        self.counts.values().sum()
    }

    pub(crate) fn text(&self) -> String {
        json!(self.counts).to_string()
    }
}
