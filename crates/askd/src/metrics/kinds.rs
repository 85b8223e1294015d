//! The kinds of metrics, with and without labels. Each knows how it is registered.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabel, EncodeLabelSet, EncodeMetric, LabelSetEncoder};
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge;
use prometheus_client::metrics::histogram;
use prometheus_client::registry::Registry;

use super::money::{AtomicMoney, Money};
use super::table::Declared;
use super::words;

/// A value of a label.
pub type Word = Cow<'static, str>;

/// What only grows.
pub type Counter = counter::Counter;
/// Seconds that only grow.
pub type Elapsed = counter::Counter<f64, AtomicU64>;
/// US dollars that only grow, counted in millionths.
pub type Spent = counter::Counter<Money, AtomicMoney>;
/// What is now.
pub type Gauge = gauge::Gauge;
/// What is now, with a fraction.
pub type Fraction = gauge::Gauge<f64, AtomicU64>;
/// How often it was how much.
pub type Histogram = histogram::Histogram;

/// A [`Counter`] for each value of its labels.
pub type Counters<const N: usize> = Labelled<N, Counter>;
/// [`Spent`] for each value of its labels.
pub type Spending<const N: usize> = Labelled<N, Spent>;
/// A [`Gauge`] for each value of its labels.
pub type Gauges<const N: usize> = Labelled<N, Gauge>;
/// A [`Histogram`] for each value of its labels.
pub type Histograms<const N: usize> = Labelled<N, Histogram>;

/// What a metric is to whoever reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows; its name ends with `_total`.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It has `_bucket`, `_sum` and `_count`.
    Histogram,
}

impl Kind {
    /// Its word in the text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric that can be made of its declaration.
pub(super) trait Registered: Sized {
    const KIND: Kind;
    const LABELS: usize;

    fn register(declared: &'static Declared, registry: &mut Registry) -> Self;
}

/// One metric without labels.
pub(super) trait Single: EncodeMetric + TypedMetric + Clone + fmt::Debug + Send + Sync + 'static {
    const KIND: Kind;

    fn of(declared: &'static Declared) -> Self;
}

macro_rules! single {
    ($($type:ty: $kind:ident)*) => {$(
        impl Single for $type {
            const KIND: Kind = Kind::$kind;

            fn of(_: &'static Declared) -> Self {
                Self::default()
            }
        }
    )*};
}

single! { Counter: Counter Elapsed: Counter Spent: Counter Gauge: Gauge Fraction: Gauge }

impl Single for Histogram {
    const KIND: Kind = Kind::Histogram;

    fn of(declared: &'static Declared) -> Self {
        Self::new(declared.buckets.iter().copied())
    }
}

impl<M: Single> Registered for M {
    const KIND: Kind = <M as Single>::KIND;
    const LABELS: usize = 0;

    fn register(declared: &'static Declared, registry: &mut Registry) -> Self {
        let metric = M::of(declared);
        declared.enter(registry, metric.clone());
        metric
    }
}

/// A metric for each value of its labels, made when it is first asked for. Values come from bounded sets only: words of
/// this program, routes, and [names](super::names) that are counted.
#[derive(Debug, Clone)]
pub struct Labelled<const N: usize, M> {
    declared: &'static Declared,
    family: Family<Labels<N>, M, Maker>,
}

#[expect(private_bounds, reason = "which metrics there are is this module's business")]
impl<const N: usize, M: Single> Labelled<N, M>
where
    Maker: MetricConstructor<M>,
{
    /// The one with these values, in the order of the declaration. Whoever counts often keeps it.
    pub fn of<W: Into<Word>>(&self, values: [W; N]) -> M {
        let (names, values) = (self.declared.labels, values.map(Into::into));
        debug_assert!(words::fit(self.declared, &values), "{} has no such word: {values:?}", self.declared.name());
        self.family.get_or_create_owned(&Labels { names, values })
    }
}

#[expect(private_bounds, reason = "which metrics there are is this module's business")]
impl<M: Single> Labelled<1, M>
where
    Maker: MetricConstructor<M>,
{
    /// Makes the series of each word that its label has.
    pub(super) fn begin(&self) {
        for label in self.declared.labels {
            for &word in words::of(self.declared, label).unwrap_or_default() {
                self.of([word]);
            }
        }
    }
}

impl<const N: usize, M: Single> Registered for Labelled<N, M>
where
    Maker: MetricConstructor<M>,
{
    const KIND: Kind = M::KIND;
    const LABELS: usize = N;

    fn register(declared: &'static Declared, registry: &mut Registry) -> Self {
        let family = Family::new_with_constructor(Maker(declared));
        declared.enter(registry, family.clone());
        Self { declared, family }
    }
}

/// Makes a metric as it is declared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Maker(&'static Declared);

impl<M: Single> MetricConstructor<M> for Maker {
    fn new_metric(&self) -> M {
        M::of(self.0)
    }
}

/// Labels with their values. Of one metric all have the same names.
#[derive(Debug, Clone)]
pub(super) struct Labels<const N: usize> {
    names: &'static [&'static str],
    values: [Word; N],
}

impl<const N: usize> PartialEq for Labels<N> {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values
    }
}

impl<const N: usize> Eq for Labels<N> {}

impl<const N: usize> Hash for Labels<N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.values.hash(state);
    }
}

impl<const N: usize> EncodeLabelSet for Labels<N> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        for (name, value) in self.names.iter().zip(&self.values) {
            (*name, &**value).encode(encoder.encode_label())?;
        }
        Ok(())
    }
}
