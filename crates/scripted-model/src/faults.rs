//! Counts how often each fault with `times=N` has struck.

use std::collections::{HashMap, VecDeque};

use crate::script::{Part, Step};

/// Beyond this the oldest count is forgotten.
const KEPT: usize = 10_000;

/// Strikes by conversation, turn and place in the part.
#[derive(Debug, Default)]
pub(crate) struct FaultCounts {
    strikes: HashMap<(String, usize), u32>,
    order: VecDeque<(String, usize)>,
}

impl FaultCounts {
    /// Removes the faults that have struck often enough, and counts the one that strikes now.
    pub(crate) fn settle(&mut self, key: &str, part: &mut Part) {
        let mut struck = false;
        let steps = std::mem::take(&mut part.steps);
        for (place, step) in steps.into_iter().enumerate() {
            if let Step::Fault(fault) = &step {
                let spent = fault.times.is_some_and(|times| !self.strike(key, place, times));
                if spent {
                    continue;
                }
                struck = true;
            }
            part.steps.push(step);
            if struck {
                break;
            }
        }
    }

    /// Whether a fault that strikes `times` times strikes once more.
    fn strike(&mut self, key: &str, place: usize, times: u32) -> bool {
        let slot = (key.to_owned(), place);
        if !self.strikes.contains_key(&slot) {
            self.order.push_back(slot.clone());
            if self.order.len() > KEPT
                && let Some(oldest) = self.order.pop_front()
            {
                self.strikes.remove(&oldest);
            }
        }
        let strikes = self.strikes.entry(slot).or_insert(0);
        let strikes_again = *strikes < times;
        *strikes += u32::from(strikes_again);
        strikes_again
    }
}
