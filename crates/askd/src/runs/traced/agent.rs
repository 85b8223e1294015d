//! Calls of models and tools, as they can be told from what the CLI says: it says when an answer has come, not when it was
//! asked for. A call of the model begins with what it answers: the prompt, or the last result of a tool.

use std::collections::{HashMap, HashSet};

use claude::frame::Frame;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::content::{Said, text_of, told};
use super::message::{Message, Tokens};
use super::{Room, RunState};
use crate::traces::SpanKind;
use crate::traces::place::Place;
use crate::traces::span::{Span, shortened};

/// Tools that may be at work at the same time, and conversations: of more, spans are left out.
const MAX_OPEN: usize = 256;

/// Calls of which it is known where they stand; what belongs to further ones is below the run itself.
const MAX_KNOWN: usize = 1024;

/// The longest name or id that is taken from the CLI, in bytes. Models and tools have shorter ones; what a model makes up
/// may not.
const MAX_NAME: usize = 128;

/// Tools of a run; of more, the rest counts as unknown.
const MAX_TOOLS: usize = 1024;

/// The tool that starts subagents: the CLI lists it by its earlier name, and calls it by the present one.
const SUBAGENT_TOOLS: [&str; 2] = ["Agent", "Task"];

/// What stands for a tool that the run does not have: its name is something that the model said, and so content.
const UNKNOWN_TOOL: &str = "other";

/// A model that is none: the CLI's own words for a call that failed.
const NO_MODEL: &str = "<synthetic>";

/// Follows the calls of one run.
#[derive(Debug, Default)]
pub(super) struct Agent {
    /// The model that was asked for, or that the CLI has chosen.
    model: Option<String>,
    provider: &'static str,
    has_content: bool,
    /// The tools that the run has, as the CLI lists them.
    listed: HashSet<String>,
    /// The main conversation has no name; a subagent's has that of the call which started it.
    talks: HashMap<Option<String>, Talk>,
    /// Calls of tools that have no result yet, by id.
    tools: HashMap<String, Call>,
    /// Where calls stand, also those with a result: a subagent in the background says something later.
    known: HashMap<String, Place>,
    /// The last message of a conversation that there was no room for: it comes in parts, and counts once.
    beyond: Option<String>,
}

/// One conversation with a model.
#[derive(Debug, Default)]
struct Talk {
    /// Since when the model is waited for.
    since: Option<Timestamp>,
    chat: Option<Chat>,
}

/// A call of the model whose answer is coming.
#[derive(Debug)]
struct Chat {
    id: String,
    /// Records nothing if there was no room for it.
    span: Span,
    /// When its last part came.
    last: Timestamp,
    said: Said,
}

/// A call of a tool.
#[derive(Debug)]
struct Call {
    span: Span,
    /// Its name, as long as nobody knows whether there is such a tool.
    unsure: Option<String>,
}

impl Agent {
    pub(super) fn new(model: Option<String>, provider: &'static str, has_content: bool) -> Self {
        Self { model, provider, has_content, ..Self::default() }
    }

    /// The agent has its prompt.
    pub(super) fn begin(&mut self, time: Timestamp) {
        self.talks.entry(None).or_default().since = Some(time);
    }

    /// Takes the next message.
    pub(super) fn observe(&mut self, time: Timestamp, frame: &Frame, run: &mut Span, room: &mut Room) {
        match (frame.kind.as_str(), frame.subtype.as_deref()) {
            ("assistant", _) => {
                if let Some(message) = Message::of(frame) {
                    self.answers(time, &message, run, room);
                }
            }
            ("user", _) => {
                if let Some(message) = Message::of(frame) {
                    self.results(time, &message);
                }
            }
            ("result", _) => {
                self.close_chats();
                let main = self.talks.entry(None).or_default();
                main.since = Some(time);
            }
            ("system", Some("init")) => {
                let body = frame.body::<Value>().unwrap_or_default();
                if let Some(model) = name(&body["model"]) {
                    self.model.get_or_insert(model);
                }
                let tools = body["tools"].as_array().into_iter().flatten().filter_map(name);
                let room = MAX_TOOLS.saturating_sub(self.listed.len());
                self.listed.extend(tools.take(room));
            }
            _ => {}
        }
    }

