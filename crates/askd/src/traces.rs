//! Traces: spans are made here, wait here, and go to a collector from here, over OTLP.
//!
//! ```text
//! traceparent of a request > place > span, ended > queue (bounded) > exporter > collector
//! ```
//!
//! Every span is made by whoever knows of the work, and carries its [`Traces`]: there is no provider of the process, no
//! current span, and no layer over the log, since many servers live in one process of tests, and since the span of a run
//! outlives requests, tasks and even its server (`docs/decisions/0038-spans-are-made-by-hand.md`). Nobody waits for a
//! collector: a span that finds no room is dropped and counted.
//!
//! Where no collector is set there are no spans. What a request brings is passed on to its run all the same.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, ShouldSample as _, SpanData};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::ambient::Ambient;
use crate::metrics::Metrics;
use crate::metrics::kinds::Counter;
use crate::settings::groups;
use client::Client;
use exporter::Exporter;
use place::Place;
use span::Span;

mod client;
mod exporter;
pub mod place;
pub mod span;

pub use client::TracesError;
pub use opentelemetry::trace::SpanKind;

/// Makes spans and keeps them until the collector has them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Traces {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    ambient: Ambient,
    /// `None`: there is no collector.
    sink: Option<Sink>,
    counts: Counts,
}

/// Where ended spans wait.
#[derive(Debug)]
struct Sink {
    queue: mpsc::Sender<SpanData>,
    /// Taken by whoever exports.
    exporter: Mutex<Option<(Exporter, mpsc::Receiver<SpanData>)>>,
    sampler: Sampler,
    scope: InstrumentationScope,
    /// Of models, as spans name it.
    provider: &'static str,
    run_spans: usize,
    content: bool,
}

/// What became of spans since the start.
#[derive(Debug)]
pub struct Counts {
    exported: Counter,
    dropped: Counter,
}

impl Counts {
    /// Spans that the collector has taken.
    pub fn exported(&self) -> u64 {
        self.exported.get()
    }

    /// Spans that found no room, or that the collector would not have.
    pub fn dropped(&self) -> u64 {
        self.dropped.get()
    }
}

impl Traces {
    /// As the settings say. Reads the file of the collector's authorities, if there is one.
    pub fn new(
        settings: &groups::Traces,
        provider: &'static str,
        ambient: Ambient,
        metrics: &Metrics,
    ) -> Result<Self, TracesError> {
        let sink = match &settings.collector {
            None => None,
            Some(collector) => {
                let (queue, waiting) = mpsc::channel(settings.queue);
                let exporter = Exporter::new(Client::new(collector, settings)?, &settings.resource);
                Some(Sink {
                    queue,
                    exporter: Mutex::new(Some((exporter, waiting))),
                    sampler: Sampler::TraceIdRatioBased(settings.sample),
                    scope: InstrumentationScope::builder("askd").with_version(env!("CARGO_PKG_VERSION")).build(),
                    provider,
                    run_spans: settings.run_spans,
                    content: settings.content,
                })
            }
        };
        let spans = |result: &'static str| metrics.trace_spans.of([result]);
        let counts = Counts { exported: spans("exported"), dropped: spans("dropped") };
        Ok(Self { inner: Arc::new(Inner { ambient, sink, counts }) })
    }

    /// What became of spans.
    pub fn counts(&self) -> &Counts {
        &self.inner.counts
    }

    /// How many spans a run may have.
    pub fn run_spans(&self) -> usize {
        self.inner.sink.as_ref().map_or(0, |sink| sink.run_spans)
    }

