//! The lines of all keys, and whose turn it is: start-time fair queuing.
//!
//! Each turn has a place in virtual time. A key's next turn stands `STRIDE / weight` behind its last one, and never before
//! the turn that was given last. The turn with the smallest place is given next; of several, that of the key which was
//! served longest ago. So while a key waits that may begin, each other key gets at most as many turns as its weight is a
//! multiple of this key's, rounded up.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::{Share, Waiting};
use crate::keys::KeyId;
use crate::keys::priority::Priority;

/// What a turn of weight 1 takes of virtual time. At one turn a nanosecond its sum would not overflow within centuries of
/// weight 1.
const STRIDE: u64 = 1_000_000;

/// Turns of which the average is taken: newer ones count more.
const RECENT: u32 = 8;

/// What a turn takes, before one has ended.
const UNKNOWN_TURN: Duration = Duration::from_secs(5);

/// What a wait is said to be at least and at most.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(1));

/// All that wait, and what is at work.
#[derive(Debug)]
pub(super) struct Line<G> {
    /// Nobody gets a turn.
    pub(super) held_back: bool,
    running: usize,
    waiting: usize,
    busy_sessions: HashSet<Uuid>,
    /// A key is here while something of it runs or waits, and then until the others have caught up with it: whoever comes
    /// back must not be new each time. When nobody waits, all have.
    flows: HashMap<KeyId, Flow<G>>,
    /// The place of the turn that was given last.
    now: u64,
    next_ticket: u64,
    turns_given: u64,
    recent_turn: Option<Duration>,
}

/// What a key has.
#[derive(Debug)]
struct Flow<G> {
    weight: u32,
    max_concurrent: Option<usize>,
    running: usize,
    /// By priority, the highest first, and by arrival.
    waiting: BTreeMap<(std::cmp::Reverse<Priority>, u64), Waiter<G>>,
    /// The place of its next turn.
    next: u64,
    /// The number of its last turn among all; for a key that was not here, of the turn before it came.
    served: u64,
}

/// Who waits.
#[derive(Debug)]
pub(super) struct Waiter<G> {
    pub(super) session: Uuid,
    /// When it was submitted, which may be before this server was started.
    pub(super) since: Timestamp,
    pub(super) grant: G,
}

impl<G> Line<G> {
    pub(super) fn new() -> Self {
        Self {
            held_back: false,
            running: 0,
            waiting: 0,
            busy_sessions: HashSet::new(),
            flows: HashMap::new(),
            now: 0,
            next_ticket: 0,
            turns_given: 0,
            recent_turn: None,
        }
    }

    pub(super) fn running(&self) -> usize {
        self.running
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    pub(super) fn waiting_of(&self, key: &KeyId) -> usize {
        self.flows.get(key).map_or(0, |flow| flow.waiting.len())
    }

    /// How many wait by priority, the lowest first, and since when the one that has waited longest.
    pub(super) fn waiting_by_priority(&self) -> Waiting {
        let mut found = Waiting::default();
        for (&(std::cmp::Reverse(priority), _), waiter) in self.flows.values().flat_map(|flow| &flow.waiting) {
            found.by_priority[priority as usize] += 1;
            found.oldest = Some(found.oldest.map_or(waiter.since, |oldest| oldest.min(waiter.since)));
        }
        found
    }

    /// Whether the key may have one more at work.
    pub(super) fn has_room(&self, share: &Share) -> bool {
        let running = self.flows.get(&share.key).map_or(0, |flow| flow.running);
        share.max_concurrent.is_none_or(|most| running < most)
    }

    pub(super) fn is_busy(&self, session: Uuid) -> bool {
        self.busy_sessions.contains(&session)
    }

    /// Whether a run of the session waits.
    pub(super) fn waits(&self, session: Uuid) -> bool {
        self.flows.values().any(|flow| flow.waiting.values().any(|waiter| waiter.session == session))
    }

    /// `false` if it is already.
    pub(super) fn make_busy(&mut self, session: Uuid) -> bool {
        self.busy_sessions.insert(session)
    }

    pub(super) fn make_free(&mut self, session: Uuid) {
        self.busy_sessions.remove(&session);
    }

    /// Takes a place; its number.
    pub(super) fn join(&mut self, session: Uuid, share: &Share, since: Timestamp, grant: G) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting += 1;
        let &Share { ref key, weight, priority, max_concurrent, .. } = share;
        let flow = self.flows.entry(key.clone()).or_insert_with(|| Flow {
            weight,
            max_concurrent,
            running: 0,
            waiting: BTreeMap::new(),
            next: self.now,
            // In front of nobody who waits already.
            served: self.turns_given,
        });
        // The key's policy may have changed since.
        (flow.weight, flow.max_concurrent) = (weight, max_concurrent);
        flow.waiting.insert((std::cmp::Reverse(priority), ticket), Waiter { session, since, grant });
        ticket
    }