    /// The run has ended: what is still open never had an end of its own. In a run that did what it was asked that is no
    /// failure.
    pub(super) fn end(&mut self, time: Timestamp, how: RunState) {
        self.close_chats();
        for (_, Call { span: mut tool, .. }) in self.tools.drain() {
            if how != RunState::Completed {
                tool.fail(how.as_str());
            }
            tool.end_at(time);
        }
        self.talks.clear();
        self.known.clear();
    }

    /// A part of a model's answer.
    fn answers(&mut self, time: Timestamp, message: &Message, run: &mut Span, room: &mut Room) {
        let parent = message.parent().map(str::to_owned);
        let id = name(&message.body.id).unwrap_or_default();
        if self.talks.len() >= MAX_OPEN && !self.talks.contains_key(&parent) {
            if self.beyond.as_ref() != Some(&id) {
                self.beyond = Some(id);
                room.left_out += 1;
            }
            return;
        }
        let talk = self.talks.entry(parent.clone()).or_default();
        if talk.chat.as_ref().is_none_or(|chat| chat.id != id) {
            if let Some(before) = talk.chat.take() {
                talk.since = Some(before.last);
                before.end();
            }
            let model = name(&message.body.model).filter(|model| model != NO_MODEL);
            let asked = self.model.as_ref().or(model.as_ref());
            let title = asked.map_or_else(|| "chat".to_owned(), |model| format!("chat {model}"));
            let span = room.begin(run, around(&self.known, parent.as_ref()), title, SpanKind::Client);
            let mut span = span.unwrap_or_default().since(talk.since.unwrap_or(time));
            span.set("gen_ai.operation.name", "chat");
            span.set("gen_ai.provider.name", self.provider);
            span.set("gen_ai.response.id", id.clone());
            if let Some(asked) = asked {
                span.set("gen_ai.request.model", asked.clone());
            }
            match model {
                Some(model) => {
                    if parent.is_none() {
                        run.set("gen_ai.response.model", model.clone());
                    }
                    span.set("gen_ai.response.model", model);
                }
                None => span.fail(name(&message.error).unwrap_or_else(|| "api_error".to_owned())),
            }
            talk.chat = Some(Chat { id, span, last: time, said: Said::by("assistant") });
        }
        if let Some(chat) = &mut talk.chat {
            chat.go_on(time, message, self.has_content);
            if self.has_content && parent.is_none() {
                run.set("gen_ai.output.messages", chat.said.list());
            }
        }
        self.call_tools(time, message, run, room);
    }

    fn call_tools(&mut self, time: Timestamp, message: &Message, run: &Span, room: &mut Room) {
        let parent = message.parent().map(str::to_owned);
        for block in message.blocks() {
            let kind = block["type"].as_str().unwrap_or_default();
            // What the provider's own tools find is a part of the model's answer.
            if kind.ends_with("tool_result") {
                self.result(time, block);
                continue;
            }
            let is_call = matches!(kind, "tool_use" | "server_tool_use" | "mcp_tool_use");
            let (true, Some(id), Some(tool)) = (is_call, name(&block["id"]), name(&block["name"])) else { continue };
            if self.tools.contains_key(&id) {
                continue;
            }
            // Tools of the provider are in no list, and only the provider calls them.
            let is_known = kind != "tool_use" || self.listed.contains(&tool) || SUBAGENT_TOOLS.contains(&tool.as_str());
            let (tool, unsure) =
                if is_known || self.has_content { (tool, None) } else { (UNKNOWN_TOOL.to_owned(), Some(tool)) };
            if self.tools.len() >= MAX_OPEN {
                room.left_out += 1;
                continue;
            }
            let (around, name) = (around(&self.known, parent.as_ref()), format!("execute_tool {tool}"));
            let Some(span) = room.begin(run, around, name, SpanKind::Internal) else { continue };
            let mut span = span.since(time);
            if let Some(place) = span.place().filter(|_| self.known.len() < MAX_KNOWN) {
                self.known.insert(id.clone(), place.clone());
            }
            span.set("gen_ai.operation.name", "execute_tool");
            span.set("gen_ai.tool.name", tool);
            span.set("gen_ai.tool.call.id", id.clone());
            span.set("gen_ai.tool.type", "function");
            if self.has_content {
                span.set_text("gen_ai.tool.call.arguments", &block["input"].to_string());
            }
            self.tools.insert(id, Call { span, unsure });
        }
    }

