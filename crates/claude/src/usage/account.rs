//! What one process has used, out of all that it says.
//!
//! Its figures come in two forms, and which one a CLI has is seen by what it says, not by its version (checked with 2.1.261,
//! 2.1.276 and 2.1.330):
//!
//! - New ones tell with each result what was used since the one before; the sum is what the process has used. Their totals
//!   go on from what the session had used before.
//! - Old ones tell totals only, and begin at nothing in every process.
//!
//! Totals of both begin at nothing when the conversation is cleared.

use serde::Deserialize;
use serde_json::Value;

use super::by_model::ByModel;
use crate::frame::Frame;

/// The message that the CLI has begun a new conversation, e.g. at `/clear` (checked).
const CONVERSATION_RESET: &str = "conversation_reset";

/// The model of an answer that no model gave.
const NO_MODEL: &str = "\"<synthetic>\"";

/// How the CLI says that its last call was begun, and that nothing more of its answer came.
const LOST_CONNECTION: [&str; 2] = ["Connection to the API was lost", "Request timed out. If the API is slow"];

/// Follows the figures of one process, in the order in which it says them.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says another thing of what was heard, and all may hold at once"
)]
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Account {
    /// What results have told, and conversations that were cleared.
    closed: ByModel,
    /// The total up to which `closed` counts: at the last result, or at the start of the process.
    mark: Option<ByModel>,
    /// The last total that was heard.
    latest: Option<ByModel>,
    /// The result that was taken last.
    last_result: Option<String>,
    has_result: bool,
    /// A result did not tell what it has used.
    has_gap: bool,
    /// Somebody has worked since the last result.
    is_growing: bool,
    /// A call was cut off that an old CLI does not count.
    has_lost_call: bool,
    /// The provider fell silent in a call, which the CLI does not count.
    has_unanswered_call: bool,
    /// A model has answered since the last result.
    has_answer: bool,
    was_reset: bool,
}

impl Account {
    /// Of a process with a new session, whose totals begin at nothing.
    pub fn new() -> Self {
        Self { mark: Some(ByModel::default()), ..Self::default() }
    }

    /// Of a process that continues a session, or a copy of one: its totals may go on from there. The first total that is heard
    /// must be from before its first message, or be that of a result.
    pub fn of_continued() -> Self {
        Self::default()
    }

    /// Notes that the process was given something to work on.
    pub fn begin_work(&mut self) {
        self.is_growing = true;
    }

    /// Takes the next message into account; most tell nothing.
    pub fn observe(&mut self, frame: &Frame) {
        match frame.kind.as_str() {
            "result" => self.take_result(frame),
            CONVERSATION_RESET => self.begin_anew(),
            _ => {
                self.is_growing |= says_work(frame);
                self.has_answer |= frame.kind == "assistant" && !frame.as_str().contains(NO_MODEL);
            }
        }
    }

    /// Takes the answer to [`super::get_usage`].
    pub fn take_total(&mut self, total: ByModel) {
        let total = self.going_on(total);
        self.mark.get_or_insert_with(|| total.clone());
        self.latest = Some(total);
    }

    /// Takes what the process has left in its transcript: [`super::cost_state`]. It counts for the last conversation only.
    pub fn take_last_total(&mut self, total: ByModel) {
        let is_older = self.latest.as_ref().is_some_and(|latest| total.is_below(latest));
        if !is_older && self.mark.is_some() {
            self.latest = Some(self.going_on(total));
        }
    }

    /// A total after the one before it. One that is less is of a conversation that was cleared, though nobody said so.
    fn going_on(&mut self, total: ByModel) -> ByModel {
        match &self.latest {
            Some(latest) if total.is_below(latest) => {
                self.begin_anew();
                total
            }
            Some(latest) => total.going_on_from(latest),
            None => total,
        }
    }

    /// Notes that the CLI has forgotten the conversation, and with it what it has used. What is known of it stays.
    pub fn begin_anew(&mut self) {
        self.was_reset = true;
        let rest = self.since_mark();
        self.closed.add(&rest);
        (self.mark, self.latest) = (Some(ByModel::default()), Some(ByModel::default()));
    }

    /// What the process is known to have used.
    pub fn used(&self) -> ByModel {
        let mut used = self.closed.clone();
        used.add(&self.since_mark());
        used
    }

    /// Whether anything was heard that tells what it has used.
    pub fn is_told(&self) -> bool {
        self.has_result && !self.has_gap || self.latest.is_some() && self.mark.is_some()
    }

