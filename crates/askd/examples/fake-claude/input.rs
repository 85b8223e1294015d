//! Standard input, read by a thread, so that a script can be interrupted.

use std::io::BufRead;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// What came in.
#[derive(Debug)]
pub(crate) enum Input {
    Message(Value),
    End,
}

/// Messages in order.
pub(crate) struct Inbox {
    messages: Receiver<Value>,
}

impl Inbox {
    pub(crate) fn open() -> Self {
        let (sender, messages) = channel();
        thread::spawn(move || {
            for line in std::io::stdin().lock().lines() {
                let Ok(line) = line else { return };
                if let Ok(message) = serde_json::from_str(&line)
                    && sender.send(message).is_err()
                {
                    return;
                }
            }
        });
        Self { messages }
    }

    /// Waits for the next one.
    pub(crate) fn next(&mut self) -> Input {
        self.messages.recv().map_or(Input::End, Input::Message)
    }

    /// Waits for a while; `None` when nothing came. The end of the input counts as nothing.
    pub(crate) fn next_within(&mut self, patience: Duration) -> Option<Value> {
        match self.messages.recv_timeout(patience) {
            Ok(message) => Some(message),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                thread::sleep(patience);
                None
            }
        }
    }
}

/// What the user says: the text of the message, or those of its blocks, a line each.
pub(crate) fn prompt(message: &Value) -> String {
    match &message["message"]["content"] {
        Value::String(text) => text.clone(),
        content => {
            let blocks = content.as_array().into_iter().flatten();
            let texts: Vec<_> = blocks.filter_map(|block| block["text"].as_str()).collect();
            texts.join("\n")
        }
    }
}
