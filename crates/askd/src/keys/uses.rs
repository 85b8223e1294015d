//! When keys were last used, until it is stored.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::KeyId;
use super::manager::MOST;
use super::row::to_the_minute;
use crate::store::keys::Use;

/// The last use of each key that is not stored yet. There are no more of them than keys.
#[derive(Debug, Default)]
pub(super) struct Uses(Mutex<HashMap<String, Use>>);

impl Uses {
    /// It is used now. To the minute: that is what is promised, and says less of when its holder works.
    pub(super) fn note(&self, id: &KeyId, now: Timestamp, address: Option<IpAddr>) {
        let address = address.map(|address| address.to_string());
        // Of the uses within a minute the last one's address is kept.
        self.put(Use { id: id.to_string(), at: to_the_minute(now).as_millisecond(), address }, |there, at| there <= at);
    }

    /// All of them, to be stored. What is not stored of them comes back when this is dropped, also in the middle of it.
    pub(super) fn take(&self) -> Taken<'_> {
        Taken { of: self, left: std::mem::take(&mut *self.lock()).into_values().collect() }
    }

    fn put(&self, used: Use, is_newer: impl Fn(i64, i64) -> bool) {
        let mut waiting = self.lock();
        let there = waiting.get(&used.id).map(|there| there.at);
        // Keys that were removed meanwhile may be among them: the bound is not of the store alone.
        let room = there.is_some() || (waiting.len() as u64) < MOST;
        if room && there.is_none_or(|there| is_newer(there, used.at)) {
            waiting.insert(used.id.clone(), used);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Use>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Uses that are being stored.
#[derive(Debug)]
pub(super) struct Taken<'a> {
    of: &'a Uses,
    left: Vec<Use>,
}

impl Taken<'_> {
    /// At most so many that are not stored yet; `None`: all are.
    pub(super) fn next(&self, most: usize) -> Option<&[Use]> {
        (!self.left.is_empty()).then(|| &self.left[self.left.len().saturating_sub(most)..])
    }

    /// So many as were given are stored.
    pub(super) fn stored(&mut self, count: usize) {
        self.left.truncate(self.left.len().saturating_sub(count));
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        for used in self.left.drain(..) {
            // What was noted meanwhile counts more.
            self.of.put(used, |there, at| there < at);
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn id(number: u128) -> KeyId {
        KeyId::new(Uuid::from_u128(number))
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// All of them, as if they were stored.
    fn stored(uses: &Uses) -> Vec<Use> {
        let mut taken = uses.take();
        let all = taken.next(usize::MAX).map(<[Use]>::to_vec).unwrap_or_default();
        taken.stored(all.len());
        all
    }

    #[test]
    fn the_last_use_counts_also_when_an_earlier_one_comes_back() {
        let uses = Uses::default();
        uses.note(&id(1), at(61), None);
        let first = uses.take();
        uses.note(&id(1), at(62), Some([127, 0, 0, 2].into()));
        uses.note(&id(1), at(119), Some([127, 0, 0, 1].into()));
        drop(first);
        let last = Use { id: id(1).to_string(), at: 60_000, address: Some("127.0.0.1".into()) };
        assert_eq!(stored(&uses), [last]);
        assert_eq!(stored(&uses), []);
    }

    #[test]
    fn what_is_not_stored_is_not_forgotten_when_nobody_stores_it_any_more() {
        let uses = Uses::default();
        (0..5).for_each(|number| uses.note(&id(number), at(60), None));
        let mut taken = uses.take();
        let some = taken.next(2).unwrap().to_vec();
        taken.stored(some.len());
        assert_eq!(taken.next(2).unwrap().len(), 2);
        drop(taken);
        let left = stored(&uses);
        assert_eq!(left.len(), 3);
        assert!(!left.iter().any(|used| some.contains(used)));
    }

    #[test]
    fn they_take_bounded_memory() {
        let uses = Uses::default();
        (0..MOST + 10).for_each(|number| uses.note(&id(number.into()), Timestamp::UNIX_EPOCH, None));
        assert_eq!(stored(&uses).len() as u64, MOST);
    }
}