    /// Whether the last result tells the use of all work: subagents may have gone on after it, and been stopped by the CLI
    /// when the budget was used up, without a further result (checked).
    pub fn tells_all(&self) -> bool {
        self.has_result && !self.has_gap && !self.is_growing
    }

    /// Whether [`Self::used`] is all: nobody has worked since it was told, and no call was cut off that the CLI did not count.
    pub fn is_complete(&self) -> bool {
        !self.has_gap && !self.is_growing && !self.has_lost_call
    }

    /// Whether the provider fell silent in a call, which it may count although no CLI does. What a run is charged is what its
    /// CLI says all the same: else every outage would use up what was set aside for the runs that it met.
    pub fn has_unanswered_call(&self) -> bool {
        self.has_unanswered_call
    }

    /// Whether somebody has worked since the last result.
    pub fn is_growing(&self) -> bool {
        self.is_growing
    }

    /// Whether the conversation was cleared. What is said of its session is then not all that the process has used.
    pub fn was_reset(&self) -> bool {
        self.was_reset
    }

    fn since_mark(&self) -> ByModel {
        match (&self.latest, &self.mark) {
            (Some(latest), Some(mark)) => latest.since(mark),
            _ => ByModel::default(),
        }
    }

    fn take_result(&mut self, frame: &Frame) {
        let Some(mut said) = Said::of(frame) else {
            (self.has_result, self.has_gap) = (true, true);
            return;
        };
        if said.uuid.is_some() && said.uuid == self.last_result {
            return;
        }
        self.last_result = said.uuid;
        self.has_result = true;
        let fills_gap = said.total.is_some() && self.mark.is_some();
        said.total = said.total.map(|total| self.going_on(total));
        let step = match (&said.since, &said.total) {
            // Unless the one before is missing, which only the total knows.
            (Some(since), _) if !self.has_gap || !fills_gap => since.clone(),
            // Where no question was answered before, it is an old one, and began at nothing.
            (_, Some(total)) => total.since(self.mark.as_ref().unwrap_or(&ByModel::default())),
            (_, None) => {
                self.has_gap = true;
                return;
            }
        };
        let (is_old, has_answer) = (said.since.is_none(), std::mem::take(&mut self.has_answer));
        self.has_lost_call |= is_old && said.was_cut;
        self.has_unanswered_call |= said.lost_connection || is_old && said.has_no_end && has_answer;
        self.closed.add(&step);
        let total = said.total.or_else(|| {
            let mut mark = self.mark.clone()?;
            mark.add(&step);
            Some(mark)
        });
        self.has_gap &= !fills_gap;
        (self.mark, self.latest) = (total.clone(), total);
        self.is_growing = false;
    }
}

/// What a result says of usage.
struct Said {
    uuid: Option<String>,
    since: Option<ByModel>,
    total: Option<ByModel>,
    /// Whether it ends a turn in the middle of a call.
    was_cut: bool,
    /// Whether the provider did not say that the last answer is all. Old CLIs take it for one nevertheless, and do not count it.
    has_no_end: bool,
    /// Whether it failed because the provider was heard no more, which may count all the same. No CLI does (checked).
    lost_connection: bool,
}

impl Said {
    fn of(frame: &Frame) -> Option<Self> {
        #[derive(Deserialize)]
        struct Body {
            #[serde(default)]
            uuid: Value,
            #[serde(default)]
            model_usage_since_last_result: Value,
            #[serde(default, rename = "modelUsage")]
            models: Value,
            #[serde(default)]
            total_cost_usd: Value,
            #[serde(default)]
            terminal_reason: Value,
            #[serde(default = "absent")]
            stop_reason: Value,
            #[serde(default)]
            is_error: Value,
        }
        let body: Body = frame.body()?;
        Some(Self {
            uuid: body.uuid.as_str().map(str::to_owned),
            since: ByModel::read(&body.model_usage_since_last_result),
            total: ByModel::with_total(Some(&body.models), Some(&body.total_cost_usd)),
            was_cut: body.terminal_reason == "aborted_streaming",
            has_no_end: body.stop_reason.is_null(),
            lost_connection: body.is_error == true && LOST_CONNECTION.iter().any(|text| frame.as_str().contains(text)),
        })
    }
}

/// What is not there, as opposed to what is `null`.
fn absent() -> Value {
    Value::Bool(false)
}

/// Whether a message comes of work that may have called the model.
fn says_work(frame: &Frame) -> bool {
    match frame.kind.as_str() {
        "assistant" | "user" => true,
        "system" => frame.subtype.as_deref().is_some_and(|subtype| subtype.starts_with("task_")),
        _ => false,
    }
}

#[cfg(test)]
mod stories;

#[cfg(test)]
mod tests;
