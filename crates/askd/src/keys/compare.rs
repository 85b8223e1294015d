//! Whether a shown secret is one of a key's: in a time that says nothing of how nearly it is.

use subtle::{Choice, ConstantTimeEq as _};

use crate::hex::unhex;
use crate::store::keys::SecretRow;

/// The SHA-256 of a secret.
type Hash = [u8; 32];

/// A key's secrets that may count: the current one and the one that it has replaced.
const SECRETS: usize = 2;

/// What is compared in place of a secret that there is not: nobody's, whatever is shown.
const NOBODY: &str = "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9";

/// What a shown secret is compared with: as much for a key that is not there as for any other.
#[derive(Debug)]
pub(super) struct Secrets([Slot; SECRETS]);

#[derive(Debug)]
struct Slot {
    hash: Hash,
    /// Whether it counts.
    counts: Choice,
}

impl Secrets {
    /// Of a key at this time; of none if nothing is kept of it.
    pub(super) fn of(kept: &[SecretRow], now: i64) -> Self {
        Self(std::array::from_fn(|place| {
            let kept = kept.get(place);
            let hash = unhex(kept.map_or(NOBODY, |secret| &secret.hash));
            let counts = hash.is_some() && kept.is_some_and(|secret| secret.expires_at.is_none_or(|end| end > now));
            Slot { hash: hash.unwrap_or_default(), counts: Choice::from(u8::from(counts)) }
        }))
    }

    /// Whether this is the hash of one that counts. Every byte of every one is looked at.
    pub(super) fn have(&self, shown: &Hash) -> bool {
        let right = |slot: &Slot| slot.hash.ct_eq(shown) & slot.counts;
        self.0.iter().fold(Choice::from(0), |one, slot| one | right(slot)).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::hex;

    mod timing;

    fn secret(hash: &Hash, expires_at: Option<i64>) -> SecretRow {
        SecretRow { hash: hex(hash), expires_at }
    }

    #[test]
    fn only_the_secrets_that_count_are_right() {
        let (one, other, third) = ([1; 32], [2; 32], [3; 32]);
        let kept = [secret(&one, Some(1_000)), secret(&other, None)];
        let at = |now| Secrets::of(&kept, now);
        assert!(at(999).have(&one) && at(999).have(&other) && !at(999).have(&third));
        assert!(!at(1_000).have(&one) && at(1_000).have(&other));
        let nobody: Hash = unhex(NOBODY).unwrap();
        for secrets in [at(0), Secrets::of(&[], 0), Secrets::of(&kept[..1], 0)] {
            assert!(!secrets.have(&nobody) && !secrets.have(&[0; 32]));
        }
        let damaged = SecretRow { hash: "not a hash".into(), expires_at: None };
        assert!(!Secrets::of(&[damaged], 0).have(&[0; 32]));
    }

    #[test]
    fn one_wrong_bit_is_wrong() {
        let right: Hash = std::array::from_fn(|place| u8::try_from(place * 5).unwrap());
        let secrets = Secrets::of(&[secret(&right, None)], 0);
        assert!(secrets.have(&right));
        for bit in 0..256 {
            let mut wrong = right;
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(!secrets.have(&wrong), "{bit}");
        }
    }
}
