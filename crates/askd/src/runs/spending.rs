//! Looks now and then what a run with a budget has cost, and ends it when that is as much as it may.
//!
//! The CLI has the budget too, but looks at it in its main conversation only, between two calls of the model: subagents go
//! on beyond it (checked).

use std::time::Duration;

use claude::frame::Frame;
use claude::outcome::{Ending, Limit};
use claude::usage::{get_usage, may_be_usage, usage};
use tokio::time::{Instant, sleep_until};

use crate::usd::Usd;

/// How often the CLI is asked. It answers within milliseconds, whatever it does (checked).
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is known of a run's spending while it works.
#[derive(Debug)]
pub struct Spending {
    budget: Option<Usd>,
    asked: u32,
    next: Option<Instant>,
    /// What the session had cost before this run, in US dollars.
    before: Option<f64>,
    /// What it has cost by the last answer.
    total: Option<f64>,
    /// What the run had cost when its conversation began anew: the CLI's figures begin at 0 then (checked with `/clear`).
    forgotten: f64,
    was_reset: bool,
}

impl Spending {
    /// Of a run that may cost so much; without a budget nothing is asked.
    pub fn new(budget: Option<Usd>) -> Self {
        Self { budget, asked: 0, next: None, before: None, total: None, forgotten: 0.0, was_reset: false }
    }

    /// The first question, to be written before the first message: from there it is counted.
    pub fn begin(&mut self) -> Option<String> {
        (self.budget.is_some() && self.asked == 0).then(|| self.question())
    }

    /// Whether the CLI was given a message at all.
    pub fn has_begun(&self) -> bool {
        self.asked > 0
    }

    /// Waits until it is time for the next question. Safe to cancel.
    pub async fn due(&self) {
        match self.next {
            Some(next) => sleep_until(next).await,
            None => std::future::pending().await,
        }
    }

    /// The next question. There is none after it until it is answered.
    pub fn question(&mut self) -> String {
        self.next = None;
        self.asked += 1;
        get_usage(self.asked)
    }

    /// Takes a line that answers, and no other: those are not for it.
    pub fn hear(&mut self, line: &str) -> Heard {
        if self.asked == 0 || !may_be_usage(line) {
            return Heard::Other;
        }
        let answer = Frame::parse(line.to_owned()).ok().and_then(|frame| usage(&frame));
        match answer {
            None => Heard::Other,
            Some(Err(reason)) => {
                // Not asked again. The CLI's own look at the budget remains.
                tracing::debug!(reason, "the CLI does not tell what a session has cost");
                Heard::Answer
            }
            Some(Ok(total)) => {
                if self.total.is_some_and(|last| total < last) {
                    self.begin_anew();
                }
                self.before.get_or_insert(total);
                self.total = Some(total);
                self.next = Some(Instant::now() + LOOK_EVERY);
                Heard::Answer
            }
        }
    }

    /// Notes that the CLI has forgotten the conversation, and with it what it has cost. Its own look at the budget begins
    /// anew as well (checked).
    pub fn begin_anew(&mut self) {
        self.was_reset = true;
        if let (Some(total), Some(before)) = (self.total, self.before) {
            self.forgotten += (total - before).max(0.0);
            (self.total, self.before) = (Some(0.0), Some(0.0));
        }
    }

    /// Whether it has. What is said of its session is then not all that the run has cost.
    pub fn was_reset(&self) -> bool {
        self.was_reset
    }

    /// The end of a run that has cost as much as it may, by the answers or, in US dollars, by its results.
    pub fn met(&self, by_results: Option<f64>) -> Option<Ending> {
        let (budget, spent) = (self.budget?, self.spent().max(by_results.and_then(Usd::from_dollars))?);
        (spent >= budget).then(|| met(spent, budget))
    }

    /// What the run had cost at the last answer.
    pub fn spent(&self) -> Option<Usd> {
        self.of_total(self.total?)
    }

    /// What the run has cost when its session has cost so much.
    pub fn of_total(&self, total: f64) -> Option<Usd> {
        Usd::from_dollars(self.forgotten + (total - self.before?).max(0.0))
    }
}

/// The end of a run that has cost as much as it may.
pub(super) fn met(spent: Usd, budget: Usd) -> Ending {
    let what = format!("the run has cost {spent} US dollars by the CLI's estimate, and may cost {budget}");
    Ending::LimitMet { limit: Limit::Budget, what }
}

/// What a line was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// An answer to a question of this kind. It is no sign that the run goes on.
    Answer,
    /// Something else.
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(total: f64) -> String {
        format!(
            r#"{{"type":"control_response","response":{{"subtype":"success","request_id":"askd-usage-1","response":{{"session":{{"total_cost_usd":{total}}}}}}}}}"#
        )
    }

    #[tokio::test]
    async fn a_run_is_charged_what_its_session_has_cost_since_it_began() {
        let mut spending = Spending::new(Usd::from_dollars(0.5));
        assert!(spending.begin().is_some() && spending.begin().is_none());
        assert_eq!(spending.hear(&answer(2.0)), Heard::Answer);
        assert_eq!((spending.spent(), spending.met(None)), (Some(Usd::ZERO), None));
        assert_eq!(spending.hear(&answer(2.25)), Heard::Answer);
        assert_eq!((spending.spent(), spending.met(None)), (Usd::from_dollars(0.25), None));
        assert!(spending.met(Some(0.4)).is_none() && spending.met(Some(0.5)).is_some());
        spending.hear(&answer(2.5));
        assert!(matches!(spending.met(None), Some(Ending::LimitMet { limit: Limit::Budget, .. })));
    }

    #[tokio::test]
    async fn what_a_cleared_conversation_has_cost_is_not_forgotten() {
        for is_said in [true, false] {
            let mut spending = Spending::new(Usd::from_dollars(0.5));
            spending.begin();
            for (total, spent) in [(2.0, 0.0), (2.25, 0.25), (0.0, 0.25), (0.125, 0.375), (0.0, 0.375)] {
                // The CLI says so, or only its figures do.
                if is_said && total == 0.0 {
                    spending.begin_anew();
                }
                spending.hear(&answer(total));
                assert_eq!((spending.spent(), spending.met(None)), (Usd::from_dollars(spent), None), "{total}");
            }
            assert!(spending.was_reset());
            spending.hear(&answer(0.125));
            assert!(spending.met(None).is_some());
        }
    }

    #[tokio::test]
    async fn a_cli_that_does_not_know_the_question_is_not_asked_again() {
        let mut spending = Spending::new(Usd::from_dollars(0.5));
        spending.begin();
        let refusal = r#"{"type":"control_response","response":{"subtype":"error","request_id":"askd-usage-1","error":"unsupported"}}"#;
        assert_eq!(spending.hear(refusal), Heard::Answer);
        assert!(spending.next.is_none() && spending.met(None).is_none());
    }

    #[tokio::test]
    async fn without_a_budget_nothing_is_asked_and_nothing_is_taken() {
        let mut spending = Spending::new(None);
        assert!(spending.begin().is_none());
        assert_eq!(spending.hear(&answer(2.0)), Heard::Other);
    }
}
