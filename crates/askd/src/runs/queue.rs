//! Who runs next: first come, first served, with at most so many running, so many waiting, and one per session.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use uuid::Uuid;

/// Admission and order of runs.
#[derive(Debug, Clone)]
pub struct Queue {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    max_running: usize,
    max_waiting: usize,
    // A std mutex: it is held for a few instructions and never across an await.
    line: Mutex<Line>,
}

#[derive(Debug, Default)]
struct Line {
    held_back: bool,
    running: usize,
    busy_sessions: HashSet<Uuid>,
    waiting: VecDeque<Waiter>,
    next_ticket: u64,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    session: Uuid,
    grant: oneshot::Sender<Slot>,
}

/// As many runs wait as are allowed to.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no more than {waiting} may wait for a turn, and as many do")]
pub struct QueueFull {
    waiting: usize,
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

impl Queue {
    /// A queue for `max_running` runs at once and `max_waiting` behind them.
    pub fn new(max_running: usize, max_waiting: usize) -> Self {
        Self { shared: Arc::new(Shared { max_running, max_waiting, line: Mutex::default() }) }
    }

    /// Takes a place in the line. A run that can start at once is never refused.
    pub fn enter(&self, session: Uuid) -> Result<Ticket, QueueFull> {
        let line = self.shared.lock();
        let at_once = line.running < self.shared.max_running && !line.busy_sessions.contains(&session);
        if !at_once && line.waiting.len() >= self.shared.max_waiting {
            return Err(QueueFull { waiting: line.waiting.len() });
        }
        Ok(self.join(line, session))
    }

    /// Takes a place at the end of the line for a run that had one before a restart: it is never refused.
    pub fn enter_again(&self, session: Uuid) -> Ticket {
        self.join(self.shared.lock(), session)
    }

    fn join(&self, mut line: MutexGuard<'_, Line>, session: Uuid) -> Ticket {
        let (grant, granted) = oneshot::channel();
        let number = line.next_ticket;
        line.next_ticket += 1;
        line.waiting.push_back(Waiter { ticket: number, session, grant });
        drop(line);
        self.shared.dispatch();
        Ticket { shared: Arc::clone(&self.shared), number, granted }
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
        line.busy_sessions.contains(&session) || line.waiting.iter().any(|waiter| waiter.session == session)
    }

    /// Holds a session for something else than a run, so that runs of it wait; `None` if a run works with it or waits for it.
    pub fn hold(&self, session: Uuid) -> Option<SessionHold> {
        let mut line = self.shared.lock();
        if line.waiting.iter().any(|waiter| waiter.session == session) || !line.busy_sessions.insert(session) {
            return None;
        }
        drop(line);
        Some(SessionHold { shared: Arc::clone(&self.shared), session })
    }

