//! Answers that were cut short, and that the model was told to go on with: the result of such a turn is their last piece.
//!
//! The CLI shows the message of its own with which it asks for more. 2.1.261 shows none at the limit of output: there two
//! answers follow each other with nothing between them (checked with 2.1.261, 2.1.276 and 2.1.330).

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::frame::Frame;

/// Counts the pieces of the main conversation. What a subagent hands back is for the model, which has read it.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    cut: BTreeMap<&'static str, u64>,
    /// The answer that nothing but another answer of the same model has followed so far: its id and model.
    last: Option<(String, String)>,
}

/// Why there is no more of an answer.
const OUTPUT_LIMIT: &str = "limit of output";

/// How the CLI's own messages begin, and what was the matter with the answer before.
const ASKS: [(&str, &str); 3] = [
    ("Output token limit hit", OUTPUT_LIMIT),
    ("Your response above was cut off", "stream ended early"),
    ("Your response above was stopped by a safety classifier", "stopped by a safety classifier"),
];

/// Stands only in messages that the CLI has written itself, and in texts of others.
const OWN_MESSAGE: &str = r#""isSynthetic""#;

/// The model of an answer that no model gave.
const NO_MODEL: &str = "<synthetic>";

impl Pieces {
    /// Takes the next message into account.
    pub(super) fn hear(&mut self, frame: &Frame) {
        match (frame.kind.as_str(), frame.subtype.as_deref()) {
            ("assistant", _) => self.answer(frame),
            ("user", _) => {
                self.last = None;
                if let Some(why) = asked_to_go_on(frame) {
                    self.count(why);
                }
            }
            // Says nothing of what is before the model.
            ("stream_event" | "rate_limit_event" | "control_response" | "keep_alive", _)
            | ("system", Some("status" | "thinking_tokens")) => {}
            // Another turn, or another model, or the same question once more.
            _ => self.last = None,
        }
    }

    fn count(&mut self, why: &'static str) {
        let times = self.cut.entry(why).or_default();
        *times = times.saturating_add(1);
    }

    fn answer(&mut self, frame: &Frame) {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            parent_tool_use_id: Option<String>,
            message: Message,
        }
        #[derive(Deserialize)]
        struct Message {
            id: String,
            model: String,
        }
        let Some(Answer { parent_tool_use_id: None, message: Message { id, model } }) = frame.body() else {
            return;
        };
        let next = (model != NO_MODEL).then_some((id, model));
        let is_more = |(id, model): &(String, String), next: &(String, String)| *id != next.0 && *model == next.1;
        if self.last.as_ref().zip(next.as_ref()).is_some_and(|(last, next)| is_more(last, next)) {
            self.count(OUTPUT_LIMIT);
        }
        self.last = next;
    }

    /// All of them together, in words.
    pub(super) fn told(&self) -> Option<String> {
        let count: u64 = self.cut.values().sum();
        let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
        let named = self
            .cut
            .iter()
            .map(|(why, times)| if *times == count { (*why).to_owned() } else { format!("{why} ({times})") });
        let why = named.collect::<Vec<_>>().join(", ");
        (count > 0).then(|| {
            format!(
                "the answer was cut {times} ({why}), and the model went on: the result is the last piece, the pieces before it are \
                 in the messages of the CLI"
            )
        })
    }
}

/// Why the model is asked to go on by a message of the CLI's own.
fn asked_to_go_on(frame: &Frame) -> Option<&'static str> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Own {
        is_synthetic: bool,
        #[serde(default, rename = "parent_tool_use_id")]
        parent: Option<String>,
        message: Message,
    }
    #[derive(Deserialize)]
    struct Message {
        content: Vec<Block>,
    }
    #[derive(Deserialize)]
    struct Block {
        #[serde(default)]
        text: String,
    }
    // Results of tools may be large, and are most of these messages.
    if !frame.as_str().contains(OWN_MESSAGE) {
        return None;
    }
    let own: Own = frame.body().filter(|own: &Own| own.is_synthetic && own.parent.is_none())?;
    let text = &own.message.content.first()?.text;
    ASKS.iter().find(|(begins, _)| text.starts_with(begins)).map(|(_, why)| *why)
}
