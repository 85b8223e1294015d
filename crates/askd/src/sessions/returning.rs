//! Sessions whose run has told its end, and whose transcript is still in the home of that run. Who continues such a session
//! waits for its place; who copies it has none, and must wait for the transcript.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use uuid::Uuid;

use super::Sessions;

/// How many runs have yet to give each session back.
#[derive(Debug, Default)]
pub(super) struct Pending {
    sessions: Mutex<HashMap<Uuid, usize>>,
    changed: Notify,
}

impl Pending {
    fn sessions(&self) -> MutexGuard<'_, HashMap<Uuid, usize>> {
        // No code that can panic runs under the lock.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// To be kept until the transcript is back, or will not come.
#[derive(Debug)]
pub struct Returning {
    pending: Arc<Pending>,
    session: Uuid,
}

impl Drop for Returning {
    fn drop(&mut self) {
        let mut sessions = self.pending.sessions();
        if let Some(count) = sessions.get_mut(&self.session) {
            *count -= 1;
            if *count == 0 {
                sessions.remove(&self.session);
            }
        }
        drop(sessions);
        self.pending.changed.notify_waiters();
    }
}

impl Sessions {
    /// Says that a run of the session is about to tell its end. To be called before anybody can hear of that.
    pub fn returning(&self, session: Uuid) -> Returning {
        *self.pending.sessions().entry(session).or_default() += 1;
        Returning { pending: Arc::clone(&self.pending), session }
    }

    /// Waits until no run that has told its end still has the session's transcript. A run at work is not waited for.
    pub async fn returned(&self, session: Uuid) {
        loop {
            let mut changed = pin!(self.pending.changed.notified());
            // Before the look, so that no change comes in between.
            changed.as_mut().enable();
            if !self.pending.sessions().contains_key(&session) {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_session_is_back_when_the_last_run_has_given_it_back_and_others_are_not_waited_for() {
        let data = tempfile::tempdir().unwrap();
        let sessions = Sessions::open(data.path(), data.path(), 1).unwrap();
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let runs = (sessions.returning(one), sessions.clone().returning(one));
        assert!(sessions.returned(other).now_or_never().is_some());
        let mut back = Box::pin(sessions.returned(one));
        drop(runs.0);
        assert!(back.as_mut().now_or_never().is_none());
        drop(runs.1);
        back.await;
        assert!(sessions.pending.sessions().is_empty());
    }
}