    /// Gives up a place, if it is still one.
    pub(super) fn leave(&mut self, key: &KeyId, ticket: u64) {
        let Some(flow) = self.flows.get_mut(key) else { return };
        let before = flow.waiting.len();
        flow.waiting.retain(|(_, number), _| *number != ticket);
        self.waiting -= before - flow.waiting.len();
        self.forget();
    }

    /// Whose turn it is, if anybody's that could begin. It counts as running from now on.
    pub(super) fn next(&mut self) -> Option<(KeyId, Waiter<G>)> {
        let mut first: Option<(u64, u64, u64, &KeyId)> = None;
        for (key, flow) in &mut self.flows {
            let Some(ticket) = flow.first(&self.busy_sessions) else { continue };
            // It could not begin for a while: what the others had meanwhile is not made up for.
            flow.next = flow.next.max(self.now);
            let place = (flow.next, flow.served, ticket.1, key);
            if first.is_none_or(|first| place < first) {
                first = Some(place);
            }
        }
        let key = first?.3.clone();
        let flow = self.flows.get_mut(&key)?;
        let ticket = flow.first(&self.busy_sessions)?;
        let waiter = flow.waiting.remove(&ticket)?;
        self.turns_given += 1;
        self.now = flow.next;
        flow.next += flow.stride();
        flow.served = self.turns_given;
        flow.running += 1;
        self.running += 1;
        self.waiting -= 1;
        self.busy_sessions.insert(waiter.session);
        self.forget();
        Some((key, waiter))
    }

    /// A turn has ended that took so long, or that was not used: then the key has its place again.
    pub(super) fn free(&mut self, key: &KeyId, session: Uuid, took: Option<Duration>) {
        self.running -= 1;
        self.busy_sessions.remove(&session);
        if let Some(flow) = self.flows.get_mut(key) {
            flow.running -= 1;
            if took.is_none() {
                flow.next = flow.next.saturating_sub(flow.stride());
            }
        }
        if let Some(took) = took {
            self.recent_turn = Some(match self.recent_turn {
                Some(recent) => (recent * (RECENT - 1) + took) / RECENT,
                None => took,
            });
        }
        self.forget();
    }

    /// How long a run that entered now would wait, as it is told.
    pub(super) fn wait_of(&self, share: &Share, slots: usize) -> Duration {
        self.expected_wait(share, slots).clamp(WAITS.0, WAITS.1)
    }

    fn expected_wait(&self, share: &Share, slots: usize) -> Duration {
        let turn = self.recent_turn.unwrap_or(UNKNOWN_TURN);
        let own = self.waiting_of(&share.key);
        let others = self.flows.iter().filter(|(key, flow)| **key != share.key && !flow.waiting.is_empty());
        let ahead = others.map(|(_, flow)| {
            let its_turns = (own + 1) * flow.weight.div_ceil(share.weight.max(1)) as usize;
            its_turns.min(flow.waiting.len())
        });
        // Its own key may have fewer slots than there are; the others' runs then use the rest.
        let at_once = share.max_concurrent.map_or(slots, |most| most.min(slots)).max(1);
        let rounds = |runs: usize, at_once: usize| u32::try_from(runs.div_ceil(at_once)).unwrap_or(u32::MAX);
        let rounds = rounds(ahead.sum::<usize>() + own + 1, slots.max(1)).max(rounds(own + 1, at_once));
        turn.saturating_mul(rounds)
    }

    /// Drops what need not be known any more.
    fn forget(&mut self) {
        // When nobody waits, nobody is ahead of anybody.
        let (now, nobody_waits) = (self.now, self.waiting == 0);
        self.flows.retain(|_, flow| flow.running > 0 || !flow.waiting.is_empty() || (flow.next > now && !nobody_waits));
    }

    #[cfg(test)]
    pub(super) fn keys(&self) -> usize {
        self.flows.len()
    }
}

impl<G> Flow<G> {
    /// What a turn takes of virtual time.
    fn stride(&self) -> u64 {
        STRIDE.div_ceil(u64::from(self.weight.max(1)))
    }

    /// Its first run that could begin. Who waits for a busy session is passed over, and keeps its place.
    fn first(&self, busy_sessions: &HashSet<Uuid>) -> Option<(std::cmp::Reverse<Priority>, u64)> {
        if self.max_concurrent.is_some_and(|most| self.running >= most) {
            return None;
        }
        self.waiting.iter().find(|(_, waiter)| !busy_sessions.contains(&waiter.session)).map(|(place, _)| *place)
    }
}
