//! One span, from its beginning to its end.

use std::borrow::Cow;
use std::time::SystemTime;

use jiff::Timestamp;
use opentelemetry::trace::{Event, Link, SpanId, SpanKind, Status};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::Traces;
use super::place::Place;

/// Events of one span; further ones are counted.
const MAX_EVENTS: usize = 64;

/// Links of one span; a request is about one run or a few.
const MAX_LINKS: usize = 8;

/// The longest text of an attribute, in bytes.
pub const MAX_TEXT: usize = 4096;

/// A span that is under way. One that is dropped before its end is never exported: its work goes on elsewhere.
#[derive(Debug, Default)]
pub struct Span {
    place: Option<Place>,
    /// `None`: nobody records it.
    recorded: Option<Box<(Traces, SpanData)>>,
}

impl Span {
    pub(super) fn unrecorded(place: Option<Place>) -> Self {
        Self { place, recorded: None }
    }

    pub(super) fn begun(
        traces: Traces,
        place: Place,
        name: Cow<'static, str>,
        kind: SpanKind,
        since: Timestamp,
        scope: &InstrumentationScope,
    ) -> Self {
        let since = SystemTime::from(since);
        let data = SpanData {
            span_context: place.context().clone(),
            parent_span_id: place.parent().map_or(SpanId::INVALID, |(span, _)| span),
            parent_span_is_remote: place.parent().is_some_and(|(_, remote)| remote),
            span_kind: kind,
            name,
            start_time: since,
            end_time: since,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: scope.clone(),
        };
        Self { place: Some(place), recorded: Some(Box::new((traces, data))) }
    }

    /// Where it stands; `None` outside of any trace.
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// Whether a collector gets it. What costs something to find out need not be found out for others.
    pub fn is_recorded(&self) -> bool {
        self.recorded.is_some()
    }

    /// Begins a span below this one, if this one is recorded.
    #[must_use]
    pub fn child(&self, name: impl Into<Cow<'static, str>>, kind: SpanKind) -> Self {
        self.place.as_ref().map_or_else(Self::default, |place| self.other(place, name, kind))
    }

    /// Begins a span below another one of the same trace, if this one is recorded.
    #[must_use]
    pub fn other(&self, parent: &Place, name: impl Into<Cow<'static, str>>, kind: SpanKind) -> Self {
        match &self.recorded {
            Some(recorded) => recorded.0.begin(Some(parent.context()), name, kind),
            None => Self::default(),
        }
    }

    /// Moves its beginning.
    #[must_use]
    pub fn since(mut self, time: Timestamp) -> Self {
        if let Some(data) = self.data() {
            data.start_time = time.into();
        }
        self
    }

    /// Gives it another name.
    pub fn rename(&mut self, name: impl Into<Cow<'static, str>>) {
        if let Some(data) = self.data() {
            data.name = name.into();
        }
    }

    /// Sets an attribute; the value that it had is replaced.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        if let Some(data) = self.data() {
            let value = value.into();
            match data.attributes.iter_mut().find(|there| there.key.as_str() == name) {
                Some(there) => there.value = value,
                None => data.attributes.push(KeyValue::new(name, value)),
            }
        }
    }

    /// The same with a text that may be long.
    pub fn set_text(&mut self, name: &'static str, text: &str) {
        if self.is_recorded() {
            self.set(name, shortened(text, MAX_TEXT).to_owned());
        }
    }

    /// Says that something has happened in it.
    pub fn event(&mut self, name: &'static str, attributes: Vec<KeyValue>) {
        if let Some((traces, data)) = self.recorded.as_deref_mut() {
            if data.events.events.len() < MAX_EVENTS {
                data.events.events.push(Event::new(name, traces.now().into(), attributes, 0));
            } else {
                data.events.dropped_count += 1;
            }
        }
    }

    /// Says that it has to do with another span.
    pub fn link(&mut self, other: &Place) {
        let own = self.place.as_ref().map(Place::context).cloned();
        if let Some(data) = self.data()
            && own.as_ref() != Some(other.context())
        {
            if data.links.links.len() < MAX_LINKS {
                data.links.links.push(Link::new(other.context().clone(), Vec::new(), 0));
            } else {
                data.links.dropped_count += 1;
            }
        }
    }

    /// Says that it failed, and how, in a word of a closed list.
    pub fn fail(&mut self, how: impl Into<Value>) {
        self.set("error.type", how);
        if let Some(data) = self.data() {
            data.status = Status::error("");
        }
    }

    /// Ends it now.
    pub fn end(self) {
        if let Some(recorded) = &self.recorded {
            let now = recorded.0.now();
            self.end_at(now);
        }
    }

    /// Ends it at a time that is past. No span ends before it begins, whatever the clock does.
    pub fn end_at(self, time: Timestamp) {
        if let Some(recorded) = self.recorded {
            let (traces, mut data) = *recorded;
            data.end_time = SystemTime::from(time).max(data.start_time);
            traces.keep(data);
        }
    }

    fn data(&mut self) -> Option<&mut SpanData> {
        self.recorded.as_deref_mut().map(|recorded| &mut recorded.1)
    }
}

/// The beginning of a text, not longer than so many bytes.
pub fn shortened(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
