//! Wrong keys, counted by the address that they came from, so that nobody guesses for long.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock, Reference as _};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use quick_cache::sync::Cache;

/// Addresses that are counted at the same time. Who has more of them than this is forgotten now and then, and may
/// guess a little more; it would need them all for each key that it tries.
const ADDRESSES: usize = 16_384;

/// Of an IPv6 address, what its holder cannot choose: customers are given a /64 at least.
const IPV6_PREFIX: u32 = 64;

/// The addresses that have shown wrong keys.
#[derive(Debug)]
pub(in crate::api) struct Failures<C: Clock = DefaultClock> {
    clock: C,
    addresses: Cache<IpAddr, Arc<Address<C>>>,
}

/// One of them.
#[derive(Debug)]
struct Address<C: Clock> {
    a_minute: NonZeroU32,
    limiter: RateLimiter<NotKeyed, InMemoryState, C, StateInformationMiddleware>,
    blocked_until: Mutex<Option<C::Instant>>,
}

impl Failures {
    /// Of no address yet.
    pub(super) fn new() -> Self {
        Self::with_clock(DefaultClock::default())
    }
}

impl<C: Clock + Clone> Failures<C> {
    fn with_clock(clock: C) -> Self {
        Self { clock, addresses: Cache::new(ADDRESSES) }
    }

    /// How long keys from there are not compared; `None`: they are.
    pub(in crate::api) fn blocked(&self, from: IpAddr) -> Option<Duration> {
        let address = self.addresses.get(&counted(from))?;
        let until = (*address.blocked_until.lock().unwrap_or_else(PoisonError::into_inner))?;
        let left = Duration::from(until.duration_since(self.clock.now()));
        (left > Duration::ZERO).then_some(left)
    }

    /// Counts a wrong key from there, where each address may show so many a minute; `None`: as many as it likes.
    pub(in crate::api) fn note(&self, from: IpAddr, a_minute: Option<NonZeroU32>) {
        let Some(a_minute) = a_minute else { return };
        let (from, quota) = (counted(from), Quota::per_minute(a_minute));
        let counted = self.addresses.get(&from).filter(|address| address.a_minute == a_minute);
        let address = counted.unwrap_or_else(|| {
            let limiter = RateLimiter::direct_with_clock(quota, self.clock.clone()).with_middleware();
            let address = Arc::new(Address { a_minute, limiter, blocked_until: Mutex::default() });
            // Two requests may come here at once; then the later one is kept, and one wrong key is not counted.
            self.addresses.insert(from, Arc::clone(&address));
            address
        });
        if address.limiter.check().is_ok_and(|state| state.remaining_burst_capacity() > 0) {
            return;
        }
        let until = self.clock.now() + quota.replenish_interval().into();
        *address.blocked_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }
}

/// What is counted as one address.
fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> IPV6_PREFIX << IPV6_PREFIX).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    struct Counted {
        failures: Failures<FakeRelativeClock>,
        a_minute: Option<NonZeroU32>,
    }

    impl Counted {
        fn note(&self, from: IpAddr) {
            self.failures.note(from, self.a_minute);
        }

        fn blocked(&self, from: IpAddr) -> Option<Duration> {
            self.failures.blocked(from)
        }
    }

    fn failures(a_minute: u32) -> (Counted, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Counted { failures: Failures::with_clock(clock.clone()), a_minute: NonZeroU32::new(a_minute) }, clock)
    }

    #[test]
    fn another_limit_counts_from_the_next_wrong_key_on() {
        let (mut failures, _) = failures(20);
        let guesser = address("192.0.2.1");
        failures.note(guesser);
        failures.a_minute = NonZeroU32::new(1);
        failures.note(guesser);
        assert!(failures.blocked(guesser).is_some());
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_last_wrong_key_that_is_allowed_blocks_its_address_and_no_other() {
        let (failures, _) = failures(20);
        let (guesser, other) = (address("192.0.2.1"), address("192.0.2.2"));
        for _ in 0..19 {
            failures.note(guesser);
            assert_eq!(failures.blocked(guesser), None);
        }
        failures.note(guesser);
        assert_eq!(failures.blocked(guesser), Some(Duration::from_secs(3)));
        assert_eq!(failures.blocked(other), None);
    }

    #[test]
    fn a_blocked_address_gets_one_try_after_another_and_all_of_them_after_a_minute() {
        let (failures, clock) = failures(20);
        let guesser = address("192.0.2.1");
        (0..20).for_each(|_| failures.note(guesser));
        for _ in 0..5 {
            clock.advance(Duration::from_secs(3));
            assert_eq!(failures.blocked(guesser), None);
            failures.note(guesser);
            assert!(failures.blocked(guesser).is_some());
        }
        clock.advance(Duration::from_mins(1));
        for _ in 0..19 {
            failures.note(guesser);
            assert_eq!(failures.blocked(guesser), None);
        }
    }

    #[test]
    fn an_ipv6_network_is_one_address_and_a_mapped_one_is_its_ipv4() {
        let (failures, _) = failures(1);
        failures.note(address("2001:db8::1"));
        assert!(failures.blocked(address("2001:db8::ffff:0:0:2")).is_some());
        assert!(failures.blocked(address("2001:db8:0:1::1")).is_none());
        failures.note(address("::ffff:192.0.2.1"));
        assert!(failures.blocked(address("192.0.2.1")).is_some());
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let (failures, _) = failures(0);
        (0..1000).for_each(|_| failures.note(address("192.0.2.1")));
        assert_eq!(failures.blocked(address("192.0.2.1")), None);
        assert_eq!(failures.failures.addresses.len(), 0);
    }

    #[test]
    fn no_more_addresses_are_kept_than_there_is_room_for() {
        let (failures, _) = failures(20);
        for number in 0..50_000 {
            failures.note(std::net::Ipv4Addr::from_bits(number).into());
        }
        assert!(failures.failures.addresses.len() <= ADDRESSES);
    }
}
