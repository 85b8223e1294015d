//! The reply to `initialize`: what the CLI found before the first prompt.

use serde::Deserialize;
use serde_json::Value;

use crate::frame::Frame;
use crate::input::{GUARD_ID, HELD_ID, INITIALIZE_ID};

/// What of the reply a server needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Initialized {
    /// Names of the agents that can be used.
    pub agents: Vec<String>,
    /// Where the CLI found an API key; `None` when it found none.
    pub api_key_source: Option<String>,
    /// Whether it will ask before calls of tools; `None` when it was not told to, or does not say.
    pub hooks_applied: Option<bool>,
    /// Whether it took the MCP servers that it was given; `None` as above.
    pub mcp_servers_applied: Option<bool>,
    /// Whether it took the settings that it was given to be held to; `None` as above.
    pub managed_settings_applied: Option<bool>,
}

/// A call of a tool that waits for the guard's answer ([`crate::input::guard_answer`]).
#[derive(Debug, Clone, PartialEq)]
pub struct GuardedCall {
    /// For the answer.
    pub request_id: String,
    /// `Bash`, …
    pub tool: String,
    /// What the tool is given.
    pub input: Value,
    /// The call's own id, which the model's message has.
    pub tool_use_id: Option<String>,
    /// The permission mode of whoever calls: a subagent may have another one than the conversation (checked).
    pub permission_mode: Option<String>,
}

/// An entry among the MCP servers that the CLI leaves out.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SkippedServer {
    /// Its name.
    pub name: String,
    /// In the CLI's words.
    #[serde(default)]
    pub message: String,
}

/// The reply, or the CLI's refusal; `None` when the frame is something else.
pub fn initialized(frame: &Frame) -> Option<Result<Initialized, String>> {
    #[derive(Deserialize)]
    struct Envelope {
        response: Response,
    }
    #[derive(Deserialize)]
    struct Response {
        subtype: String,
        request_id: String,
        #[serde(default)]
        error: Option<String>,
        #[serde(default, rename = "response")]
        body: Option<Body>,
    }
    #[derive(Deserialize, Default)]
    struct Body {
        #[serde(default)]
        agents: Vec<Agent>,
        #[serde(default)]
        account: Account,
        #[serde(default)]
        hooks_applied: Option<bool>,
        #[serde(default)]
        mcp_servers_applied: Option<bool>,
        #[serde(default)]
        managed_settings_applied: Option<bool>,
    }
    #[derive(Deserialize)]
    struct Agent {
        name: String,
    }
    #[derive(Deserialize, Default)]
    struct Account {
        #[serde(default, rename = "apiKeySource")]
        api_key_source: Option<String>,
    }

    if frame.kind != "control_response" {
        return None;
    }
    let response = frame.body::<Envelope>()?.response;
    if response.request_id != INITIALIZE_ID {
        return None;
    }
    if response.subtype != "success" {
        return Some(Err(response.error.unwrap_or_else(|| "no reason given".into())));
    }
    let body = response.body.unwrap_or_default();
    Some(Ok(Initialized {
        agents: body.agents.into_iter().map(|agent| agent.name).collect(),
        api_key_source: body.account.api_key_source.filter(|source| source != "none"),
        hooks_applied: body.hooks_applied,
        mcp_servers_applied: body.mcp_servers_applied,
        managed_settings_applied: body.managed_settings_applied,
    }))
}

/// The reply to [`crate::input::held_question`]: whether the managed settings that `initialize` carried are in force. A CLI that
/// says nothing of that, or refuses, counts as one where they are not. `None` when the frame is something else.
pub fn is_held(frame: &Frame) -> Option<bool> {
    #[derive(Deserialize)]
    struct Envelope {
        response: Response,
    }
    #[derive(Deserialize)]
    struct Response {
        request_id: String,
        #[serde(default, rename = "response")]
        body: Body,
    }
    #[derive(Deserialize, Default)]
    struct Body {
        #[serde(default)]
        state: State,
    }
    #[derive(Deserialize, Default)]
    struct State {
        #[serde(default, rename = "parentSettingsIncluded")]
        counts: bool,
    }
    if frame.kind != "control_response" {
        return None;
    }
    let Response { request_id, body } = frame.body::<Envelope>()?.response;
    (request_id == HELD_ID).then_some(body.state.counts)
}

/// The id of a request that the CLI makes of us; `None` when the frame is something else.
pub fn request_id(frame: &Frame) -> Option<String> {
    #[derive(Deserialize)]
    struct Request {
        request_id: String,
    }
    (frame.kind == "control_request").then(|| frame.body::<Request>().map(|request| request.request_id))?
}

