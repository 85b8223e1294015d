//! What is written on the CLI's stdin: one JSON object a line, returned without the newline.

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

/// The request id of the `initialize` request; its reply carries it back.
pub const INITIALIZE_ID: &str = "askd-initialize";

/// What the request id of an `interrupt` request begins with.
pub const INTERRUPT_ID: &str = "askd-interrupt";

/// What `initialize` carries, so that none of it stands in argv.
#[derive(Debug, Default, Clone, Copy)]
pub struct Initialize<'a> {
    /// Replaces the CLI's own system prompt.
    pub system_prompt: Option<&'a str>,
    /// The schema of the answer. The CLI silently ignores an invalid one (checked): validate it first.
    pub json_schema: Option<&'a Value>,
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
        json_schema: Option<&'a Value>,
    }
    control_request(
        INITIALIZE_ID,
        &Body {
            subtype: "initialize",
            system_prompt: options.system_prompt.map(|text| [text]),
            json_schema: options.json_schema,
        },
    )
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

/// A message of the user. `uuid` comes back in `command_lifecycle`, which says when it has been worked on.
///
/// `expand` lets the CLI expand `@path` mentions and `/commands` in it; otherwise the text is taken as it stands.
/// `priority` (`now`, `next` or `later`) is for a message in the middle of a turn.
pub fn user_message(prompt: &str, uuid: Uuid, expand: bool, priority: Option<&str>) -> String {
    #[derive(Serialize)]
    struct Message<'a> {
        role: &'a str,
        content: &'a str,
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
        message: Message { role: "user", content: prompt },
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

fn control_request(request_id: &str, request: &impl Serialize) -> String {
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
        insta::assert_snapshot!(initialize(Initialize { system_prompt: Some("Be brief.\n"), json_schema: Some(&schema) }),
            @r#"{"type":"control_request","request_id":"askd-initialize","request":{"subtype":"initialize","systemPrompt":["Be brief.\n"],"jsonSchema":{"type":"object"}}}"#);
    }

    #[test]
    fn a_prompt_is_one_line_whatever_it_holds() {
        let line = user_message("--flag\n/config", Uuid::nil(), false, None);
        insta::assert_snapshot!(line, @r#"{"type":"user","uuid":"00000000-0000-0000-0000-000000000000","message":{"role":"user","content":"--flag\n/config"},"parent_tool_use_id":null,"client_composed":true}"#);
        assert!(!line.contains('\n'));
        let further = user_message("x", Uuid::nil(), true, Some("later"));
        assert!(!further.contains("client_composed") && further.contains(r#""priority":"later""#));
    }

    #[test]
    fn interrupt_and_refusal() {
        insta::assert_snapshot!(interrupt(3), @r#"{"type":"control_request","request_id":"askd-interrupt-3","request":{"subtype":"interrupt"}}"#);
        insta::assert_snapshot!(refuse("r1", "no"), @r#"{"type":"control_response","response":{"subtype":"error","request_id":"r1","error":"no"}}"#);
    }
}
