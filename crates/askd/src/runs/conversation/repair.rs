//! An answer that must fit a schema, at the end of a run: it is checked, and asked for again if it does not fit.
//!
//! The check goes on aside. Meanwhile the conversation takes commands as before, and a cancel, a deadline or an alarm ends it
//! at once. A message that comes during the check will be worked on, so its end is an end anew. So is that of a turn that the
//! CLI takes by itself meanwhile, e.g. because work in the background has ended: a verdict is on the answer that was checked.

use std::pin::Pin;

use claude::frame::Frame;
use claude::input::{Content, user_message};
use claude::outcome::{Ending, ResultMessage, judge};
use serde::Deserialize;
use tokio::time::Instant;

use super::super::schema::AnswerSchema;
use super::super::schema::verdict::{Unfit, Verdict, asks_for_verdict, verdict};
use super::{EventBody, Talk, Warning, WarningCode};

/// The tool by which the model gives its answer.
const TOOL: &str = "StructuredOutput";

/// How much of what does not fit is told to the model, in characters.
const MAX_COMPLAINT: usize = 4_000;

/// What is known of the answer.
pub(super) struct Repair<'a> {
    schema: Option<&'a AnswerSchema>,
    /// How often it may still be asked for again.
    left: u32,
    /// Whether the model has the tool; unknown before its first turn.
    has_tool: Option<bool>,
    state: State<'a>,
}

enum State<'a> {
    /// The run goes on.
    Open,
    /// It would end with this result, by the CLI's word or because that did not come.
    Checking { of: Box<ResultMessage>, is_said: bool, check: Pin<Box<dyn Future<Output = Verdict> + Send + 'a>> },
    /// It ends with the result that this was said of.
    Judged(Verdict),
}

impl<'a> Repair<'a> {
    /// Of a run that may be asked again so often.
    pub(super) fn new(schema: Option<&'a AnswerSchema>, left: u32) -> Self {
        Self { schema, left, has_tool: None, state: State::Open }
    }

    /// Waits for the end of the check, if there is one. Safe to cancel; not to be called again before the verdict is heeded.
    pub(super) async fn checked(&mut self) -> Verdict {
        match &mut self.state {
            State::Checking { check, .. } => check.await,
            State::Open | State::Judged(_) => std::future::pending().await,
        }
    }

    pub(super) fn is_checking(&self) -> bool {
        matches!(self.state, State::Checking { .. })
    }

    /// A further message will bring another answer.
    pub(super) fn begin_anew(&mut self) {
        self.state = State::Open;
    }

    /// Somebody wants the turn to end: what is being checked is not asked for again.
    pub(super) fn interrupt(&mut self) {
        if self.is_checking() {
            self.left = 0;
        }
    }

    /// What was said of the answer with which the run ended.
    pub(super) fn verdict(self) -> Option<Verdict> {
        match self.state {
            State::Judged(verdict) => Some(verdict),
            State::Open | State::Checking { .. } => None,
        }
    }

    /// Looks whether the CLI offers the model what it needs: one that cannot use a schema does without it silently (checked).
    pub(super) fn observe(&mut self, frame: &Frame) {
        #[derive(Deserialize)]
        struct Init {
            tools: Vec<String>,
        }
        if self.schema.is_some()
            && frame.kind == "system"
            && frame.subtype.as_deref() == Some("init")
            && let Some(init) = frame.body::<Init>()
        {
            self.has_tool = Some(init.tools.iter().any(|tool| tool == TOOL));
        }
    }
}

