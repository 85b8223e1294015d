//! Who runs next: fair between keys, with at most so many running, so many waiting, and one per session.
//!
//! Each key has a line of its own, in which the priority counts and then the arrival. Between the lines the turns are shared
//! by weight (`queue::line`): a key that submits a thousand runs waits behind itself.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

use self::line::{Line, Waiter};
use crate::keys::policy::USUAL_WEIGHT;
use crate::keys::priority::Priority;
use crate::keys::{Key, KeyId};

mod line;

/// Admission and order of runs.
#[derive(Debug, Clone)]
pub struct Queue {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    max_running: AtomicUsize,
    max_waiting: AtomicUsize,
    // A std mutex: it is held for a few instructions and never across an await.
    line: Mutex<Line<oneshot::Sender<Slot>>>,
}

/// Whose run it is, and what its key is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The key.
    pub key: KeyId,
    /// Its part of the turns while others wait, from 1.
    pub weight: u32,
    /// The run's place among those of its key.
    pub priority: Priority,
    /// The runs that the key may have at work.
    pub max_concurrent: Option<usize>,
    /// The runs that it may have waiting.
    pub max_waiting: Option<usize>,
}

impl Share {
    /// As the key's policy has it, for a run that asks for this priority, which the policy allows; `None`: for none.
    pub fn of(key: &Key, priority: Option<Priority>) -> Self {
        let policy = &key.policy;
        let number = |bound: Option<u32>| bound.map(|bound| usize::try_from(bound).unwrap_or(usize::MAX));
        Self {
            key: key.id.clone(),
            weight: policy.weight.unwrap_or(USUAL_WEIGHT).max(1),
            priority: policy.max_priority.into_iter().fold(priority.unwrap_or_default(), Priority::min),
            max_concurrent: number(policy.max_concurrent),
            max_waiting: number(policy.max_waiting),
        }
    }
}

/// As many runs wait as are allowed to.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueFull {
    /// Of all keys together.
    #[error("the server is busy: no more than {waiting} may wait for a turn, and as many do (ASKD_QUEUE_LENGTH)")]
    Server {
        /// Runs that wait.
        waiting: usize,
        /// How long a run that entered now would wait, by what turns have taken of late.
        wait: Duration,
    },
    /// Of the run's key.
    #[error(
        "as many runs of this key wait for a turn as its policy lets wait (max_waiting: {waiting}), however busy the server is"
    )]
    Key {
        /// Runs of the key that wait.
        waiting: usize,
        /// As above.
        wait: Duration,
    },
}

impl QueueFull {
    /// How long a run that entered now would wait; an estimate, from a second to an hour.
    pub fn wait(&self) -> Duration {
        match self {
            Self::Server { wait, .. } | Self::Key { wait, .. } => *wait,
        }
    }
}

/// Numbers for `/health`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occupancy {
    /// Runs that hold a slot.
    pub active: usize,
    /// How many may hold one.
    pub max: usize,
    /// Runs that wait.
    pub queued: usize,
}

/// Who waits, for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Runs by priority, in the order of [`Priority::WORDS`].
    pub by_priority: [usize; Priority::WORDS.len()],
    /// When the one was submitted that has waited longest.
    pub oldest: Option<Timestamp>,
}

impl Queue {
    /// A queue for `max_running` runs at once and `max_waiting` behind them.
    pub fn new(max_running: usize, max_waiting: usize) -> Self {
        let (max_running, max_waiting) = (max_running.into(), max_waiting.into());
        Self { shared: Arc::new(Shared { max_running, max_waiting, line: Mutex::new(Line::new()) }) }
    }

    /// From now on for so many. Nothing that runs or waits is ended: where there is more of it, nothing is added until there is
    /// less.
    pub fn resize(&self, max_running: usize, max_waiting: usize) {
        self.shared.max_running.store(max_running, Ordering::Relaxed);
        self.shared.max_waiting.store(max_waiting, Ordering::Relaxed);
        self.shared.dispatch();
    }

    /// Takes a place in the line of its key. A run that can start at once is never refused for want of places, and a key of
    /// which nothing waits may always add one, so that nobody's flood keeps it out; unless none may wait at all. `since` is now.
    pub fn enter(&self, session: Uuid, share: Share, since: Timestamp) -> Result<Ticket, QueueFull> {
        let line = self.shared.lock();
        let (all, own) = (line.waiting(), line.waiting_of(&share.key));
        let is_free = line.running() < self.shared.max_running() && !line.is_busy(session);
        if !(is_free && line.has_room(&share)) {
            let wait = || line.wait_of(&share, self.shared.max_running());
            if share.max_waiting.is_some_and(|most| own >= most) {
                return Err(QueueFull::Key { waiting: own, wait: wait() });
            }
            let most = self.shared.max_waiting.load(Ordering::Relaxed);
            if all >= most && (own > 0 || most == 0) {
                return Err(QueueFull::Server { waiting: all, wait: wait() });
            }
        }
        Ok(self.join(line, session, share, since))
    }

