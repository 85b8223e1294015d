//! What is written on the CLI's stdin: one JSON object a line, returned without the newline.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::managed::ManagedSettings;

/// The request id of the `initialize` request; its reply carries it back.
pub const INITIALIZE_ID: &str = "askd-initialize";

/// What the request id of an `interrupt` request begins with.
pub const INTERRUPT_ID: &str = "askd-interrupt";

/// The name of the hook by which the CLI asks before it calls a tool.
pub const GUARD_ID: &str = "askd-guard";

/// For [`Initialize::guarded_tools`]: the CLI asks before every call, those of MCP servers included (checked).
pub const EVERY_TOOL: &[&str] = &[""];

/// The request id of [`held_question`]; its reply carries it back.
pub const HELD_ID: &str = "askd-held";

/// For how long the CLI waits for an answer of the guard, in seconds; then it does not call the tool (checked).
const GUARD_TIMEOUT: u32 = 60;

/// What `initialize` carries, so that none of it stands in argv.
#[derive(Debug, Default, Clone, Copy)]
pub struct Initialize<'a> {
    /// Replaces the CLI's own system prompt.
    pub system_prompt: Option<&'a str>,
    /// Follows the system prompt.
    pub append_system_prompt: Option<&'a str>,
    /// Agents by name, besides those of files, in the CLI's own form.
    pub agents: Option<&'a Map<String, Value>>,
    /// The schema of the answer. The CLI silently ignores an invalid one (checked): validate it first.
    pub json_schema: Option<&'a Value>,
    /// The tools before whose calls the CLI asks ([`crate::reply::guarded_call`]); none, and it does not ask. It asks in every
    /// permission mode, also in subagents and with `disableAllHooks`, and no other hook outvotes a refusal (checked).
    pub guarded_tools: &'a [&'a str],
    /// MCP servers by name, in the form of `.mcp.json`. The CLI reads them only with `--await-initialize` (checked).
    pub mcp_servers: Option<&'a Map<String, Value>>,
    /// What the run is held to. The CLI reads it only with `--managed-settings-in-initialize`.
    pub managed_settings: Option<&'a ManagedSettings>,
}

/// The first message to a new process.
pub fn initialize(options: Initialize<'_>) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        subtype: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        system_prompt: Option<[&'a str; 1]>,
        #[serde(skip_serializing_if = "Option::is_none")]
        append_system_prompt: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        agents: Option<&'a Map<String, Value>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        json_schema: Option<&'a Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        hooks: Option<Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        mcp_servers: Option<&'a Map<String, Value>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        managed_settings: Option<&'a ManagedSettings>,
    }
    // Without `onFailure` an answer that the CLI does not understand counts as a yes (checked).
    let hook = || {
        let matcher = options.guarded_tools.join("|");
        json!({"matcher": matcher, "hookCallbackIds": [GUARD_ID], "timeout": GUARD_TIMEOUT, "onFailure": "block"})
    };
    control_request(
        INITIALIZE_ID,
        &Body {
            subtype: "initialize",
            system_prompt: options.system_prompt.map(|text| [text]),
            append_system_prompt: options.append_system_prompt,
            agents: options.agents,
            json_schema: options.json_schema,
            hooks: (!options.guarded_tools.is_empty()).then(|| json!({"PreToolUse": [hook()]})),
            mcp_servers: options.mcp_servers,
            managed_settings: options.managed_settings,
        },
    )
}

/// Asks for the rules that are in force, and with them whether managed settings count: [`crate::reply::is_held`].
pub fn held_question() -> String {
    control_request(HELD_ID, &json!({"subtype": "list_permission_rules"}))
}

/// Ends the current turn; the CLI answers with a `result` whose `terminal_reason` is `aborted_…`. `number` makes its id
/// one of its own.
pub fn interrupt(number: u32) -> String {
    #[derive(Serialize)]
    struct Body<'a> {
        subtype: &'a str,
    }
    control_request(&format!("{INTERRUPT_ID}-{number}"), &Body { subtype: "interrupt" })
}

/// What a message of the user says.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub enum Content<'a> {
    /// One text.
    Text(&'a str),
    /// Blocks in the form of the Messages API.
    Blocks(&'a [Value]),
    /// The same as JSON, a list: what is large is written once.
    Written(&'a RawValue),
}

/// A message of the user. `uuid` comes back in `command_lifecycle`, which says when it has been worked on.
///
/// `expand` lets the CLI expand `@path` mentions and `/commands` in it; otherwise the text is taken as it stands.
/// `priority` (`now`, `next` or `later`) is for a message in the middle of a turn.
pub fn user_message(content: Content<'_>, uuid: Uuid, expand: bool, priority: Option<&str>) -> String {
    #[derive(Serialize)]
    struct Message<'a> {
        role: &'a str,
        content: Content<'a>,
    }
    #[derive(Serialize)]
    struct User<'a> {
        r#type: &'a str,
        uuid: Uuid,
        message: Message<'a>,
        parent_tool_use_id: Option<()>,
        #[serde(skip_serializing_if = "Option::is_none")]
        priority: Option<&'a str>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        client_composed: bool,
    }
    encode(&User {
        r#type: "user",
        uuid,
        message: Message { role: "user", content },
        parent_tool_use_id: None,
        priority,
        client_composed: !expand,
    })
}

