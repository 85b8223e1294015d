//! A request the model received, and what tests ask about it.

use std::sync::{Arc, OnceLock};

use crate::conversation::visible_text;
use bytes::Bytes;
use serde_json::{Map, Value, json};

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Everything was sent.
    Answered,
    /// The script dropped the connection.
    Cut,
    /// The client left before the answer was complete.
    ClientLeft,
}

/// One request, as it arrived. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct RecordedRequest(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    number: u64,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    raw: Bytes,
    /// Parsed on demand: most recorded bodies are never looked at.
    body: OnceLock<Value>,
    ending: OnceLock<Ending>,
}

/// What arrived, without its number.
pub(crate) struct Arrival {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) raw: Bytes,
}

impl RecordedRequest {
    pub(crate) fn new(number: u64, arrival: Arrival) -> Self {
        Self(Arc::new(Inner {
            number,
            method: arrival.method,
            path: arrival.path,
            headers: arrival.headers,
            raw: arrival.raw,
            body: OnceLock::new(),
            ending: OnceLock::new(),
        }))
    }

    /// Whether this is the first ending, which is the true one: an answer that is dropped after
    /// its end also looks like a client that left.
    pub(crate) fn set_ending(&self, ending: Ending) -> bool {
        self.0.ending.set(ending).is_ok()
    }

    /// Counts requests from 1, in order of arrival.
    pub fn number(&self) -> u64 {
        self.0.number
    }

    /// The HTTP method.
    pub fn method(&self) -> &str {
        &self.0.method
    }

    /// The path with its query.
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// The value of a header; `name` in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.0.headers.iter();
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// All headers, names in lower case.
    pub fn headers(&self) -> &[(String, String)] {
        &self.0.headers
    }

    /// The body as JSON, or `null` when it is none.
    pub fn body(&self) -> &Value {
        self.0.body.get_or_init(|| serde_json::from_slice(&self.0.raw).unwrap_or(Value::Null))
    }

    /// The body's bytes.
    pub fn raw_body(&self) -> &Bytes {
        &self.0.raw
    }

    /// Whether this asks for a message (and does not count tokens or probe the server).
    pub fn is_message(&self) -> bool {
        self.0.method == "POST" && self.0.path.split('?').next() == Some("/v1/messages")
    }

    /// How the answer ended, once it did.
    pub fn ending(&self) -> Option<Ending> {
        self.0.ending.get().copied()
    }

    /// The requested model.
    pub fn model(&self) -> Option<&str> {
        self.body()["model"].as_str()
    }

    /// The system prompt, with the `system` messages the CLI adds further down.
    pub fn system_text(&self) -> String {
        let top = json!({"content": self.body()["system"]});
        let mut texts = vec![all_text(&top)];
        texts.extend(self.messages("system").map(all_text));
        texts.join("\n")
    }

    /// The names of the offered tools.
    pub fn tool_names(&self) -> Vec<&str> {
        let tools = self.body()["tools"].as_array();
        let tools = tools.into_iter().flatten();
        tools.filter_map(|tool| tool["name"].as_str()).collect()
    }

    /// The text of each user message without tool results and reminders; empty ones are left out.
    pub fn user_texts(&self) -> Vec<String> {
        self.messages("user").map(visible_text).filter(|text| !text.is_empty()).collect()
    }

    /// The newest of [`Self::user_texts`].
    pub fn last_user_text(&self) -> Option<String> {
        self.user_texts().pop()
    }

    /// The tool results in the conversation, as text, oldest first.
    pub fn tool_results(&self) -> Vec<String> {
        self.messages("user")
            .filter_map(|message| message["content"].as_array())
            .flatten()
            .filter(|block| block["type"] == "tool_result")
            .map(all_text)
            .collect()
    }

    /// What `GET /__requests` shows.
    pub(crate) fn to_value(&self) -> Value {
        let headers: Map<String, Value> =
            self.headers().iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        json!({
            "number": self.number(),
            "method": self.method(),
            "path": self.path(),
            "headers": headers,
            "body": self.body(),
            "ending": self.ending().map(|ending| match ending {
                Ending::Answered => "answered",
                Ending::Cut => "cut",
                Ending::ClientLeft => "client_left",
            }),
        })
    }

    fn messages(&self, role: &'static str) -> impl Iterator<Item = &Value> {
        let messages = self.body()["messages"].as_array().into_iter().flatten();
        messages.filter(move |message| message["role"] == role)
    }
}

/// The text of `content`, whether it is a string or blocks.
fn all_text(message: &Value) -> String {
    match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            let texts: Vec<&str> = blocks.iter().filter_map(|block| block["text"].as_str()).collect();
            texts.join("\n")
        }
        _ => String::new(),
    }
}
