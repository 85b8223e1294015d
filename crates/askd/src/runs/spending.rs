//! What a run has used so far: hears what its CLI says of it, asks now and then, and ends a run that has cost its budget.
//!
//! The CLI has the budget too, but looks at it in its main conversation only, between two calls of the model: subagents go
//! on beyond it (checked). It is asked every second therefore. Without a budget it is asked at most as often, and only when
//! it has worked since: what it has said is not lost when it is killed.

use std::time::Duration;

use claude::frame::Frame;
use claude::outcome::{Ending, Limit};
use claude::usage::account::Account;
use claude::usage::by_model::{Amount, ByModel};
use claude::usage::{get_usage, may_be_usage, usage};
use tokio::time::{Instant, sleep_until};

use crate::store::usage::{Usage, Used};
use crate::usd::Usd;

/// How often the CLI is asked at most. It answers within milliseconds, whatever it does (checked).
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Models that are told apart in one run; what is used of further ones is that of none.
const MAX_MODELS: usize = 32;

/// The longest name of a model, in bytes; what is used of one with a longer name is that of none.
const MAX_NAME: usize = 128;

/// What is known of a run's spending while it works.
#[derive(Debug)]
pub struct Spending {
    budget: Option<Usd>,
    account: Account,
    /// Its totals may go on from those of a session, so that it has to be asked before it works.
    continues: bool,
    has_begun: bool,
    asked: u32,
    /// An answer is to come, or none ever will.
    is_waiting: bool,
    next: Option<Instant>,
    last_look: Instant,
    /// What was told to the run's row.
    told: Usage,
}

impl Spending {
    /// Of a run that may cost so much, with a session of its own or one that it `continues`.
    pub fn new(budget: Option<Usd>, continues: bool) -> Self {
        Self {
            budget,
            account: if continues { Account::of_continued() } else { Account::new() },
            continues,
            has_begun: false,
            asked: 0,
            is_waiting: false,
            next: None,
            last_look: Instant::now(),
            told: Usage::default(),
        }
    }

    /// The CLI gets its first message. A question before it, if what it says later is counted from the answer.
    pub fn begin(&mut self) -> Option<String> {
        if std::mem::replace(&mut self.has_begun, true) {
            return None;
        }
        self.account.begin_work();
        // A new session is known to begin at nothing, so that the first message of most runs waits for no other.
        (self.budget.is_some() || self.continues).then(|| self.question())
    }

    /// Whether the CLI was given a message at all.
    pub fn has_begun(&self) -> bool {
        self.has_begun
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
        self.is_waiting = true;
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
            Some(Err(_)) => {
                // Not asked again. The CLI's own look at the budget remains. Its reason may hold anything.
                tracing::debug!("the CLI does not tell what a session has cost");
                Heard::Answer
            }
            Some(Ok(total)) => {
                self.account.take_total(total);
                self.is_waiting = false;
                self.last_look = Instant::now();
                self.next = self.budget.map(|_| self.last_look + LOOK_EVERY);
                Heard::Answer
            }
        }
    }

    /// Takes the next message of the CLI into account.
    pub fn observe(&mut self, frame: &Frame) {
        self.account.observe(frame);
        if self.next.is_none() && !self.is_waiting && self.has_begun && self.account.is_growing() {
            self.next = Some(self.last_look + LOOK_EVERY);
        }
    }

    /// Takes what the CLI has left in its transcript when it ended.
    pub fn take_last_total(&mut self, total: ByModel) {
        self.account.take_last_total(total);
    }

    /// What is known by now, in detail.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// The end of a run that has cost as much as it may.
    pub fn met(&self) -> Option<Ending> {
        let (budget, spent) = (self.budget?, self.spent()?);
        (spent >= budget).then(|| met(spent, budget))
    }

    /// What the run is known to have cost; `None` if nothing was said of it.
    pub fn spent(&self) -> Option<Usd> {
        self.account.is_told().then(|| Usd::from_micros(self.used().sum().cost_micros))
    }

    /// What the run is known to have used while it works, which is not all; `None` if that was told before.
    pub fn news(&mut self) -> Option<Usage> {
        let so_far = Usage { complete: false, ..self.used() };
        let is_new = so_far != self.told;
        is_new.then(|| self.told.clone_from(&so_far))?;
        Some(so_far)
    }

    /// What the run is known to have used, by model. Each cost is rounded up by itself, and their sum is the run's.
    pub fn used(&self) -> Usage {
        let complete = self.account.is_complete() && !self.account.has_unanswered_call();
        let mut used = Usage { complete, ..Usage::default() };
        for (model, amount) in self.account.used().iter() {
            let is_name = model.len() <= MAX_NAME && !model.chars().any(char::is_control);
            let is_told_apart = is_name && (used.models.len() < MAX_MODELS || used.models.contains_key(model));
            let of = used.models.entry(if is_told_apart { model } else { "" }.to_owned()).or_default();
            *of = of.plus(counted(amount));
        }
        used
    }
}

