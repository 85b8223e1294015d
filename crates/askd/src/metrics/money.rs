//! US dollars that are counted up without losing any: a float that grows by millionths would.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{CounterValueEncoder, EncodeCounterValue};
use prometheus_client::metrics::counter::Atomic;

/// Millionths of a US dollar.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Money(pub u64);

impl EncodeCounterValue for Money {
    fn encode(&self, encoder: &mut CounterValueEncoder<'_>) -> std::fmt::Result {
        #[expect(clippy::cast_precision_loss, reason = "exact up to nine thousand million dollars")]
        let dollars = self.0 as f64 / 1e6;
        dollars.encode(encoder)
    }
}

/// [`Money`] that many may add to.
#[derive(Debug, Default)]
pub struct AtomicMoney(AtomicU64);

impl Atomic<Money> for AtomicMoney {
    fn inc(&self) -> Money {
        self.inc_by(Money(1))
    }

    fn inc_by(&self, more: Money) -> Money {
        Money(self.0.fetch_add(more.0, Ordering::Relaxed))
    }

    fn get(&self) -> Money {
        Money(self.0.load(Ordering::Relaxed))
    }
}
