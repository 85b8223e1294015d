//! What a run with a budget has cost, when it did not come to its own end.

use std::sync::{Arc, Mutex, PoisonError};

use claude::frame::Frame;
use claude::outcome::{Ending, ResultMessage};
use claude::progress::{BackgroundTask, Progress};
use claude::usage::cost_state;
use supervisor::ladder::{Rung, Stopped};
use supervisor::process::Exit;

use super::super::event::EventBody;
use super::super::spending::{Spending, met};
use super::Worker;
use crate::homes::Home;
use crate::store::budget::Charge;
use crate::usd::Usd;

/// The results that come while a run is being ended: an interrupted turn ends with one.
#[derive(Debug, Default)]
pub(super) struct LastWords(Mutex<Option<f64>>);

impl LastWords {
    /// Takes a line; whether it is a result.
    pub(super) fn hear(&self, line: &str) -> bool {
        // Most lines are none, and need not be read.
        if !line.contains(r#""type":"result""#) {
            return false;
        }
        let result = Frame::parse(line.to_owned()).ok().and_then(|frame| ResultMessage::parse(&frame));
        if let Some(cost) = result.as_ref().and_then(|result| result.cost_since_last) {
            let mut sum = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *sum = Some(sum.unwrap_or(0.0) + cost);
        }
        result.is_some()
    }

    fn cost(&self) -> Option<f64> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether all is said about the cost of a run that ends so: nothing of it calls the model any more.
pub(super) fn is_told(ending: &Ending, progress: &Progress, spending: &Spending) -> bool {
    let beyond_its_budget = progress.result().is_some_and(ResultMessage::is_out_of_budget);
    *ending == Ending::Done
        && !spending.was_reset()
        && progress.tells_all_spending()
        && !beyond_its_budget
        && progress.background().iter().all(BackgroundTask::outlives_the_answer)
}

/// The end of a run that went on after its last result until it had cost as much as it may: the CLI stops subagents then,
/// and says nothing more (checked).
pub(super) fn out_of_budget(
    ending: &Ending,
    progress: &Progress,
    cost: Option<Usd>,
    budget: Option<Usd>,
) -> Option<Ending> {
    let (cost, budget) = (cost?, budget?);
    (*ending == Ending::Done && !progress.tells_all_spending() && cost >= budget).then(|| met(cost, budget))
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

/// What a run has cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cost {
    /// So much.
    Known(Usd),
    /// By as much as its results have let the session's cost grow; the store has the figures.
    AsTold,
    /// At least so much, if anything is known of it. It may be more.
    Unknown(Option<Usd>),
}

impl Cost {
    /// What it certainly has cost, as far as that is known here.
    pub(super) fn at_least(self) -> Option<Usd> {
        match self {
            Self::Known(cost) => Some(cost),
            Self::AsTold => None,
            Self::Unknown(least) => least,
        }
    }
}

/// What the session had cost at the end of a run that came to its own end with a CLI which tells nothing but that.
fn session_cost(ending: &Ending, progress: &Progress) -> Option<f64> {
    let last = progress.result().filter(|last| *ending == Ending::Done && last.cost_since_last.is_none())?;
    last.total_cost_usd
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
    /// Notes what the run is charged; its end, which has to follow, stores it. Where nobody says what it has cost, that is what
    /// is set aside for it, if it is not known to have cost more.
    pub(super) fn charge(&self, cost: Cost) {
        let charge = match cost {
            Cost::Known(cost) => Charge::Exactly(cost.micros()),
            Cost::AsTold => Charge::AsTold,
            Cost::Unknown(least) => match (least.max(self.run.spec.reserved), self.run.spec.reserved) {
                (Some(charged), Some(reserved)) => {
                    self.log(&EventBody::Warning(not_known(charged, reserved)));
                    Charge::Exactly(charged.micros())
                }
                (charged, _) => charged.map_or(Charge::AsReserved, |charged| Charge::Exactly(charged.micros())),
            },
        };
        self.run.live.log.note_charge(charge);
    }

    /// What the run has cost, now that its processes are gone.
    pub(super) async fn cost(
        &self,
        (ending, ready, stopped): (&Ending, bool, Stopped),
        progress: &Progress,
        spending: &Spending,
        last_words: &LastWords,
        home: &Arc<Home>,
    ) -> Cost {
        let said = match (progress.spent(), last_words.cost()) {
            (None, None) => None,
            (first, last) => Usd::from_dollars(first.unwrap_or(0.0) + last.unwrap_or(0.0)),
        };
        let left = if ended_in_order(ending, &stopped) && !spending.was_reset() {
            self.cost_left_in(home).await.and_then(|total| spending.of_total(total))
        } else {
            None
        };
        // Each of them counts what is known to it: a subagent may have gone on after the last result.
        let known = said.max(left).max(spending.spent());
        let is_complete =
            last_words.cost().is_some() || left.is_some() || (*ending == Ending::Done && progress.tells_all_spending());
        if is_complete {
            return known.map_or(Cost::Unknown(None), Cost::Known);
        }
        let not_taken = !ready && said.is_none() && matches!(ending, Ending::Exited { .. });
        if not_taken || !spending.has_begun() {
            // The prompt did not reach the model.
            return Cost::Known(Usd::ZERO);
        }
        match session_cost(ending, progress) {
            Some(total) => {
                spending.of_total(total).map_or(Cost::AsTold, |cost| Cost::Known(known.unwrap_or(cost).max(cost)))
            }
            None => Cost::Unknown(known),
        }
    }

    /// What the session has cost by the last line of its transcript, which a CLI writes that ends in order.
    async fn cost_left_in(&self, home: &Arc<Home>) -> Option<f64> {
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
