//! Amounts of money: US dollars in whole millionths, so that sums are exact.

use std::fmt;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Millionths in a dollar.
const MILLION: f64 = 1e6;

/// How much of an amount a double and a product of it may be wrong by, as a part: two roundings.
const SLACK: f64 = 2.5e-16;

/// What is less than this, in millionths, is nothing: nobody bills it.
const LEAST_SLACK: f64 = 0.002;

/// The largest amount that is taken: a billion dollars. Doubles hold millionths of it exactly.
const MOST: f64 = 1e9;

/// US dollars. The CLI's figures are estimates of what the provider will bill, and so is every amount here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Usd(u64);

impl Usd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// From whole millionths of a dollar.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// From dollars, rounded up to the next millionth: what was spent is never understated. `None` for what is no amount:
    /// negative, not a number, or more than a billion.
    pub fn from_dollars(dollars: f64) -> Option<Self> {
        if !(0.0..=MOST).contains(&dollars) {
            return None;
        }
        // What a double cannot say exactly, such as 0.1, must not become a millionth more: that much may be wrong with it, and
        // with the product.
        let micros = dollars * MILLION;
        let micros = (micros - (micros * SLACK).max(LEAST_SLACK)).ceil().max(0.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 10^15, and whole")]
        Some(Self(micros as u64))
    }

    /// Whole millionths of a dollar.
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// In dollars.
    #[expect(clippy::cast_precision_loss, reason = "amounts are far below 2^53 millionths")]
    pub fn dollars(self) -> f64 {
        self.0 as f64 / MILLION
    }

    /// The sum.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// What is left of it; nothing if `other` is more.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Usd {
    /// In dollars, without zeros that say nothing: `0.25`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(self.dollars())
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let dollars = f64::deserialize(from)?;
        Self::from_dollars(dollars).ok_or_else(|| D::Error::custom("expected US dollars from 0 to 1000000000"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_kept_to_the_millionth_and_rounded_up() {
        for (dollars, micros) in [
            (0.0, 0),
            (0.1, 100_000),
            (0.29, 290_000),
            (1.000_000_1, 1_000_001),
            (1e-9, 0),
            (2e-7, 1),
            (1e9, 1_000_000_000_000_000),
        ] {
            assert_eq!(Usd::from_dollars(dollars), Some(Usd::from_micros(micros)), "{dollars}");
        }
        for wrong in [-0.01, f64::NAN, f64::INFINITY, 1.1e9] {
            assert_eq!(Usd::from_dollars(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn every_amount_is_read_back_as_it_was_written() {
        proptest::proptest!(|(micros in 0_u64..1_000_000_000_000_000)| {
            let amount = Usd::from_micros(micros);
            let json = serde_json::to_string(&amount).unwrap();
            proptest::prop_assert_eq!(serde_json::from_str::<Usd>(&json).unwrap(), amount);
            proptest::prop_assert_eq!(Usd::from_dollars(amount.to_string().parse().unwrap()), Some(amount));
        });
    }

    #[test]
    fn an_amount_is_written_without_needless_zeros() {
        for (micros, text) in [(0, "0"), (250_000, "0.25"), (10_000_000, "10"), (1, "0.000001")] {
            assert_eq!(Usd::from_micros(micros).to_string(), text);
        }
    }
}