/// The refusal of a request that the CLI makes of us and that this server does not answer.
pub fn refuse(request_id: &str, reason: &str) -> String {
    #[derive(Serialize)]
    struct Response<'a> {
        subtype: &'a str,
        request_id: &'a str,
        error: &'a str,
    }
    #[derive(Serialize)]
    struct Envelope<'a> {
        r#type: &'a str,
        response: Response<'a>,
    }
    encode(&Envelope { r#type: "control_response", response: Response { subtype: "error", request_id, error: reason } })
}

/// The answer to [`crate::reply::guarded_call`]: no objection, or the reason of a refusal, which the model reads.
pub fn guard_answer(request_id: &str, refusal: Option<&str>) -> String {
    let answer = refusal.map_or_else(
        || json!({}),
        |reason| {
            let decision =
                json!({"hookEventName": "PreToolUse", "permissionDecision": "deny", "permissionDecisionReason": reason});
            json!({"hookSpecificOutput": decision})
        },
    );
    let response = json!({"subtype": "success", "request_id": request_id, "response": answer});
    encode(&json!({"type": "control_response", "response": response}))
}

pub(crate) fn control_request(request_id: &str, request: &impl Serialize) -> String {
    #[derive(Serialize)]
    struct Envelope<'a, T> {
        r#type: &'a str,
        request_id: &'a str,
        request: &'a T,
    }
    encode(&Envelope { r#type: "control_request", request_id, request })
}

fn encode(message: &impl Serialize) -> String {
    // Only strings, ids and already valid JSON are serialised here, which cannot fail.
    serde_json::to_string(message).expect("strings and JSON values always serialise")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initialize_carries_only_what_is_given() {
        insta::assert_snapshot!(initialize(Initialize::default()),
            @r#"{"type":"control_request","request_id":"askd-initialize","request":{"subtype":"initialize"}}"#);
        let schema = serde_json::json!({"type": "object"});
        let options =
            Initialize { system_prompt: Some("Be brief.\n"), json_schema: Some(&schema), ..Initialize::default() };
        insta::assert_snapshot!(initialize(options),
            @r#"{"type":"control_request","request_id":"askd-initialize","request":{"subtype":"initialize","systemPrompt":["Be brief.\n"],"jsonSchema":{"type":"object"}}}"#);
    }

    #[test]
    fn the_cli_is_told_to_ask_and_to_take_silence_for_a_no() {
        let options = Initialize { guarded_tools: &["Bash", "Monitor"], ..Initialize::default() };
        insta::assert_snapshot!(initialize(options),
            @r#"{"type":"control_request","request_id":"askd-initialize","request":{"subtype":"initialize","hooks":{"PreToolUse":[{"hookCallbackIds":["askd-guard"],"matcher":"Bash|Monitor","onFailure":"block","timeout":60}]}}}"#);
        insta::assert_snapshot!(guard_answer("r1", None),
            @r#"{"response":{"request_id":"r1","response":{},"subtype":"success"},"type":"control_response"}"#);
        insta::assert_snapshot!(guard_answer("r1", Some("not here")),
            @r#"{"response":{"request_id":"r1","response":{"hookSpecificOutput":{"hookEventName":"PreToolUse","permissionDecision":"deny","permissionDecisionReason":"not here"}},"subtype":"success"},"type":"control_response"}"#);
        let servers = json!({"one": {"command": "x"}});
        let options = Initialize { mcp_servers: servers.as_object(), ..Initialize::default() };
        insta::assert_snapshot!(initialize(options),
            @r#"{"type":"control_request","request_id":"askd-initialize","request":{"subtype":"initialize","mcpServers":{"one":{"command":"x"}}}}"#);
    }

    #[test]
    fn a_prompt_is_one_line_whatever_it_holds() {
        let line = user_message(Content::Text("--flag\n/config"), Uuid::nil(), false, None);
        insta::assert_snapshot!(line, @r#"{"type":"user","uuid":"00000000-0000-0000-0000-000000000000","message":{"role":"user","content":"--flag\n/config"},"parent_tool_use_id":null,"client_composed":true}"#);
        assert!(!line.contains('\n'));
        let further = user_message(Content::Text("x"), Uuid::nil(), true, Some("later"));
        assert!(!further.contains("client_composed") && further.contains(r#""priority":"later""#));
    }

    #[test]
    fn blocks_that_are_written_already_are_the_same_line() {
        let blocks = [json!({"type": "text", "text": "x\n"})];
        let written = serde_json::value::to_raw_value(&blocks).unwrap();
        let line = |content| user_message(content, Uuid::nil(), false, None);
        assert_eq!(line(Content::Written(&written)), line(Content::Blocks(&blocks)));
    }

    #[test]
    fn interrupt_and_refusal() {
        insta::assert_snapshot!(interrupt(3), @r#"{"type":"control_request","request_id":"askd-interrupt-3","request":{"subtype":"interrupt"}}"#);
        insta::assert_snapshot!(refuse("r1", "no"), @r#"{"type":"control_response","response":{"subtype":"error","request_id":"r1","error":"no"}}"#);
    }
}
