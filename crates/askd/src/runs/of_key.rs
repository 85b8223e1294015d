//! A key that counts no more, and its runs: those that wait do not begin, those at work are ended if that was asked for.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, sleep_until};

use super::shared::Shared;
use super::submit::Runs;
use super::worker::{NoTurn, Worker};
use super::{Finished, RunErrorKind, RunId, RunState};
use crate::keys::Key;
use crate::keys::entry::Entry;
use crate::store::StoreError;
use crate::store::runs::Filter;

/// Runs that are looked at together: a row holds its whole request.
const AT_ONCE: u64 = 20;

/// Runs that are named one by one when a key ends them.
const MAX_NAMED: usize = 100;

/// How often a store is asked again that did not answer.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// What became of the runs of a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    /// They were here, and are being ended.
    pub here: usize,
    /// They are in the hands of other servers. There those that wait do not begin, and those at work go on.
    pub elsewhere: usize,
    /// The ids of the first of those that were here.
    pub first: Vec<String>,
}

impl Runs {
    /// Ends all runs of a key that wait or work here. `why` is told in their last events.
    pub async fn end_all_of(&self, key: &str, why: &str) -> Result<Ended, StoreError> {
        let states = [RunState::Queued, RunState::Running].map(|state| state.as_str().to_owned());
        let mut filter =
            Filter { key: Some(key.to_owned()), states: states.into(), limit: AT_ONCE, ..Filter::default() };
        let mut ended = Ended::default();
        loop {
            let rows = self.shared().store.runs(&filter).await?;
            for row in &rows {
                match RunId::parse(&row.id).and_then(|id| self.live(id)) {
                    Some(live) => {
                        live.cancel_because(why);
                        ended.here += 1;
                        if ended.first.len() < MAX_NAMED {
                            ended.first.push(row.id.clone());
                        }
                    }
                    None if row.owner == self.shared().owner => {}
                    None => ended.elsewhere += 1,
                }
            }
            match rows.last() {
                Some(last) if rows.len() as u64 == AT_ONCE => {
                    filter.before = Some((last.created_at, last.id.clone()));
                }
                _ => return Ok(ended),
            }
        }
    }
}

/// Whether the key of a run that waits still counts.
pub(super) enum Standing {
    /// It does, as it is now.
    Counts(Arc<Key>),
    /// It does not: the end of the run.
    Over(Finished),
    /// This server cannot read it, or not all of it; the end of the run, if nobody else is to have it.
    Unreadable(Finished),
}

impl Runs {
    /// What is known of the key of a run that waits. An error is one of the store, which may pass.
    pub(super) async fn standing(&self, id: &str) -> Result<Standing, StoreError> {
        standing(self.shared(), id).await
    }
}

async fn standing(shared: &Shared, id: &str) -> Result<Standing, StoreError> {
    let unreadable = || {
        let message = "its key cannot be read by this version of the server";
        Standing::Unreadable(Finished::failed(RunErrorKind::Invalid, message))
    };
    let entry = match shared.keys.look(id).await {
        Ok(Some(entry)) => entry,
        Ok(None) => return Ok(Standing::Over(no_more(id, "is gone"))),
        // What cannot be read now cannot be read later either.
        Err(StoreError::Mistake(_)) => return Ok(unreadable()),
        Err(error) => return Err(error),
    };
    Ok(match (entry.invalid_at(shared.ambient.now()), entry) {
        (Some(why), _) => Standing::Over(no_more(id, why.as_str())),
        (None, Entry::Key(key)) => Standing::Counts(key),
        (None, Entry::Unreadable(_)) => unreadable(),
    })
}

impl Worker {
    /// Whether the run may still begin, at its turn: not if its key counts no more. A store that does not answer is asked
    /// until it does, for nothing begins that might have to be refused; not for longer than the run may wait. The slot is
    /// held meanwhile: a run that went back into the line would come behind a later one of its session.
    pub(super) async fn check_key(&self) -> Result<(), NoTurn> {
        let (shared, id) = (&self.shared, self.run.spec.key.id.as_str());
        loop {
            match standing(shared, id).await {
                Ok(Standing::Counts(_)) => return Ok(()),
                Ok(Standing::Over(end) | Standing::Unreadable(end)) => return Err(NoTurn::Ended(end)),
                Err(error) => {
                    tracing::warn!(run = %self.run.id, %error, "cannot look whether a run's key still counts");
                }
            }
            tokio::select! {
                biased;
                () = shared.lifecycle.draining().cancelled() => return Err(self.no_turn_before_the_end()),
                () = self.run.live.cancel.cancelled() => return Err(NoTurn::Ended(self.cancelled())),
                () = sleep_until(self.run.turn_until) => return Err(NoTurn::Ended(self.waited_too_long())),
                () = sleep(ASK_AGAIN) => {}
            }
        }
    }
}

/// The end of a run whose key counts no more.
fn no_more(key: &str, why: &str) -> Finished {
    Finished::cancelled(RunErrorKind::Cancelled, format!("the key {key} {why}"))
}