    /// Takes a place at the end of the line for a run that had one before a restart: it is never refused. `since` is when it was
    /// submitted.
    pub fn enter_again(&self, session: Uuid, share: Share, since: Timestamp) -> Ticket {
        self.join(self.shared.lock(), session, share, since)
    }

    fn join(
        &self,
        mut line: MutexGuard<'_, Line<oneshot::Sender<Slot>>>,
        session: Uuid,
        share: Share,
        since: Timestamp,
    ) -> Ticket {
        let (grant, granted) = oneshot::channel();
        let number = line.join(session, &share, since, grant);
        drop(line);
        self.shared.dispatch();
        Ticket { shared: Arc::clone(&self.shared), share, number, granted }
    }

    /// Gives no slots until [`Self::open`]: who enters meanwhile waits.
    pub fn hold_back(&self) {
        self.shared.lock().held_back = true;
    }

    /// Gives slots from now on.
    pub fn open(&self) {
        self.shared.lock().held_back = false;
        self.shared.dispatch();
    }

    /// Whether a run of this session holds a slot or waits for one.
    pub fn knows(&self, session: Uuid) -> bool {
        let line = self.shared.lock();
        line.is_busy(session) || line.waits(session)
    }

    /// Holds a session for something else than a run, so that runs of it wait; `None` if a run works with it or waits for it.
    pub fn hold(&self, session: Uuid) -> Option<SessionHold> {
        let mut line = self.shared.lock();
        if line.waits(session) || !line.make_busy(session) {
            return None;
        }
        drop(line);
        Some(SessionHold { shared: Arc::clone(&self.shared), session })
    }

    /// Who waits. It looks at each of them.
    pub fn waiting(&self) -> Waiting {
        self.shared.lock().waiting_by_priority()
    }

    /// How full it is.
    pub fn occupancy(&self) -> Occupancy {
        let line = self.shared.lock();
        Occupancy { active: line.running(), max: self.shared.max_running(), queued: line.waiting() }
    }
}

impl Shared {
    fn max_running(&self) -> usize {
        self.max_running.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Line<oneshot::Sender<Slot>>> {
        // No code that can panic runs under the lock.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives free slots to those whose turn it is.
    fn dispatch(self: &Arc<Self>) {
        let mut undelivered = Vec::new();
        let mut line = self.lock();
        while !line.held_back && line.running() < self.max_running() {
            let Some((key, Waiter { session, grant, .. })) = line.next() else { break };
            let slot = Slot { shared: Arc::clone(self), key, session, since: Instant::now(), has_begun: false };
            // The receiver is gone only if the ticket was dropped a moment ago. Its slot comes back, but must not be
            // dropped here: that would lock again.
            undelivered.extend(grant.send(slot).err());
        }
        drop(line);
        drop(undelivered);
    }
}

/// A place in the line. Dropping it leaves the line.
#[derive(Debug)]
pub struct Ticket {
    shared: Arc<Shared>,
    share: Share,
    number: u64,
    granted: oneshot::Receiver<Slot>,
}

impl Ticket {
    /// Waits for a slot. Safe to cancel.
    pub async fn granted(&mut self) -> Slot {
        match (&mut self.granted).await {
            Ok(slot) => slot,
            // The sender lives in the line until it sends, so this is not reached; waiting is the harmless answer.
            Err(_) => std::future::pending().await,
        }
    }

    /// How long another run of the same key would wait that entered now; as [`QueueFull::wait`].
    pub fn expected_wait(&self) -> Duration {
        self.shared.lock().wait_of(&self.share, self.shared.max_running())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.shared.lock().leave(&self.share.key, self.number);
        // A slot that was granted but not taken drops with the channel and goes to the next one.
    }
}

/// The right to run. Dropping it frees the slot and the session.
#[derive(Debug)]
pub struct Slot {
    shared: Arc<Shared>,
    key: KeyId,
    session: Uuid,
    since: Instant,
    has_begun: bool,
}

impl Slot {
    /// Says that the run works from now on. Without that word its turn costs its key nothing, and says nothing of how long
    /// turns take: the run was refused, or has ended in the line.
    pub fn begin(&mut self) {
        self.has_begun = true;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let took = self.has_begun.then(|| self.since.elapsed());
        self.shared.lock().free(&self.key, self.session, took);
        self.shared.dispatch();
    }
}

/// Keeps runs from a session. Dropping it lets them go on.
#[derive(Debug)]
pub struct SessionHold {
    shared: Arc<Shared>,
    session: Uuid,
}

impl Drop for SessionHold {
    fn drop(&mut self) {
        self.shared.lock().make_free(self.session);
        self.shared.dispatch();
    }
}

#[cfg(test)]
mod tests;
