//! What the queue promises, with every order of events.

use std::collections::{HashMap, HashSet};

use futures_util::FutureExt;
use proptest::prelude::*;

use super::*;

/// When all of them were submitted; the order is that of their arrival.
const AT: Timestamp = Timestamp::UNIX_EPOCH;

fn session(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn key(number: u128) -> Share {
    Share {
        key: KeyId::new(Uuid::from_u128(number)),
        weight: 1,
        priority: Priority::Normal,
        max_concurrent: None,
        max_waiting: None,
    }
}

fn enter(queue: &Queue, number: u128) -> Ticket {
    queue.enter(session(number), key(0), AT).unwrap()
}

/// Begins, if it is its turn.
fn granted(ticket: &mut Ticket) -> Option<Slot> {
    let mut slot = ticket.granted().now_or_never()?;
    slot.begin();
    Some(slot)
}

#[test]
fn the_oldest_is_who_was_submitted_first_also_behind_others_after_a_restart() {
    let queue = Queue::new(0, 10);
    let at = |second| Timestamp::from_second(second).unwrap();
    let _late = queue.enter(session(1), key(0), at(50)).unwrap();
    assert_eq!(queue.waiting().oldest, Some(at(50)));
    let early = queue.enter_again(session(2), key(1), at(7));
    assert_eq!(queue.waiting().oldest, Some(at(7)));
    drop(early);
    assert_eq!(queue.waiting().oldest, Some(at(50)));
}

#[test]
fn slots_go_to_those_who_waited_longest() {
    let queue = Queue::new(1, 10);
    let mut tickets: Vec<_> = (0..3).map(|n| enter(&queue, n)).collect();
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
    let mut running = enter(&queue, 0);
    let slot = granted(&mut running).unwrap();
    assert!(matches!(queue.enter(session(1), key(0), AT), Err(QueueFull::Server { waiting: 0, .. })));
    assert!(queue.enter(session(1), key(1), AT).is_err(), "none may wait at all");
    drop(slot);
    assert!(queue.enter(session(1), key(0), AT).is_ok());
}

#[test]
fn a_flood_does_not_keep_a_key_out_of_which_nothing_waits() {
    let queue = Queue::new(1, 3);
    let mut running = enter(&queue, 0);
    let slot = granted(&mut running).unwrap();
    let flood: Vec<_> = (1..=3).map(|n| enter(&queue, n)).collect();
    assert!(queue.enter(session(9), key(0), AT).is_err());
    let mut other = queue.enter(session(10), key(1), AT).unwrap();
    assert!(queue.enter(session(11), key(1), AT).is_err(), "one");
    drop(slot);
    assert!(granted(&mut other).is_some(), "and it is next");
    drop(flood);
}

#[test]
fn a_key_has_no_more_at_work_and_waiting_than_its_policy_says() {
    let queue = Queue::new(5, 10);
    let share = || Share { max_concurrent: Some(1), max_waiting: Some(1), ..key(7) };
    let mut first = queue.enter(session(0), share(), AT).unwrap();
    let slot = granted(&mut first).unwrap();
    let mut second = queue.enter(session(1), share(), AT).unwrap();
    assert!(granted(&mut second).is_none(), "four slots are free");
    assert!(matches!(queue.enter(session(2), share(), AT), Err(QueueFull::Key { waiting: 1, .. })));
    assert!(granted(&mut queue.enter(session(3), key(8), AT).unwrap()).is_some(), "another key passes it");
    drop(slot);
    assert!(granted(&mut second).is_some());
}

#[test]
fn the_priority_counts_within_a_key_and_not_between_keys() {
    let queue = Queue::new(1, 10);
    let mut running = enter(&queue, 0);
    let slot = granted(&mut running).unwrap();
    let of = |number, priority, share: Share| queue.enter(session(number), Share { priority, ..share }, AT).unwrap();
    let mut low = of(1, Priority::Low, key(1));
    let mut normal = of(2, Priority::Normal, key(1));
    let mut high = of(3, Priority::High, key(1));
    let mut other = of(4, Priority::Low, key(2));
    drop(slot);
    drop(granted(&mut high).expect("the highest of the key that came first"));
    drop(granted(&mut other).expect("then the other key, whatever its priority"));
    drop(granted(&mut normal).expect("then by priority"));
    assert!(granted(&mut low).is_some());
}

#[test]
fn what_a_key_asks_for_is_bounded_by_its_policy() {
    let mut held = Key::admin();
    held.policy.max_priority = Some(Priority::Normal);
    held.policy.weight = Some(3);
    held.policy.max_waiting = Some(2);
    let share = Share::of(&held, None);
    assert_eq!((share.priority, share.weight, share.max_waiting), (Priority::Normal, 3, Some(2)));
    held.policy.max_priority = Some(Priority::Low);
    assert_eq!(Share::of(&held, None).priority, Priority::Low, "who asks for none has the highest that it may have");
    assert_eq!(Share::of(&Key::admin(), Some(Priority::High)).priority, Priority::High);
}

#[tokio::test(start_paused = true)]
async fn whoever_is_refused_hears_how_long_it_would_wait() {
    let queue = Queue::new(2, 4);
    for number in 0..20 {
        let slot = granted(&mut enter(&queue, number)).unwrap();
        tokio::time::advance(Duration::from_secs(30)).await;
        drop(slot);
    }
    let mut tickets: Vec<_> = (0..6).map(|number| enter(&queue, number)).collect();
    let slots: Vec<_> = tickets.iter_mut().filter_map(granted).collect();
    assert_eq!(slots.len(), 2);
    // Four wait before it: two turns of two slots, and then its own.
    let refused = queue.enter(session(9), key(0), AT).unwrap_err();
    assert_eq!(refused.wait(), Duration::from_secs(90));
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_is_not_used_says_nothing_of_how_long_turns_take() {
    let queue = Queue::new(1, 1);
    for unused in [false, true, true] {
        let mut ticket = enter(&queue, 0);
        let slot = if unused { ticket.granted().await } else { granted(&mut ticket).unwrap() };
        tokio::time::advance(if unused { Duration::ZERO } else { Duration::from_secs(30) }).await;
        drop(slot);
    }
    drop(enter(&queue, 1));
    let (_at_work, waits) = (enter(&queue, 2), enter(&queue, 3));
    assert_eq!(waits.expected_wait(), Duration::from_mins(1), "the one that waits, and then its own");
}

#[test]
fn a_turn_that_is_not_used_costs_its_key_nothing() {
    let queue = Queue::new(1, 100);
    queue.hold_back();
    let mut refused: Vec<_> = (0..5).map(|number| queue.enter_again(session(number), key(1), AT)).collect();
    let mut works = queue.enter_again(session(10), key(1), AT);
    let mut others: Vec<_> = (20..30).map(|number| (2, queue.enter_again(session(number), key(2), AT))).collect();
    queue.open();
    // All of its turns but the last one end before they have begun, and the other key has the turns in between.
    let mut between = 0;
    for ticket in &mut refused {
        while ticket.granted().now_or_never().is_none() {
            between += turns(&queue, &mut others, 1).len();
        }
    }
    while granted(&mut works).is_none() {
        between += turns(&queue, &mut others, 1).len();
    }
    assert!(between <= 1, "{between} turns of another key came before the first that it used");
}

#[test]
fn a_queue_that_is_held_back_gives_its_slots_later_and_in_order() {
    let queue = Queue::new(1, 10);
    queue.hold_back();
    let mut first = queue.enter_again(session(0), key(0), AT);
    let mut second = queue.enter_again(session(1), key(0), AT);
    assert!(granted(&mut first).is_none());
    queue.open();
    assert!(granted(&mut second).is_none());
    assert!(granted(&mut first).is_some());
}

#[test]
fn one_session_runs_once_at_a_time_and_does_not_hold_up_others() {
    let queue = Queue::new(2, 10);
    let mut first = enter(&queue, 7);
    let mut again = enter(&queue, 7);
    let mut other = enter(&queue, 8);
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
    let (mut waits, mut other) = (enter(&queue, 7), enter(&queue, 8));
    assert!(granted(&mut waits).is_none() && queue.knows(session(7)));
    let working = granted(&mut other).unwrap();
    drop(hold);
    assert!(granted(&mut waits).is_some());
    drop(working);
    let waiting = [enter(&queue, 9), enter(&queue, 9)];
    assert!(queue.hold(session(9)).is_none(), "a run works with it or waits for it");
    drop(waiting);
    assert!(queue.hold(session(9)).is_some());
}

#[test]
fn whoever_leaves_the_line_leaves_no_trace() {
    let queue = Queue::new(1, 10);
    let mut running = enter(&queue, 0);
    let slot = granted(&mut running).unwrap();
    drop(queue.enter(session(1), key(1), AT).unwrap());
    let granted_but_not_taken = queue.enter(session(2), key(2), AT).unwrap();
    drop(slot);
    drop(granted_but_not_taken);
    drop(running);
    assert_eq!(queue.occupancy(), Occupancy { active: 0, max: 1, queued: 0 });
    assert!(!queue.knows(session(2)));
    assert_eq!(queue.shared.lock().keys(), 0, "nothing is known of keys that have nothing here");
}

/// Plays a queue with one slot; returns whose turns were given, in order.
fn turns(queue: &Queue, tickets: &mut Vec<(u128, Ticket)>, how_many: usize) -> Vec<u128> {
    let mut turns = Vec::new();
    for _ in 0..how_many {
        let Some(index) = tickets.iter_mut().position(|(_, ticket)| {
            let slot = granted(ticket);
            slot.is_some()
        }) else {
            break;
        };
        turns.push(tickets.remove(index).0);
    }
    assert!(queue.occupancy().active <= queue.occupancy().max);
    turns
}

#[test]
fn turns_are_given_by_weight_in_the_long_run() {
    let queue = Queue::new(1, 10_000);
    queue.hold_back();
    let mut tickets = Vec::new();
    let weights = [1, 2, 5];
    for number in 0..1_600_u128 {
        let of = number % 3;
        let share = Share { weight: weights[usize::try_from(of).unwrap()], ..key(of) };
        tickets.push((of, queue.enter_again(session(number), share, AT)));
    }
    queue.open();
    let turns = turns(&queue, &mut tickets, 800);
    let count = |of| turns.iter().filter(|turn| **turn == of).count();
    assert_eq!([count(0), count(1), count(2)].iter().sum::<usize>(), 800);
    for (of, weight) in [(0, 1), (1, 2), (2, 5)] {
        assert!(count(of).abs_diff(100 * weight) <= weight, "key {of} had {} turns", count(of));
    }
}

#[test]
fn a_key_that_comes_back_each_time_gains_nothing_by_it() {
    let queue = Queue::new(1, 100);
    let mut running = enter(&queue, 0);
    let slot = granted(&mut running).unwrap();
    let mut waits: Vec<_> = (1..=10).map(|number| (1, queue.enter(session(number), key(1), AT).unwrap())).collect();
    // It never has more than one waiting, and is nothing but a new arrival each time it has had its turn.
    let mut back = queue.enter(session(100), key(2), AT).unwrap();
    drop(slot);
    let mut order = Vec::new();
    for number in 0..10 {
        order.extend(turns(&queue, &mut waits, 1));
        if granted(&mut back).is_some() {
            order.push(2);
            back = queue.enter(session(101 + number), key(2), AT).unwrap();
        }
    }
    assert_eq!(order.iter().filter(|of| **of == 1).count(), 10);
    assert_eq!(order.iter().filter(|of| **of == 2).count(), 10, "{order:?}");
}

/// What happens in the story of [`no_key_waits_longer_than_the_bound`].
#[derive(Debug, Clone)]
enum Step {
    Enter { key: u128, session: u128, priority: Priority },
    Leave(usize),
    End(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let priority = prop::sample::select(vec![Priority::Low, Priority::Normal, Priority::High]);
    let enter =
        (0_u128..6, 0_u128..40, priority).prop_map(|(key, session, priority)| Step::Enter { key, session, priority });
    let step =
        prop_oneof![4 => enter, 1 => any::<usize>().prop_map(Step::Leave), 3 => any::<usize>().prop_map(Step::End)];
    prop::collection::vec(step, 0..300)
}

/// Weights and slots of the six keys.
const KEYS: [(u32, Option<usize>); 6] = [(1, None), (1, None), (2, None), (3, Some(1)), (7, Some(2)), (1, Some(1))];

fn share(of: u128, priority: Priority) -> Share {
    let (weight, max_concurrent) = KEYS[usize::try_from(of).unwrap()];
    Share { weight, priority, max_concurrent, ..key(of) }
}

struct Waits {
    of: u128,
    session: u128,
    ticket: Ticket,
}

proptest! {
    #[test]
    fn no_more_run_than_allowed_and_no_key_waits_longer_than_the_bound(steps in steps(), slots in 1_usize..4) {
        let queue = Queue::new(slots, 100_000);
        let (mut waiting, mut at_work) = (Vec::<Waits>::new(), Vec::<(u128, u128, Slot)>::new());
        // For each key since when it could begin: the turns that each other key has had meanwhile.
        let mut passed: HashMap<u128, HashMap<u128, u32>> = HashMap::new();
        for step in steps {
            match step {
                Step::Enter { key, session: number, priority } => {
                    let ticket = queue.enter(session(number), share(key, priority), AT).unwrap();
                    waiting.push(Waits { of: key, session: number, ticket });
                }
                Step::Leave(index) if !waiting.is_empty() => drop(waiting.remove(index % waiting.len())),
                Step::End(index) if !at_work.is_empty() => drop(at_work.remove(index % at_work.len())),
                _ => {}
            }
            // One step gives at most one turn, but for the end of a run that held up others of its session or key.
            let mut begun = Vec::new();
            let mut index = 0;
            while index < waiting.len() {
                if let Some(slot) = granted(&mut waiting[index].ticket) {
                    let Waits { of, session, .. } = waiting.remove(index);
                    begun.push(of);
                    at_work.push((of, session, slot));
                } else {
                    index += 1;
                }
            }
            let sessions: HashSet<_> = at_work.iter().map(|(_, session, _)| *session).collect();
            prop_assert!(at_work.len() <= slots && sessions.len() == at_work.len());
            prop_assert_eq!(queue.occupancy(), Occupancy { active: at_work.len(), max: slots, queued: waiting.len() });
            for (of, (_, most)) in (0_u128..).zip(KEYS) {
                let own = at_work.iter().filter(|(key, ..)| *key == of).count();
                prop_assert!(most.is_none_or(|most| own <= most));
            }
            for of in &begun {
                passed.remove(of);
            }
            for (of, others) in &mut passed {
                for by in begun.iter().filter(|by| *by != of) {
                    let count = others.entry(*by).or_default();
                    *count += 1;
                    let weight = |of: u128| KEYS[usize::try_from(of).unwrap()].0;
                    let bound = weight(*by).div_ceil(weight(*of));
                    prop_assert!(*count <= bound, "key {by} had {count} turns before key {of}, bound {bound}");
                }
            }
            for of in 0_u128..6 {
                let own = at_work.iter().filter(|(key, ..)| *key == of).count();
                let may = KEYS[usize::try_from(of).unwrap()].1.is_none_or(|most| own < most);
                let could = may && waiting.iter().any(|waits| waits.of == of && !sessions.contains(&waits.session));
                if could {
                    prop_assert_eq!(at_work.len(), slots, "a slot is free, and a run that could begin waits");
                    passed.entry(of).or_default();
                } else {
                    passed.remove(&of);
                }
            }
        }
        drop((waiting, at_work));
        prop_assert_eq!(queue.occupancy(), Occupancy { active: 0, max: slots, queued: 0 });
        prop_assert_eq!(queue.shared.lock().keys(), 0);
    }
}