    /// How full it is.
    pub fn occupancy(&self) -> Occupancy {
        let line = self.shared.lock();
        Occupancy { active: line.running, max: self.shared.max_running, queued: line.waiting.len() }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Line> {
        // No code that can panic runs under the lock.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives free slots to those who have waited longest. Who waits for a busy session is passed over, and keeps its
    /// place.
    fn dispatch(self: &Arc<Self>) {
        let mut undelivered = Vec::new();
        let mut line = self.lock();
        while !line.held_back && line.running < self.max_running {
            let next = line.waiting.iter().position(|waiter| !line.busy_sessions.contains(&waiter.session));
            let Some(waiter) = next.and_then(|index| line.waiting.remove(index)) else { break };
            line.running += 1;
            line.busy_sessions.insert(waiter.session);
            let slot = Slot { shared: Arc::clone(self), session: waiter.session };
            // The receiver is gone only if the ticket was dropped a moment ago. Its slot comes back, but must not be
            // dropped here: that would lock again.
            undelivered.extend(waiter.grant.send(slot).err());
        }
        drop(line);
        drop(undelivered);
    }
}

/// A place in the line. Dropping it leaves the line.
#[derive(Debug)]
pub struct Ticket {
    shared: Arc<Shared>,
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
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.shared.lock().waiting.retain(|waiter| waiter.ticket != self.number);
        // A slot that was granted but not taken drops with the channel and goes to the next one.
    }
}

/// The right to run. Dropping it frees the slot and the session.
#[derive(Debug)]
pub struct Slot {
    shared: Arc<Shared>,
    session: Uuid,
}

impl Drop for Slot {
    fn drop(&mut self) {
        {
            let mut line = self.shared.lock();
            line.running -= 1;
            line.busy_sessions.remove(&self.session);
        }
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
        self.shared.lock().busy_sessions.remove(&self.session);
        self.shared.dispatch();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn session(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn granted(ticket: &mut Ticket) -> Option<Slot> {
        ticket.granted().now_or_never()
    }

    #[test]
    fn slots_go_to_those_who_waited_longest() {
        let queue = Queue::new(1, 10);
        let mut tickets: Vec<_> = (0..3).map(|n| queue.enter(session(n)).unwrap()).collect();
        let first = granted(&mut tickets[0]).expect("a free slot is given at once");
        assert!(granted(&mut tickets[1]).is_none());
        drop(first);
        let second = granted(&mut tickets[1]).expect("the second is next");
        assert!(granted(&mut tickets[2]).is_none());
        drop(second);
        assert!(granted(&mut tickets[2]).is_some());
    }

    #[test]
    fn the_line_is_bounded_but_a_free_slot_is_never_refused() {
        let queue = Queue::new(1, 0);
        let mut running = queue.enter(session(0)).unwrap();
        let slot = granted(&mut running).unwrap();
        assert_eq!(queue.enter(session(1)).unwrap_err(), QueueFull { waiting: 0 });
        drop(slot);
        assert!(queue.enter(session(1)).is_ok());
    }

    #[test]
    fn a_queue_that_is_held_back_gives_its_slots_later_and_in_order() {
        let queue = Queue::new(1, 10);
        queue.hold_back();
        let mut first = queue.enter_again(session(0));
        let mut second = queue.enter_again(session(1));
        assert!(granted(&mut first).is_none());
        queue.open();
        assert!(granted(&mut second).is_none());
        assert!(granted(&mut first).is_some());
    }

    #[test]
    fn one_session_runs_once_at_a_time_and_does_not_hold_up_others() {
        let queue = Queue::new(2, 10);
        let mut first = queue.enter(session(7)).unwrap();
        let mut again = queue.enter(session(7)).unwrap();
        let mut other = queue.enter(session(8)).unwrap();
        let slot = granted(&mut first).unwrap();
        assert!(granted(&mut again).is_none(), "the session is busy");
        assert!(granted(&mut other).is_some(), "another session passes it");
        drop(slot);
        assert!(granted(&mut again).is_some());
    }

    #[test]
    fn a_session_that_is_held_keeps_its_runs_waiting_and_no_others() {
        let queue = Queue::new(2, 10);
        let hold = queue.hold(session(7)).unwrap();
        assert!(queue.hold(session(7)).is_none(), "one at a time");
        let (mut waits, mut other) = (queue.enter(session(7)).unwrap(), queue.enter(session(8)).unwrap());
        assert!(granted(&mut waits).is_none() && queue.knows(session(7)));
        let working = granted(&mut other).unwrap();
        drop(hold);
        assert!(granted(&mut waits).is_some());
        drop(working);
        let waiting = [queue.enter(session(9)).unwrap(), queue.enter(session(9)).unwrap()];
        assert!(queue.hold(session(9)).is_none(), "a run works with it or waits for it");
        drop(waiting);
        assert!(queue.hold(session(9)).is_some());
    }

    #[test]
    fn whoever_leaves_the_line_leaves_no_trace() {
        let queue = Queue::new(1, 10);
        let mut running = queue.enter(session(0)).unwrap();
        let slot = granted(&mut running).unwrap();
        drop(queue.enter(session(1)).unwrap());
        let granted_but_not_taken = queue.enter(session(2)).unwrap();
        drop(slot);
        drop(granted_but_not_taken);
        drop(running);
        assert_eq!(queue.occupancy(), Occupancy { active: 0, max: 1, queued: 0 });
        assert!(!queue.knows(session(2)));
    }

    #[test]
    fn never_more_than_allowed_run_whatever_the_order_of_events() {
        proptest::proptest!(|(steps: Vec<(u8, u8)>)| {
            let queue = Queue::new(3, 1000);
            let (mut tickets, mut slots) = (Vec::new(), Vec::new());
            for (kind, number) in steps {
                match kind % 3 {
                    0 => tickets.push(queue.enter(session(u128::from(number % 5))).unwrap()),
                    1 if !tickets.is_empty() => drop(tickets.remove(usize::from(number) % tickets.len())),
                    2 if !slots.is_empty() => drop(slots.remove(usize::from(number) % slots.len())),
                    _ => {}
                }
                tickets.retain_mut(|ticket| match granted(ticket) {
                    Some(slot) => {
                        slots.push(slot);
                        false
                    }
                    None => true,
                });
                let mut sessions: Vec<_> = slots.iter().map(|slot: &Slot| slot.session).collect();
                let running = sessions.len();
                sessions.sort_unstable();
                sessions.dedup();
                assert!(running <= 3 && sessions.len() == running);
                assert_eq!(queue.occupancy().active, running);
            }
            drop((tickets, slots));
            assert_eq!(queue.occupancy(), Occupancy { active: 0, max: 3, queued: 0 });
        });
    }
}
