//! How many refusals of a minute get a row of their own.

use std::collections::HashMap;
use std::mem;

use super::Whose;

/// Rows of each of [`Whose`] in a minute.
pub(super) const PER_KEY: u64 = 20;

/// Rows of all keys in a minute.
pub(super) const IN_ALL: u64 = 200;

/// What becomes of a refusal.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It gets a row.
    Row,
    /// It is counted.
    Count,
}

/// Refusals that were only counted: of those that had their share of rows, or of anybody when there were no more.
pub(super) type Counts = Vec<(Whose, u64)>;

/// The refusals of one minute. It holds no more keys than [`IN_ALL`].
#[derive(Debug, Default)]
pub(super) struct Minute {
    number: i64,
    rows: u64,
    keys: HashMap<Whose, Seen>,
    others: u64,
}

#[derive(Debug, Default)]
struct Seen {
    rows: u64,
    left_out: u64,
}

impl Minute {
    /// One more refusal, and what was counted in a minute that is over.
    pub(super) fn enter(&mut self, number: i64, whose: Whose) -> (Place, Counts) {
        let counts = self.roll(number);
        (self.place(whose), counts)
    }

    /// Begins another minute, if it is another one.
    pub(super) fn roll(&mut self, number: i64) -> Counts {
        if self.number == number {
            return Vec::new();
        }
        let counts = self.end();
        self.number = number;
        counts
    }

    /// What was only counted since the minute began, or since this was last asked.
    pub(super) fn end(&mut self) -> Counts {
        let Self { keys, others, .. } = mem::replace(self, Self { number: self.number, ..Self::default() });
        let own = keys.into_iter().map(|(key, seen)| (key, seen.left_out));
        let mut counts: Counts = own.collect();
        match counts.iter_mut().find(|(whose, _)| *whose == Whose::Strangers) {
            Some((_, strangers)) => *strangers += others,
            None => counts.push((Whose::Strangers, others)),
        }
        counts.retain(|(_, left_out)| *left_out > 0);
        counts.sort();
        counts
    }

    fn place(&mut self, key: Whose) -> Place {
        let full = self.rows >= IN_ALL;
        let seen = match self.keys.get_mut(&key) {
            Some(seen) => seen,
            None if full => {
                self.others += 1;
                return Place::Count;
            }
            None => self.keys.entry(key).or_default(),
        };
        if full || seen.rows >= PER_KEY {
            seen.left_out += 1;
            return Place::Count;
        }
        seen.rows += 1;
        self.rows += 1;
        Place::Row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str) -> Whose {
        Whose::Key(id.to_owned())
    }

    fn rows(minute: &mut Minute, number: i64, whose: &Whose, times: u64) -> usize {
        (0..times).filter(|_| minute.enter(number, whose.clone()).0 == Place::Row).count()
    }

    #[test]
    fn a_flood_of_one_key_is_counted_and_hides_nobody_else() {
        let mut minute = Minute::default();
        assert_eq!(rows(&mut minute, 1, &key("flood"), 1_000_000), 20);
        assert_eq!(rows(&mut minute, 1, &key("quiet"), 3), 3);
        assert_eq!(rows(&mut minute, 1, &Whose::Strangers, 30), 20);
        assert_eq!(rows(&mut minute, 1, &Whose::StreamTokens, 30), 20);
        assert_eq!(
            rows(&mut minute, 1, &Whose::Ended("flood".into()), 1),
            1,
            "a revoked key that is still used is seen"
        );
        assert_eq!(minute.roll(1), []);
        let counts = [(Whose::Strangers, 10), (Whose::StreamTokens, 10), (key("flood"), 999_980)];
        assert_eq!(minute.roll(2), counts);
        assert_eq!(minute.roll(3), []);
        assert_eq!(rows(&mut minute, 3, &key("flood"), 1), 1, "another minute, another share");
    }

    #[test]
    fn many_keys_together_get_no_more_rows_than_there_are_and_are_counted_in_bounded_memory() {
        let mut minute = Minute::default();
        let all: usize = (0..1_000).map(|number| rows(&mut minute, 1, &key(&number.to_string()), 5)).sum();
        assert_eq!(all, 200);
        assert!(minute.keys.len() <= 200);
        let left_out: u64 = minute.end().iter().map(|(_, left_out)| left_out).sum();
        assert_eq!(left_out, 5_000 - 200);
    }
}