    /// Results of tools, or a further message of the user: with them the model is asked again.
    fn results(&mut self, time: Timestamp, message: &Message) {
        let parent = message.parent().map(str::to_owned);
        for block in message.blocks().iter().filter(|block| block["type"] == "tool_result") {
            self.result(time, block);
        }
        if self.talks.len() < MAX_OPEN || self.talks.contains_key(&parent) {
            let talk = self.talks.entry(parent).or_default();
            talk.since = Some(time);
            if let Some(chat) = talk.chat.take() {
                chat.end();
            }
        }
    }

    /// The result of one tool.
    fn result(&mut self, time: Timestamp, block: &Value) {
        let Some(id) = name(&block["tool_use_id"]) else { return };
        let Some(Call { span: mut tool, unsure }) = self.tools.remove(&id) else { return };
        // The provider's own tools say in the content that they failed.
        if block["is_error"] == true || block["content"]["error_code"].is_string() {
            tool.fail("tool_error");
        } else if let Some(name) = unsure {
            // It has done something, so there is one: of a server that has connected since the CLI listed them.
            tool.rename(format!("execute_tool {name}"));
            tool.set("gen_ai.tool.name", name.clone());
            if self.listed.len() < MAX_TOOLS {
                self.listed.insert(name);
            }
        }
        if self.has_content {
            tool.set_text("gen_ai.tool.call.result", &text_of(&block["content"]));
        }
        tool.end_at(time);
        // One that works in the background says more, and gets a conversation anew.
        if let Some(Talk { chat: Some(chat), .. }) = self.talks.remove(&Some(id)) {
            chat.end();
        }
    }

    fn close_chats(&mut self) {
        for talk in self.talks.values_mut() {
            if let Some(chat) = talk.chat.take() {
                talk.since = Some(chat.last);
                chat.end();
            }
        }
    }
}

impl Chat {
    fn go_on(&mut self, time: Timestamp, message: &Message, has_content: bool) {
        self.last = time;
        if let Some(tokens) = Tokens::of(&message.body.usage) {
            set_input(&mut self.span, tokens);
        }
        if has_content {
            for block in message.blocks() {
                match block["type"].as_str() {
                    Some("text") => self.said.push(told(block["text"].as_str().unwrap_or_default())),
                    Some("tool_use") => {
                        let (id, name) = (name(&block["id"]), name(&block["name"]));
                        self.said.push(json!({ "type": "tool_call", "id": id, "name": name }));
                    }
                    _ => {}
                }
            }
            self.span.set("gen_ai.output.messages", self.said.list());
        }
    }

    fn end(self) {
        self.span.end_at(self.last);
    }
}

/// The call within which a conversation is held.
fn around<'a>(known: &'a HashMap<String, Place>, call: Option<&String>) -> Option<&'a Place> {
    known.get(call?)
}

pub(super) fn set_usage(span: &mut Span, tokens: Tokens) {
    set_input(span, tokens);
    span.set("gen_ai.usage.output_tokens", number(tokens.output));
}

/// The conventions count what came from a cache, and what went into one, among the input; the provider does not.
///
/// It is all that is known of one call: the CLI passes parts of an answer on as they begin, with a placeholder for the
/// output and without the reason of its end (checked).
fn set_input(span: &mut Span, Tokens { input, cache_read, cache_write, .. }: Tokens) {
    let all = input.saturating_add(cache_read).saturating_add(cache_write);
    span.set("gen_ai.usage.input_tokens", number(all));
    span.set("gen_ai.usage.cache_read.input_tokens", number(cache_read));
    span.set("gen_ai.usage.cache_creation.input_tokens", number(cache_write));
}

fn number(tokens: u64) -> i64 {
    i64::try_from(tokens).unwrap_or(i64::MAX)
}

/// A name or an id, cut; `None` for what is none.
fn name(value: &Value) -> Option<String> {
    let text = value.as_str().filter(|text| !text.is_empty())?;
    Some(shortened(text, MAX_NAME).to_owned())
}
