//! What the CLI says of the work that it does: which model, which tools, which permission mode.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::frame::Frame;

/// The model's name in messages that the CLI has made up itself.
pub const SYNTHETIC: &str = "<synthetic>";

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// At the beginning of each turn.
    Init {
        /// The model of the conversation, in the CLI's words.
        model: String,
        /// What happens to calls that no rule covers.
        permission_mode: String,
        /// The tools; `Agent` is called `Task` here (checked).
        tools: Vec<String>,
    },
    /// A message of a model, also one that a subagent has asked.
    Message {
        /// In the provider's words.
        model: String,
    },
    /// At the end of a turn.
    Result {
        /// All models that were asked, in the CLI's words.
        models: Vec<String>,
    },
}

/// What this message says; `None` if it says nothing of that.
pub fn said(frame: &Frame) -> Option<Said> {
    match frame.kind.as_str() {
        "system" if frame.is_system("init") => init(frame),
        "assistant" => message(frame),
        "result" => result(frame),
        _ => None,
    }
}

fn init(frame: &Frame) -> Option<Said> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Init {
        #[serde(default)]
        model: String,
        #[serde(default)]
        permission_mode: String,
        #[serde(default)]
        tools: Vec<String>,
    }
    let Init { model, permission_mode, tools } = frame.body()?;
    Some(Said::Init { model, permission_mode, tools })
}

fn message(frame: &Frame) -> Option<Said> {
    #[derive(Deserialize)]
    struct Assistant {
        message: Message,
    }
    #[derive(Deserialize)]
    struct Message {
        model: String,
    }
    let Assistant { message: Message { model } } = frame.body()?;
    (model != SYNTHETIC).then_some(Said::Message { model })
}

fn result(frame: &Frame) -> Option<Said> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Result {
        #[serde(default)]
        model_usage: Map<String, Value>,
    }
    let Result { model_usage } = frame.body()?;
    Some(Said::Result { models: model_usage.into_iter().map(|(model, _)| model).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Option<Said> {
        said(&Frame::parse(line.to_owned()).unwrap())
    }

    #[test]
    fn what_is_said_is_read() {
        let init =
            r#"{"type":"system","subtype":"init","model":"claude-haiku-5-5","permissionMode":"plan","tools":["Task"]}"#;
        let expected =
            Said::Init { model: "claude-haiku-5-5".into(), permission_mode: "plan".into(), tools: vec!["Task".into()] };
        assert_eq!(of(init), Some(expected));
        let message =
            r#"{"type":"assistant","parent_tool_use_id":"t","message":{"model":"claude-opus-5-5","content":[]}}"#;
        assert_eq!(of(message), Some(Said::Message { model: "claude-opus-5-5".into() }));
        let result = r#"{"type":"result","subtype":"success","modelUsage":{"a":{"costUSD":1},"b":{}}}"#;
        assert_eq!(of(result), Some(Said::Result { models: vec!["a".into(), "b".into()] }));
    }

    #[test]
    fn what_no_model_has_said_does_not_count() {
        assert_eq!(of(r#"{"type":"assistant","message":{"model":"<synthetic>"}}"#), None);
        assert_eq!(of(r#"{"type":"user","message":{"model":"x"}}"#), None);
        assert_eq!(of(r#"{"type":"system","subtype":"status"}"#), None);
    }
}
