//! Turns one [`Part`] into the events of an answer, lazily: a large answer is never held whole.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Value, json};

use crate::script::{FaultKind, Part, Step, UpstreamError};
use crate::wire::{Delta, Event, Message, MessageEnd, ServerTools, Usage};

/// What the server does next for an answer.
#[derive(Debug)]
pub(crate) enum Action {
    /// Sends an event.
    Emit(Event),
    /// Sends nothing for a while.
    Wait(Duration),
    /// Sends nothing more, and keeps the connection.
    Hang,
    /// Drops the connection.
    Cut,
    /// Sends nothing more, as if that were all.
    Stop,
    /// Ends the answer with an error.
    Fail(UpstreamError),
}

/// What an answer starts from.
pub(crate) struct Opening {
    /// Without its `msg_` prefix, so that tool ids derive from it.
    pub(crate) id: String,
    pub(crate) model: String,
    /// Estimated from the request.
    pub(crate) input_tokens: u64,
}

/// The actions of one answer.
#[expect(clippy::struct_excessive_bools, reason = "each says how far the answer is")]
pub(crate) struct Player {
    steps: std::vec::IntoIter<Step>,
    queue: VecDeque<Action>,
    deltas: Box<dyn Iterator<Item = Action> + Send>,
    id: String,
    model: String,
    index: usize,
    open: Option<Kind>,
    pinged: bool,
    done: bool,
    whole: bool,
    end: MessageEnd,
    usage: Usage,
    output_fixed: bool,
    written: u64,
}

/// The kind of the block that is open.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Text,
    Other,
}

impl Player {
    /// Prepares the answer; nothing happens until it is iterated.
    pub(crate) fn new(part: Part, opening: Opening) -> Self {
        let usage = Usage {
            input: part.usage.input.unwrap_or(opening.input_tokens),
            cache_write: part.usage.cache_write.unwrap_or(0),
            cache_read: part.usage.cache_read.unwrap_or(0),
            output: 1,
            server_tools: None,
        };
        let automatic = if part.calls_tools() { "tool_use" } else { "end_turn" };
        let start = Event::MessageStart { message: message(&opening, usage) };
        Self {
            output_fixed: part.usage.output.is_some(),
            usage: Usage {
                output: part.usage.output.unwrap_or(1),
                server_tools: part.usage.web_searches.map(|web_searches| ServerTools { web_searches }),
                ..usage
            },
            model: opening.model,
            end: MessageEnd { stop_reason: part.stop.unwrap_or(automatic), stop_sequence: None },
            steps: part.steps.into_iter(),
            queue: VecDeque::from([Action::Emit(start)]),
            deltas: Box::new(std::iter::empty()),
            id: opening.id,
            index: 0,
            open: None,
            pinged: false,
            done: false,
            whole: false,
            written: 0,
        }
    }

    /// What a whole answer reports of itself: its model and its tokens. None of one with a fault.
    pub(crate) fn report(&self) -> Option<(&str, Usage)> {
        self.whole.then_some((&self.model, self.usage))
    }

    fn expand(&mut self, step: Step) {
        match step {
            Step::Text(text) => {
                self.open_text();
                let words: Vec<String> = words(&text).map(str::to_owned).collect();
                self.deltas(words.into_iter().map(|text| Delta::Text { text }));
            }
            Step::Deltas { count, bytes, pace } => {
                self.open_text();
                let index = self.index;
                self.deltas = Box::new((0..count).flat_map(move |number| {
                    let wait = (number > 0 && !pace.is_zero()).then_some(Action::Wait(pace));
                    let text = numbered(number, bytes);
                    wait.into_iter().chain([delta(index, Delta::Text { text })])
                }));
            }
            Step::Large { bytes, chunk } => {
                self.open_text();
                let sizes = (0..bytes).step_by(chunk).map(move |at| chunk.min(bytes - at));
                self.deltas(sizes.map(|size| Delta::Text { text: "x".repeat(size) }));
            }
            Step::Think(text) => {
                self.open_block(Kind::Other, json!({"type": "thinking", "thinking": "", "signature": ""}));
                let words: Vec<String> = words(&text).map(str::to_owned).collect();
                let signature = format!("scripted-{}-{}", self.id, self.index);
                let thinking = words.into_iter().map(|thinking| Delta::Thinking { thinking });
                self.deltas(thinking.chain([Delta::Signature { signature }]));
            }
            Step::Tool { name, input } => {
                let id = format!("toolu_{}{:02}", self.id, self.index + usize::from(self.open.is_some()));
                self.open_block(Kind::Other, json!({"type": "tool_use", "id": id, "name": name, "input": {}}));
                self.deltas(json_pieces(&input).into_iter().map(|partial_json| Delta::InputJson { partial_json }));
            }
            Step::Pause(pause) => self.queue.push_back(Action::Wait(pause)),
            Step::Fault(fault) => {
                if fault.kind == FaultKind::Short {
                    self.close_block();
                }
                self.done = true;
                self.queue.push_back(match fault.kind {
                    FaultKind::Cut => Action::Cut,
                    FaultKind::Short => Action::Stop,
                    FaultKind::Hang => Action::Hang,
                    FaultKind::Upstream(error) => Action::Fail(error),
                });
            }
        }
    }

