//! What a run has used and cost, also when it did not come to its own end.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use claude::frame::Frame;
use claude::outcome::{Ending, ResultMessage};
use claude::progress::{BackgroundTask, Progress};
use claude::usage::by_model::ByModel;
use claude::usage::cost_state;
use supervisor::ladder::{Rung, Stopped};
use supervisor::process::Exit;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::super::event::EventBody;
use super::super::spending::{Spending, met};
use super::super::warning::{Warning, WarningCode};
use super::Worker;
use crate::homes::Home;
use crate::store::budget::Charge;
use crate::store::usage::Usage;
use crate::usd::Usd;

/// How long the end of a run without a budget waits for the CLI's last word on what it has used. One that is interrupted
/// says it within milliseconds (checked).
const PATIENCE: Duration = Duration::from_secs(1);

/// The results that come while a run is being ended: an interrupted turn ends with one.
#[derive(Debug, Default)]
pub(super) struct LastWords {
    results: Mutex<Vec<Frame>>,
    heard: Notify,
}

/// So many are kept; each has a turn before it, and a CLI that is to end begins no further ones.
const MAX_RESULTS: usize = 16;

impl LastWords {
    /// Takes a line; whether it is a result.
    pub(super) fn hear(&self, line: &str) -> bool {
        // Most lines are none, and need not be read.
        if !line.contains(r#""type":"result""#) {
            return false;
        }
        let Some(frame) = Frame::parse(line.to_owned()).ok().filter(|frame| frame.kind == "result") else {
            return false;
        };
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        if results.len() < MAX_RESULTS {
            results.push(frame);
        }
        self.heard.notify_one();
        true
    }

    fn take(&self) -> Vec<Frame> {
        std::mem::take(&mut *self.results.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whether all is said about the cost of a run that ends so: nothing of it calls the model any more.
pub(super) fn is_told(ending: &Ending, progress: &Progress, spending: &Spending) -> bool {
    let beyond_its_budget = progress.result().is_some_and(ResultMessage::is_out_of_budget);
    *ending == Ending::Done
        && spending.account().tells_all()
        && spending.account().is_complete()
        && !beyond_its_budget
        && progress.background().iter().all(BackgroundTask::outlives_the_answer)
}

/// The end of a run that went on after its last result until it had cost as much as it may: the CLI stops subagents then,
/// and says nothing more (checked).
pub(super) fn out_of_budget(
    ending: &Ending,
    spending: &Spending,
    cost: Option<Usd>,
    budget: Option<Usd>,
) -> Option<Ending> {
    let (cost, budget) = (cost?, budget?);
    (*ending == Ending::Done && !spending.account().tells_all() && cost >= budget).then(|| met(cost, budget))
}

/// Whether the CLI ended because askd told it so, and in order: then the last line of its transcript is its own. A run that
/// kills its CLI could have written that line before.
fn ended_in_order(ending: &Ending, stopped: &Stopped) -> bool {
    let was_killed = match stopped.exit {
        Exit::Code(code) => code == KILLED,
        Exit::Signal(_) | Exit::Unknown => true,
    };
    !matches!(ending, Ending::Exited { .. }) && stopped.rung != Some(Rung::Kill) && !was_killed
}

/// What bubblewrap exits with when the CLI in its view was killed.
const KILLED: i32 = 128 + 9;

/// What is known of the cost of a run that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cost {
    /// That it is what its spending says.
    Known,
    /// That it never asked the model for anything.
    Nothing,
    /// That it is at least what its spending says. It may be more.
    Unknown,
}

fn not_known(charged: Usd, reserved: Usd) -> String {
    if charged > reserved {
        format!(
            "nobody says what this run has cost in all: it is charged the {charged} US dollars that are known of it"
        )
    } else {
        format!("nobody says what this run has cost: it is charged the {charged} US dollars that were set aside for it")
    }
}

impl Worker {
    /// Notes what the run is charged and what it has used; its end, which has to follow, stores both. Where nobody says what it
    /// has cost, it is charged what is set aside for it, if it is not known to have cost more.
    pub(super) fn charge(&self, cost: Cost, spending: &Spending) {
        let known = spending.spent();
        let charge = match (cost, known.max(self.run.spec.reserved), self.run.spec.reserved) {
            (Cost::Nothing, ..) => return self.charge_nothing(),
            (Cost::Known, ..) => Charge::Exactly(known.unwrap_or_default().micros()),
            (Cost::Unknown, Some(charged), Some(reserved)) => {
                self.log(&EventBody::Warning(Warning::new(WarningCode::Budget, not_known(charged, reserved))));
                Charge::Exactly(charged.micros())
            }
            (Cost::Unknown, charged, _) => charged.map_or(Charge::AsReserved, |it| Charge::Exactly(it.micros())),
        };
        self.run.live.log.note_charge(charge);
        if known.is_some() {
            self.run.live.log.note_usage(&spending.used(), false);
        }
    }

    /// The same for a run that never asked the model for anything.
    pub(super) fn charge_nothing(&self) {
        self.run.live.log.note_charge(Charge::Exactly(0));
        self.run.live.log.note_usage(&Usage { complete: true, ..Usage::default() }, false);
    }

    /// Waits until the CLI has said what the run has used, or never will: until it has ended, or, for a run without a budget,
    /// for one result or a while.
    pub(super) async fn last_words<F: Future<Output = Stopped>>(
        &self,
        stopping: &mut Pin<&mut F>,
        words: &LastWords,
        spending: &Spending,
    ) -> Option<Stopped> {
        if self.run.spec.budget.is_some() {
            return Some(stopping.await);
        }
        if !spending.has_begun() {
            return None;
        }
        tokio::select! {
            biased;
            stopped = stopping => Some(stopped),
            () = words.heard.notified() => None,
            () = sleep(PATIENCE) => None,
        }
    }

    /// What is known of the run's cost, now that its processes are gone, or have said their last word.
    pub(super) async fn cost(
        &self,
        (ending, ready, stopped): (&Ending, bool, Option<Stopped>),
        spending: &mut Spending,
        words: &LastWords,
        home: &Arc<Home>,
    ) -> Cost {
        let words = words.take();
        for result in &words {
            spending.observe(result);
        }
        let is_in_order = stopped.is_some_and(|stopped| ended_in_order(ending, &stopped));
        let left = if is_in_order && !spending.account().was_reset() { self.left_in(home).await } else { None };
        let has_left = left.is_some();
        if let Some(total) = left {
            // A subagent may have gone on after the last result.
            spending.take_last_total(total);
        }
        let account = spending.account();
        let is_all = account.tells_all() && account.is_complete() && (*ending == Ending::Done || !words.is_empty());
        if account.is_told() && (is_all || has_left) {
            return Cost::Known;
        }
        let not_taken = !ready && !account.is_told() && matches!(ending, Ending::Exited { .. });
        // The prompt did not reach the model.
        if not_taken || !spending.has_begun() { Cost::Nothing } else { Cost::Unknown }
    }

    /// What the session has used by the last line of its transcript, which a CLI writes that ends in order.
    async fn left_in(&self, home: &Arc<Home>) -> Option<ByModel> {
        let (shared, home, session) = (Arc::clone(&self.shared), Arc::clone(home), self.run.spec.session.id());
        let read = tokio::task::spawn_blocking(move || shared.sessions.last_line(session, home.path())).await;
        match read {
            Ok(Ok(line)) => line.as_deref().and_then(cost_state),
            Ok(Err(error)) => {
                tracing::warn!(run = %self.run.id, %error, "cannot read in a transcript what its run has cost");
                None
            }
            Err(_) => None,
        }
    }
}