    /// What spans call the provider of models.
    pub fn provider(&self) -> &'static str {
        self.inner.sink.as_ref().map_or("", |sink| sink.provider)
    }

    /// Whether spans hold what people and models have said.
    pub fn has_content(&self) -> bool {
        self.inner.sink.as_ref().is_some_and(|sink| sink.content)
    }

    /// The time, as spans have it.
    pub fn now(&self) -> Timestamp {
        self.inner.ambient.now()
    }

    /// Begins a span: below `parent`, or the first one of a trace of its own.
    pub fn begin(&self, parent: Option<&SpanContext>, name: impl Into<Cow<'static, str>>, kind: SpanKind) -> Span {
        let Some(sink) = &self.inner.sink else {
            // What was brought is passed on unchanged: a span id of ours would name a span that nobody ever gets.
            return Span::unrecorded(parent.cloned().map(Place::passed_on));
        };
        let trace = parent.map_or_else(|| self.new_trace(), SpanContext::trace_id);
        let flags = match parent {
            Some(parent) => parent.trace_flags(),
            None if sink.takes(trace) => TraceFlags::SAMPLED,
            None => TraceFlags::NOT_SAMPLED,
        };
        let state = parent.map(|parent| parent.trace_state().clone()).unwrap_or_default();
        let context = SpanContext::new(trace, self.new_span(), flags, false, state);
        let place = Place::of_ours(context, parent.map(|parent| (parent.span_id(), parent.is_remote())));
        self.take_up(place, name, kind, self.now())
    }

    /// Goes on with a span that was begun earlier, perhaps by a server that is no more.
    pub fn take_up(&self, place: Place, name: impl Into<Cow<'static, str>>, kind: SpanKind, since: Timestamp) -> Span {
        match &self.inner.sink {
            Some(sink) if place.is_recorded() => {
                Span::begun(self.clone(), place, name.into(), kind, since, &sink.scope)
            }
            _ => Span::unrecorded(Some(place)),
        }
    }

    /// Brings spans to the collector until `finish`, and then those that are left, unless that takes too long. To be called
    /// once; where there is no collector it just waits.
    pub async fn export(&self, finish: &CancellationToken, at_once: &CancellationToken) {
        let exporter = self
            .inner
            .sink
            .as_ref()
            .and_then(|sink| sink.exporter.lock().unwrap_or_else(PoisonError::into_inner).take());
        match exporter {
            Some((exporter, waiting)) => exporter.work(waiting, &self.inner.counts, finish, at_once).await,
            None => finish.cancelled().await,
        }
    }

    /// The spans that wait, for tests of who makes them. Nobody may export them then.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> Vec<SpanData> {
        let mut exporter = self.inner.sink.as_ref().unwrap().exporter.lock().unwrap();
        let waiting = &mut exporter.as_mut().unwrap().1;
        std::iter::from_fn(|| waiting.try_recv().ok()).collect()
    }

    /// With a collector that is not there, for tests.
    #[cfg(test)]
    pub(crate) fn for_testing(change: impl FnOnce(&mut groups::Traces)) -> Self {
        let mut settings = crate::settings::Settings::for_testing(std::path::Path::new("/nowhere")).traces;
        settings.collector = Some(crate::settings::otlp::Collector::read("http://127.0.0.1:1").unwrap());
        change(&mut settings);
        Self::new(&settings, "anthropic", Ambient::system(), &Metrics::default()).unwrap()
    }

    fn keep(&self, span: SpanData) {
        let Some(sink) = &self.inner.sink else { return };
        if sink.queue.try_send(span).is_err() {
            self.inner.counts.dropped.inc();
        }
    }

    fn new_trace(&self) -> TraceId {
        let (high, low) = (self.random(), self.random());
        TraceId::from_bytes((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
    }

    fn new_span(&self) -> SpanId {
        SpanId::from_bytes(self.random().to_be_bytes())
    }

    /// 64 random bits, not all of them 0. The bits of a UUID that say its kind are left out: samplers compare whole numbers.
    fn random(&self) -> u64 {
        let bytes = self.inner.ambient.uuid().into_bytes();
        let mut random = [0; 8];
        random[..6].copy_from_slice(&bytes[..6]);
        (random[6], random[7]) = (bytes[7], bytes[9]);
        u64::from_be_bytes(random).max(1)
    }
}

impl Sink {
    fn takes(&self, trace: TraceId) -> bool {
        let sampled = self.sampler.should_sample(None, trace, "", &SpanKind::Internal, &[], &[]);
        sampled.decision == SamplingDecision::RecordAndSample
    }
}

/// An attribute.
pub fn attribute(name: &'static str, value: impl Into<opentelemetry::Value>) -> KeyValue {
    KeyValue::new(name, value)
}

#[cfg(test)]
mod tests;
