//! What of the CLI's messages spans are made of. What is missing or of another type is nothing: the CLI changes.

use claude::frame::Frame;
use serde::Deserialize;
use serde_json::Value;

use crate::store::usage::Used;

/// A message of the model, or one of tool results.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Message {
    #[serde(rename = "message")]
    pub(super) body: Body,
    pub(super) parent_tool_use_id: Value,
    /// Of an answer that no model gave.
    pub(super) error: Value,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Body {
    pub(super) id: Value,
    pub(super) model: Value,
    pub(super) content: Value,
    pub(super) usage: Value,
}

impl Message {
    pub(super) fn of(frame: &Frame) -> Option<Self> {
        frame.body()
    }

    /// The call within which a subagent says it.
    pub(super) fn parent(&self) -> Option<&str> {
        self.parent_tool_use_id.as_str()
    }

    pub(super) fn blocks(&self) -> &[Value] {
        self.body.content.as_array().map_or(&[], Vec::as_slice)
    }
}

/// Tokens of one call, or of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tokens {
    pub(super) input: u64,
    pub(super) output: u64,
    pub(super) cache_read: u64,
    pub(super) cache_write: u64,
}

impl Tokens {
    /// As the model's message has them.
    pub(super) fn of(usage: &Value) -> Option<Self> {
        let tokens = |name: &str| usage[name].as_u64().unwrap_or(0);
        usage.is_object().then(|| Self {
            input: tokens("input_tokens"),
            output: tokens("output_tokens"),
            cache_read: tokens("cache_read_input_tokens"),
            cache_write: tokens("cache_creation_input_tokens"),
        })
    }
}

impl From<Used> for Tokens {
    fn from(used: Used) -> Self {
        Self {
            input: used.input_tokens,
            output: used.output_tokens,
            cache_read: used.cache_read_input_tokens,
            cache_write: used.cache_creation_input_tokens,
        }
    }
}
