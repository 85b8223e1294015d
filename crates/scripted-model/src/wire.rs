//! The Messages API as it looks on the wire: events, messages, error envelopes.

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

/// Token counts of one answer.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Usage {
    #[serde(rename = "input_tokens")]
    pub(crate) input: u64,
    #[serde(rename = "cache_creation_input_tokens")]
    pub(crate) cache_write: u64,
    #[serde(rename = "cache_read_input_tokens")]
    pub(crate) cache_read: u64,
    #[serde(rename = "output_tokens")]
    pub(crate) output: u64,
    #[serde(rename = "server_tool_use", skip_serializing_if = "Option::is_none")]
    pub(crate) server_tools: Option<ServerTools>,
}

/// What the provider's own tools did.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct ServerTools {
    #[serde(rename = "web_search_requests")]
    pub(crate) web_searches: u64,
}

/// One server-sent event.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Event {
    MessageStart { message: Message },
    ContentBlockStart { index: usize, content_block: Value },
    Ping,
    ContentBlockDelta { index: usize, delta: Delta },
    ContentBlockStop { index: usize },
    MessageDelta { delta: MessageEnd, usage: Usage },
    MessageStop,
    Error { error: Value },
}

/// What a delta adds to its block.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type")]
pub(crate) enum Delta {
    #[serde(rename = "text_delta")]
    Text { text: String },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: String },
    #[serde(rename = "signature_delta")]
    Signature { signature: String },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: String },
}

/// How a message ends.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct MessageEnd {
    pub(crate) stop_reason: &'static str,
    pub(crate) stop_sequence: Option<String>,
}

/// A message, empty at the start of a stream.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Message {
    pub(crate) id: String,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) role: &'static str,
    pub(crate) model: String,
    pub(crate) content: Vec<Value>,
    pub(crate) stop_reason: Option<&'static str>,
    pub(crate) stop_sequence: Option<String>,
    pub(crate) usage: Usage,
}

impl Event {
    fn name(&self) -> &'static str {
        match self {
            Self::MessageStart { .. } => "message_start",
            Self::ContentBlockStart { .. } => "content_block_start",
            Self::Ping => "ping",
            Self::ContentBlockDelta { .. } => "content_block_delta",
            Self::ContentBlockStop { .. } => "content_block_stop",
            Self::MessageDelta { .. } => "message_delta",
            Self::MessageStop => "message_stop",
            Self::Error { .. } => "error",
        }
    }

    /// The event as an SSE frame.
    pub(crate) fn frame(&self) -> Bytes {
        let data = to_json(self);
        Bytes::from(format!("event: {}\ndata: {data}\n\n", self.name()))
    }
}

impl Message {
    /// Adds an event, so that an answer without streaming is the stream's sum.
    pub(crate) fn absorb(&mut self, event: Event) {
        match event {
            Event::MessageStart { message } => *self = message,
            Event::ContentBlockStart { content_block, .. } => self.content.push(content_block),
            Event::ContentBlockDelta { delta, .. } => {
                if let Some(block) = self.content.last_mut() {
                    delta.add_to(block);
                }
            }
            Event::ContentBlockStop { .. } => {
                if let Some(block) = self.content.last_mut() {
                    finish_tool_input(block);
                }
            }
            Event::MessageDelta { delta, usage } => {
                self.stop_reason = Some(delta.stop_reason);
                self.stop_sequence = delta.stop_sequence;
                self.usage = usage;
            }
            Event::Ping | Event::MessageStop | Event::Error { .. } => {}
        }
    }
}

impl Delta {
    fn add_to(&self, block: &mut Value) {
        let (field, piece) = match self {
            Self::Text { text } => ("text", text),
            Self::Thinking { thinking } => ("thinking", thinking),
            Self::Signature { signature } => ("signature", signature),
            Self::InputJson { partial_json } => ("input", partial_json),
        };
        match &mut block[field] {
            Value::String(text) => text.push_str(piece),
            // A tool's input starts as `{}` and is a string while it grows.
            other => *other = Value::String(piece.clone()),
        }
    }
}

fn finish_tool_input(block: &mut Value) {
    if let Some(input) = block.get_mut("input")
        && let Some(text) = input.as_str()
        && let Ok(value) = serde_json::from_str(text)
    {
        *input = value;
    }
}

/// The body of an error answer.
pub(crate) fn error_envelope(kind: &str, message: &str, request_id: &str) -> String {
    to_json(&json!({
        "type": "error",
        "error": {"type": kind, "message": message},
        "request_id": request_id,
    }))
}

/// Serializes what cannot fail: string keys and finite numbers only.
pub(crate) fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}
