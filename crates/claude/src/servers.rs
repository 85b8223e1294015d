//! MCP servers for a CLI that does not take them with `initialize`: a request of its own, before the first message.
//!
//! The CLI starts them before it answers, and takes an entry as it stands: it fills in neither what may be left out of
//! `.mcp.json` nor `${VARIABLES}` (checked with 2.1.261 and 2.1.276).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::frame::Frame;
use crate::input::control_request;

/// The request id of [`set_servers`]; its reply carries it back.
pub const SERVERS_ID: &str = "askd-servers";

/// What the CLI made of the servers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Taken {
    /// Those that it has; not all of them need to work.
    pub added: Vec<String>,
    /// Those that do not work, and why in the CLI's words. `init` says it, too, without a reason.
    pub errors: BTreeMap<String, String>,
}

/// The request. `servers` have the form of `.mcp.json`.
pub fn set_servers(servers: &Map<String, Value>) -> String {
    let servers: Map<String, Value> = servers.iter().map(|(name, entry)| (name.clone(), complete(entry))).collect();
    control_request(SERVERS_ID, &json!({"subtype": "mcp_set_servers", "servers": servers}))
}

/// Without `args` the CLI fails with every server of the request (checked).
fn complete(entry: &Value) -> Value {
    let mut entry = entry.clone();
    if let Value::Object(fields) = &mut entry
        && fields.contains_key("command")
    {
        fields.entry("type").or_insert_with(|| "stdio".into());
        fields.entry("args").or_insert_with(|| json!([]));
    }
    entry
}

/// Whether an entry refers to a variable that the CLI would have to fill in.
pub fn has_variables(entry: &Value) -> bool {
    match entry {
        Value::String(text) => text.contains("${"),
        Value::Array(items) => items.iter().any(has_variables),
        Value::Object(fields) => fields.values().any(has_variables),
        _ => false,
    }
}

/// The reply to [`set_servers`], or the CLI's refusal; `None` when the frame is something else.
pub fn servers_taken(frame: &Frame) -> Option<Result<Taken, String>> {
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
        body: Taken,
    }
    if frame.kind != "control_response" {
        return None;
    }
    let Response { subtype, request_id, error, body } = frame.body::<Envelope>()?.response;
    if request_id != SERVERS_ID {
        return None;
    }
    Some(if subtype == "success" { Ok(body) } else { Err(error.unwrap_or_else(|| "no reason given".into())) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_left_out_of_an_entry_is_filled_in() {
        let servers = json!({"a": {"command": "x"}, "b": {"type": "http", "url": "http://h"}});
        insta::assert_snapshot!(set_servers(servers.as_object().unwrap()),
            @r#"{"type":"control_request","request_id":"askd-servers","request":{"servers":{"a":{"args":[],"command":"x","type":"stdio"},"b":{"type":"http","url":"http://h"}},"subtype":"mcp_set_servers"}}"#);
    }

    #[test]
    fn variables_are_found_wherever_they_stand() {
        assert!(has_variables(&json!({"command": "x", "args": ["-t", "a${TOKEN:-none}"]})));
        assert!(has_variables(&json!({"url": "http://h", "headers": {"authorization": "${TOKEN}"}})));
        assert!(!has_variables(&json!({"command": "$x", "env": {"A": "{}"}})));
    }

    #[test]
    fn the_reply_says_which_were_taken_and_which_do_not_work() {
        let taken = |line: &str| servers_taken(&Frame::parse(line.into()).unwrap());
        let reply = r#"{"type":"control_response","response":{"subtype":"success","request_id":"askd-servers","response":{"added":["gone","one"],"removed":[],"errors":{"gone":"ENOENT"}}}}"#;
        let expected = Taken {
            added: vec!["gone".into(), "one".into()],
            errors: BTreeMap::from([("gone".into(), "ENOENT".into())]),
        };
        assert_eq!(taken(reply), Some(Ok(expected)));
        assert_eq!(taken(&reply.replace("askd-servers", "other")), None);
        let refusal = r#"{"type":"control_response","response":{"subtype":"error","request_id":"askd-servers","error":"Unsupported"}}"#;
        assert_eq!(taken(refusal), Some(Err("Unsupported".into())));
    }
}
