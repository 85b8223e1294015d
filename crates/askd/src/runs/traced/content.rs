//! What people, models and tools have said, in the form that the conventions have for it. Used only if the operator wants
//! it in traces (`ASKD_TRACE_CONTENT`).

use serde_json::{Value, json};

use crate::traces::span::{MAX_TEXT, shortened};

/// A text as a part of a message, cut.
pub(super) fn told(text: &str) -> Value {
    json!({ "type": "text", "content": shortened(text, MAX_TEXT) })
}

/// One message as it comes, part by part. The first part that finds no room and those after it are left out.
#[derive(Debug)]
pub(super) struct Said {
    role: &'static str,
    parts: Vec<Value>,
    /// In bytes.
    room: usize,
}

impl Said {
    pub(super) fn by(role: &'static str) -> Self {
        Self { role, parts: Vec::new(), room: MAX_TEXT * 2 }
    }

    pub(super) fn push(&mut self, part: Value) {
        let size = part.to_string().len();
        if size <= self.room {
            self.room -= size;
            self.parts.push(part);
        } else {
            self.room = 0;
        }
    }

    /// As a list of one message.
    pub(super) fn list(&self) -> String {
        json!([{ "role": self.role, "parts": self.parts }]).to_string()
    }
}

/// The text of a tool's result, which is a text or a list of blocks.
pub(super) fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            let texts = blocks.iter().filter_map(|block| block["text"].as_str());
            texts.collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}