impl Talk<'_> {
    /// Lets the run end, unless its answer has to be checked first.
    pub(super) fn end(&mut self, ending: Ending) -> Option<Ending> {
        let outcome = judge(self.progress.result(), &ending, true);
        let (Some(schema), Some(result)) = (self.repair.schema, self.progress.result()) else { return Some(ending) };
        if ending != Ending::Done || !asks_for_verdict(&outcome) {
            return Some(ending);
        }
        match &self.repair.state {
            State::Judged(_) => return Some(ending),
            State::Checking { of, .. } if **of == *result => return None,
            State::Checking { .. } | State::Open => {}
        }
        let (of, result) = (Box::new(result.clone()), result.clone());
        let check = Box::pin(async move { verdict(schema, &result).await });
        self.repair.state = State::Checking { of, is_said: self.progress.ended(), check };
        None
    }

    /// Ends the run, or asks the model again, or lets the CLI go on with what it has begun meanwhile.
    pub(super) fn heed(&mut self, verdict: Verdict) -> Option<Ending> {
        let state = std::mem::replace(&mut self.repair.state, State::Open);
        let State::Checking { of, is_said, .. } = state else { return None };
        let is_end = self.progress.ended() || !is_said && self.progress.answered();
        if !is_end || self.progress.result() != Some(&*of) {
            self.go_on_after_check();
            return None;
        }
        let verdict = match verdict {
            Verdict::Unfit(unfit) if self.repair.has_tool == Some(false) && !of.has_structured_output => {
                Verdict::Unfit(unfit.for_want_of_the_tool())
            }
            Verdict::Unfit(unfit) if self.may_ask_again() => {
                self.ask_again(&unfit);
                return None;
            }
            verdict => verdict,
        };
        self.repair.state = State::Judged(verdict);
        Some(Ending::Done)
    }

    /// Nobody has waited for the CLI up to now: its graces begin anew.
    fn go_on_after_check(&mut self) {
        self.answered_at = self.progress.answered().then(Instant::now);
        self.deadlines.on_output(std::time::Instant::now());
    }

    /// A CLI that has not said that it is done may be stuck, and one whose budget is used up does not ask the model (checked).
    fn may_ask_again(&self) -> bool {
        self.repair.left > 0 && self.progress.ended() && self.spending.met().is_none()
    }

    fn ask_again(&mut self, unfit: &Unfit) {
        self.repair.left -= 1;
        let conversation = self.conversation;
        let message = format!("{}; the model is asked for it again", unfit.what);
        let warning = EventBody::Warning(Warning::new(WarningCode::SchemaRepaired, message));
        conversation.log.append_now(conversation.ambient.now(), &warning);
        let uuid = conversation.ambient.uuid();
        self.progress.accept_input(uuid);
        self.answered_at = None;
        // While it waited for us, its silence does not count.
        self.deadlines.on_output(std::time::Instant::now());
        self.say(user_message(Content::Text(&request(unfit)), uuid, false, None));
    }
}

/// What the model is told.
fn request(unfit: &Unfit) -> String {
    let flaws = unfit.flaws.iter().map(|flaw| match flaw.path.as_str() {
        "" => format!("- {}\n", flaw.message),
        path => format!("- at `{path}`: {}\n", flaw.message),
    });
    let flaws: String = flaws.collect::<String>().chars().take(MAX_COMPLAINT).collect();
    format!(
        "The structured output of your last answer is missing or does not fit its JSON Schema:\n{}\nCall the tool {TOOL} \
         again, with the whole answer in a form that fits. Do nothing else.",
        flaws.trim_end()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::Flaw;

    #[test]
    fn the_model_is_told_what_does_not_fit_and_not_without_end() {
        let flaw = |path: &str, message: &str| Flaw { path: path.into(), message: message.into() };
        let unfit = |flaws| Unfit { what: String::new(), flaws };
        insta::assert_snapshot!(request(&unfit(vec![flaw("/a/0", "1 is not of type \"string\""), flaw("", "\"b\" is missing")])), @r#"
        The structured output of your last answer is missing or does not fit its JSON Schema:
        - at `/a/0`: 1 is not of type "string"
        - "b" is missing
        Call the tool StructuredOutput again, with the whole answer in a form that fits. Do nothing else.
        "#);
        assert!(request(&unfit(vec![flaw("/a", &"x".repeat(500)); 20])).len() < MAX_COMPLAINT + 300);
    }
}
