//! What a run may cost, and what is set aside for it of what its key may spend in a day.
//!
//! The CLI looks at a run's budget between two calls of the model, so a run may cost one call more. What is set aside is
//! therefore the budget and a margin for that call (`ASKD_BUDGET_MARGIN`).

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

use super::RunSpec;
use super::request::RunRequest;
use crate::store::budget::{BudgetDay, Reserve, beginning_of, day_of};
use crate::usd::Usd;

/// What a new run needs of its key's day; `None`: its key has no budget by the day.
pub(super) fn wish(spec: &RunSpec, request: &RunRequest, margin: Usd) -> Option<Reserve> {
    let limit = spec.key.policy.max_usd_per_day?;
    // A policy with a budget by the day has one by the run; without, nothing is left for a second run.
    let amount = spec.budget.map_or(limit, |budget| budget.plus(margin));
    let least = match request.max_budget_usd {
        Some(_) => amount,
        // One that did not say how much it needs takes what is there.
        None => amount.min(margin.plus(Usd::from_micros(1))),
    };
    Some(Reserve { limit: limit.micros(), amount: amount.micros(), least: least.micros() })
}

/// Notes what is set aside for a run, in millionths of a US dollar, and bounds its budget by it.
pub(super) fn set_aside(spec: &mut RunSpec, micros: Option<u64>, margin: Usd) {
    if let Some(reserved) = micros.map(Usd::from_micros) {
        spec.reserved = Some(reserved);
        spec.budget = Some(budget_of(reserved, margin, spec.budget));
    }
}

/// What the CLI is told when so much is set aside.
fn budget_of(reserved: Usd, margin: Usd, wanted: Option<Usd>) -> Usd {
    let within = reserved.minus(margin).max(Usd::from_micros(1));
    wanted.map_or(within, |wanted| wanted.min(within))
}

/// What a key may spend in a day, when it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted {
    /// What it may spend.
    pub limit: Usd,
    /// What it has spent.
    pub spent: Usd,
    /// What is set aside for its runs that have not ended; some of it may be free again when they have.
    pub reserved: Usd,
    /// What the run asked for: its budget, if it named one.
    pub asked: Option<Usd>,
    /// What is set aside besides, for one more call of the model.
    pub margin: Usd,
    /// When the next day begins, UTC.
    pub resets_at: Timestamp,
    /// How long until the same run may be taken in: until then, or until other runs of the key may have ended.
    pub wait: Duration,
}

impl Exhausted {
    /// `asked` is the budget that the request named, and `turn` how long it takes until a further run of the key has a turn.
    pub(super) fn new(
        found: BudgetDay,
        wish: &Reserve,
        (asked, margin): (Option<Usd>, Usd),
        turn: Duration,
        now: Timestamp,
    ) -> Self {
        let resets_at = resets_at(now);
        let to_the_end = resets_at.duration_since(now).unsigned_abs();
        // What is only set aside may be free again when the runs that work have ended.
        let may_get_it = wish.limit.saturating_sub(found.spent) >= wish.least;
        Self {
            limit: Usd::from_micros(wish.limit),
            spent: Usd::from_micros(found.spent),
            reserved: Usd::from_micros(found.reserved),
            asked,
            margin,
            resets_at,
            wait: if may_get_it { turn.min(to_the_end) } else { to_the_end },
        }
    }

    /// What is neither spent nor set aside.
    pub fn left(&self) -> Usd {
        self.limit.minus(self.spent).minus(self.reserved)
    }

    /// The largest budget with which the run would have been taken in, if a smaller one than it asked for would do.
    pub fn would_do(&self) -> Option<Usd> {
        let most = self.left().minus(self.margin);
        self.asked.filter(|asked| most < *asked).map(|_| most).filter(|most| *most > Usd::ZERO)
    }
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, spent, reserved, asked, margin, .. } = self;
        let left = self.left();
        write!(
            f,
            "of the {limit} US dollars that this key may spend today, {spent} are spent, {reserved} are set aside for its \
             runs that have not ended, and {left} are left; "
        )?;
        match asked {
            Some(asked) => write!(f, "this run needs {asked} and {margin} for one more call (ASKD_BUDGET_MARGIN)"),
            None => write!(f, "a run needs more than the {margin} for one more call (ASKD_BUDGET_MARGIN)"),
        }
    }
}

/// When the day of this time ends, UTC.
pub fn resets_at(now: Timestamp) -> Timestamp {
    let next = beginning_of(day_of(now.as_millisecond()) + 1);
    Timestamp::from_millisecond(next).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usd(dollars: f64) -> Usd {
        Usd::from_dollars(dollars).unwrap()
    }

    #[test]
    fn a_run_with_less_set_aside_is_told_less() {
        assert_eq!(budget_of(usd(0.6), usd(0.1), Some(usd(0.5))), usd(0.5));
        assert_eq!(budget_of(usd(0.3), usd(0.1), Some(usd(0.5))), usd(0.2));
        let changed_setting = budget_of(usd(0.3), usd(0.4), Some(usd(0.5)));
        assert_eq!(changed_setting, Usd::from_micros(1), "the CLI takes no budget of nothing");
    }

    #[test]
    fn a_day_ends_at_midnight_utc() {
        let at = |text: &str| resets_at(text.parse().unwrap()).to_string();
        assert_eq!(at("2026-11-23T06:00:00Z"), "2026-11-24T00:00:00Z");
        assert_eq!(at("2026-11-24T00:00:00Z"), "2026-11-25T00:00:00Z");
        assert_eq!(at("2026-12-31T23:59:59.999Z"), "2027-01-01T00:00:00Z");
    }

    #[test]
    fn whoever_is_refused_hears_what_is_left() {
        let wish = Reserve { limit: 1_000_000, amount: 600_000, least: 600_000 };
        let found = BudgetDay { spent: 250_000, reserved: 500_000 };
        let of = |found, asked: Option<f64>| {
            let now = "2026-11-23T23:00:00Z".parse().unwrap();
            Exhausted::new(found, &wish, (asked.and_then(Usd::from_dollars), usd(0.1)), Duration::from_secs(30), now)
        };
        let exhausted = of(found, Some(0.5));
        assert_eq!((exhausted.left(), exhausted.would_do()), (usd(0.25), Some(usd(0.15))));
        insta::assert_snapshot!(exhausted, @"of the 1 US dollars that this key may spend today, 0.25 are spent, 0.5 are set aside for its runs that have not ended, and 0.25 are left; this run needs 0.5 and 0.1 for one more call (ASKD_BUDGET_MARGIN)");
        assert_eq!(exhausted.wait, Duration::from_secs(30), "other runs may have ended by then");
        let spent = BudgetDay { spent: 900_000, reserved: 0 };
        assert_eq!((of(spent, Some(0.5)).wait, of(spent, Some(0.5)).would_do()), (Duration::from_hours(1), None));
        assert_eq!(of(found, None).would_do(), None, "it did not say what it needs");
        insta::assert_snapshot!(of(spent, None), @"of the 1 US dollars that this key may spend today, 0.9 are spent, 0 are set aside for its runs that have not ended, and 0.1 are left; a run needs more than the 0.1 for one more call (ASKD_BUDGET_MARGIN)");
    }
}