/// The question of the guard's hook; `None` when the frame is something else.
pub fn guarded_call(frame: &Frame) -> Option<GuardedCall> {
    #[derive(Deserialize)]
    struct Envelope {
        request_id: String,
        request: Request,
    }
    #[derive(Deserialize)]
    struct Request {
        subtype: String,
        callback_id: String,
        input: Asked,
        #[serde(default)]
        tool_use_id: Option<String>,
    }
    #[derive(Deserialize)]
    struct Asked {
        #[serde(rename = "tool_name")]
        tool: String,
        #[serde(default, rename = "tool_input")]
        input: Value,
        #[serde(default)]
        permission_mode: Option<String>,
    }
    if frame.kind != "control_request" {
        return None;
    }
    let Envelope { request_id, request } = frame.body()?;
    let is_ours = request.subtype == "hook_callback" && request.callback_id == GUARD_ID;
    let Asked { tool, input, permission_mode } = request.input;
    is_ours.then_some(GuardedCall { request_id, tool, input, tool_use_id: request.tool_use_id, permission_mode })
}

/// The entries that `init` says it left out.
pub fn skipped_servers(frame: &Frame) -> Vec<SkippedServer> {
    #[derive(Deserialize)]
    struct Init {
        #[serde(default)]
        mcp_server_errors: Vec<SkippedServer>,
    }
    if !frame.is_system("init") {
        return Vec::new();
    }
    frame.body::<Init>().map(|init| init.mcp_server_errors).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Option<Result<Initialized, String>> {
        initialized(&Frame::parse(line.into()).unwrap())
    }

    #[test]
    fn names_agents_and_key() {
        let reply = parse(
            r#"{"type":"control_response","response":{"subtype":"success","request_id":"askd-initialize","response":
            {"agents":[{"name":"Explore","description":"d"},{"name":"reviewer"}],"account":{"apiKeySource":"ANTHROPIC_API_KEY"}}}}"#,
        );
        let expected = Initialized {
            agents: vec!["Explore".into(), "reviewer".into()],
            api_key_source: Some("ANTHROPIC_API_KEY".into()),
            ..Initialized::default()
        };
        assert_eq!(reply, Some(Ok(expected)));
    }

    #[test]
    fn settings_hold_only_if_the_cli_says_so() {
        let held = |response: &str| {
            let line = format!(r#"{{"type":"control_response","response":{{"subtype":"success",{response}}}}}"#);
            is_held(&Frame::parse(line).unwrap())
        };
        assert_eq!(
            held(r#""request_id":"askd-held","response":{"state":{"parentSettingsIncluded":true,"rules":[]}}"#),
            Some(true)
        );
        assert_eq!(
            held(r#""request_id":"askd-held","response":{"state":{"parentSettingsIncluded":false}}"#),
            Some(false)
        );
        assert_eq!(held(r#""request_id":"askd-held","response":{"state":{}}"#), Some(false));
        assert_eq!(held(r#""request_id":"askd-held","error":"unknown"}"#.trim_end_matches('}')), Some(false));
        assert_eq!(held(r#""request_id":"askd-initialize","response":{}"#), None);
    }

    #[test]
    fn a_question_of_the_guard_is_told_from_other_requests() {
        let ours = r#"{"type":"control_request","request_id":"r1","request":{"subtype":"hook_callback","callback_id":"askd-guard",
            "input":{"hook_event_name":"PreToolUse","tool_name":"Bash","tool_input":{"command":"ls"}},"tool_use_id":"t1"}}"#;
        let call = |line: &str| guarded_call(&Frame::parse(line.into()).unwrap());
        let expected = GuardedCall {
            request_id: "r1".into(),
            tool: "Bash".into(),
            input: serde_json::json!({"command": "ls"}),
            tool_use_id: Some("t1".into()),
            permission_mode: None,
        };
        assert_eq!(call(ours), Some(expected));
        for other in ["hook_callback", "askd-guard", "control_request", "tool_name"] {
            assert_eq!(call(&ours.replace(other, "other")), None, "{other}");
        }
    }

    #[test]
    fn servers_that_are_left_out_are_named() {
        let init =
            r#"{"type":"system","subtype":"init","mcp_server_errors":[{"name":"bad","type":"x","message":"Skipped"}]}"#;
        let skipped = |line: &str| skipped_servers(&Frame::parse(line.into()).unwrap());
        assert_eq!(skipped(init), [SkippedServer { name: "bad".into(), message: "Skipped".into() }]);
        assert_eq!(skipped(&init.replace("init", "status")), []);
    }

    #[test]
    fn a_refusal_carries_its_reason_and_other_replies_are_not_ours() {
        let refusal = r#"{"type":"control_response","response":{"subtype":"error","request_id":"askd-initialize","error":"bad"}}"#;
        assert_eq!(parse(refusal), Some(Err("bad".into())));
        assert_eq!(parse(&refusal.replace("askd-initialize", "other")), None);
        assert_eq!(parse(r#"{"type":"result"}"#), None);
    }
}