fn counted(amount: &Amount) -> Used {
    Used {
        input_tokens: amount.input_tokens,
        output_tokens: amount.output_tokens,
        cache_read_input_tokens: amount.cache_read_tokens,
        cache_creation_input_tokens: amount.cache_write_tokens,
        web_search_requests: amount.web_searches,
        cost_micros: Usd::from_dollars(amount.cost_usd).unwrap_or_default().micros(),
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
    use futures_util::FutureExt as _;
    use tokio::time::advance;

    use super::*;

    fn answer(total: f64) -> String {
        format!(
            r#"{{"type":"control_response","response":{{"subtype":"success","request_id":"askd-usage-1","response":{{"session":{{"total_cost_usd":{total}}}}}}}}}"#
        )
    }

    fn says(spending: &mut Spending, message: &str) {
        spending.observe(&Frame::parse(message.to_owned()).unwrap());
    }

    fn cost(dollars: f64) -> Option<Usd> {
        Usd::from_dollars(dollars)
    }

    #[tokio::test]
    async fn a_run_is_charged_what_its_session_has_cost_since_it_began() {
        let mut spending = Spending::new(cost(0.5), true);
        assert!(spending.begin().is_some() && spending.begin().is_none());
        assert_eq!(spending.hear(&answer(2.0)), Heard::Answer);
        assert_eq!((spending.spent(), spending.met()), (Some(Usd::ZERO), None));
        assert_eq!(spending.hear(&answer(2.25)), Heard::Answer);
        assert_eq!((spending.spent(), spending.met()), (cost(0.25), None));
        says(&mut spending, r#"{"type":"result","model_usage_since_last_result":{"m":{"costUSD":0.4}}}"#);
        assert_eq!((spending.spent(), spending.met()), (cost(0.4), None));
        spending.hear(&answer(2.5));
        assert!(matches!(spending.met(), Some(Ending::LimitMet { limit: Limit::Budget, .. })));
    }

    #[tokio::test]
    async fn what_a_cleared_conversation_has_cost_is_not_forgotten() {
        for is_said in [true, false] {
            let mut spending = Spending::new(cost(0.5), true);
            spending.begin();
            for (total, spent) in [(2.0, 0.0), (2.25, 0.25), (0.0, 0.25), (0.125, 0.375), (0.0, 0.375)] {
                // The CLI says so, or only its figures do.
                if is_said && total == 0.0 {
                    says(&mut spending, r#"{"type":"conversation_reset"}"#);
                }
                spending.hear(&answer(total));
                assert_eq!((spending.spent(), spending.met()), (cost(spent), None), "{total}");
            }
            assert!(spending.account().was_reset());
            spending.hear(&answer(0.125));
            assert!(spending.met().is_some());
        }
    }

    #[tokio::test]
    async fn a_cli_that_does_not_know_the_question_is_not_asked_again() {
        let mut spending = Spending::new(cost(0.5), false);
        spending.begin();
        let refusal = r#"{"type":"control_response","response":{"subtype":"error","request_id":"askd-usage-1","error":"unsupported"}}"#;
        assert_eq!(spending.hear(refusal), Heard::Answer);
        says(&mut spending, r#"{"type":"assistant"}"#);
        assert!(spending.next.is_none() && spending.met().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_without_a_budget_and_with_a_new_session_is_asked_only_while_it_works_on() {
        let mut spending = Spending::new(None, false);
        assert!(spending.begin().is_none() && spending.has_begun());
        assert_eq!(spending.hear(&answer(2.0)), Heard::Other, "it was not asked");
        assert!(spending.due().now_or_never().is_none());
        says(&mut spending, r#"{"type":"assistant"}"#);
        assert!(spending.due().now_or_never().is_none(), "most runs are over in the first second");
        advance(LOOK_EVERY).await;
        assert!(spending.due().now_or_never().is_some());
        spending.question();
        says(&mut spending, r#"{"type":"user"}"#);
        assert!(spending.next.is_none(), "it has not answered");
        assert_eq!(spending.hear(&answer(0.25)), Heard::Answer);
        assert_eq!(spending.spent(), cost(0.25));
        assert!(spending.news().is_some_and(|usage| !usage.complete) && spending.news().is_none());
        advance(LOOK_EVERY * 5).await;
        assert!(spending.due().now_or_never().is_none(), "nothing has happened since");
        says(&mut spending, r#"{"type":"user"}"#);
        assert!(spending.due().now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_session_that_is_continued_is_asked_before_its_first_message() {
        let mut spending = Spending::new(None, true);
        assert!(spending.begin().is_some());
        spending.hear(&answer(2.0));
        assert!(spending.next.is_none());
        says(&mut spending, r#"{"type":"result","total_cost_usd":2.5,"modelUsage":{}}"#);
        assert_eq!(spending.spent(), cost(0.5));
    }

    #[tokio::test]
    async fn names_that_are_none_and_more_models_than_a_run_has_count_as_no_model() {
        let mut spending = Spending::new(None, false);
        let models: Vec<_> = (0..40)
            .map(|number| format!(r#""m{number:02}":{{"inputTokens":1,"costUSD":0.000001}}"#))
            .chain([
                format!(r#""{}":{{"costUSD":0.000001}}"#, "x".repeat(MAX_NAME + 1)),
                r#""a\u0000":{"costUSD":1}"#.into(),
            ])
            .collect();
        let result = format!(r#"{{"type":"result","model_usage_since_last_result":{{{}}}}}"#, models.join(","));
        says(&mut spending, &result);
        let used = spending.used();
        assert_eq!(used.models.len(), MAX_MODELS);
        assert_eq!((used.sum().input_tokens, used.sum().cost_micros), (40, 1_000_041));
        assert!(used.models.keys().all(|name| name.is_empty() || name.starts_with('m')), "{used:?}");
    }
}