    fn deltas(&mut self, deltas: impl Iterator<Item = Delta> + Send + 'static) {
        let index = self.index;
        self.deltas = Box::new(deltas.map(move |it| delta(index, it)));
    }

    /// Opens a text block, unless one is open: neighbouring texts are one block.
    fn open_text(&mut self) {
        if self.open != Some(Kind::Text) {
            self.open_block(Kind::Text, json!({"type": "text", "text": ""}));
        }
    }

    fn open_block(&mut self, kind: Kind, content_block: Value) {
        self.close_block();
        self.open = Some(kind);
        let index = self.index;
        self.queue.push_back(Action::Emit(Event::ContentBlockStart { index, content_block }));
        if !self.pinged {
            self.pinged = true;
            self.queue.push_back(Action::Emit(Event::Ping));
        }
    }

    fn close_block(&mut self) {
        if self.open.take().is_some() {
            let index = self.index;
            self.index += 1;
            self.queue.push_back(Action::Emit(Event::ContentBlockStop { index }));
        }
    }

    fn finish(&mut self) {
        (self.done, self.whole) = (true, true);
        self.close_block();
        if !self.output_fixed {
            self.usage.output = self.written.div_ceil(4).max(1);
        }
        self.queue.push_back(Action::Emit(Event::MessageDelta { delta: self.end.clone(), usage: self.usage }));
        self.queue.push_back(Action::Emit(Event::MessageStop));
    }
}

impl Iterator for Player {
    type Item = Action;

    fn next(&mut self) -> Option<Action> {
        loop {
            if let Some(action) = self.queue.pop_front() {
                return Some(action);
            }
            if let Some(action) = self.deltas.next() {
                self.written += written(&action);
                return Some(action);
            }
            if self.done {
                return None;
            }
            match self.steps.next() {
                Some(step) => self.expand(step),
                None => self.finish(),
            }
        }
    }
}

/// The message before anything is in it.
pub(crate) fn message(opening: &Opening, usage: Usage) -> Message {
    Message {
        id: format!("msg_{}", opening.id),
        kind: "message",
        role: "assistant",
        model: opening.model.clone(),
        content: Vec::new(),
        stop_reason: None,
        stop_sequence: None,
        usage,
    }
}

fn delta(index: usize, delta: Delta) -> Action {
    Action::Emit(Event::ContentBlockDelta { index, delta })
}

fn written(action: &Action) -> u64 {
    let Action::Emit(Event::ContentBlockDelta { delta, .. }) = action else {
        return 0;
    };
    let bytes = match delta {
        Delta::Text { text } => text.len(),
        Delta::Thinking { thinking } => thinking.len(),
        Delta::InputJson { partial_json } => partial_json.len(),
        Delta::Signature { .. } => 0,
    };
    bytes as u64
}

/// Words with the space that follows them; together they are `text` again.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(char::is_whitespace)
}

/// A delta's text, exactly `bytes` long, starting with its number when there is room.
fn numbered(number: u32, bytes: usize) -> String {
    let mut text = format!("{number}:");
    text.truncate(bytes);
    while text.len() + 1 < bytes {
        text.push('x');
    }
    if text.len() < bytes {
        text.push(' ');
    }
    text
}

/// The input's JSON in small pieces, as the real service streams it.
fn json_pieces(input: &Value) -> Vec<String> {
    let text: Vec<char> = input.to_string().chars().collect();
    let size = (text.len() / 8).clamp(16, 64 * 1024);
    text.chunks(size).map(|piece| piece.iter().collect()).collect()
}

#[cfg(test)]
mod tests;
