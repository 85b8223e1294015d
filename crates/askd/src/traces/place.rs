//! Where a piece of work stands in a trace, as the W3C's Trace Context writes it.

use hyper::HeaderMap;
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use serde::{Deserialize, Serialize};

/// The header with the trace and the span around a request.
pub const TRACEPARENT: &str = "traceparent";

/// The header with what other systems add to it.
pub const TRACESTATE: &str = "tracestate";

/// What an answer says of the span of its request. `traceparent` is defined for requests only; this is what the W3C has
/// drafted for answers, and what OpenTelemetry's own propagators for answers write.
pub const TRACERESPONSE: &str = "traceresponse";

/// The longest `tracestate` that is passed on, in bytes; 512 must be, and a longer one is dropped as a whole.
const MAX_STATE: usize = 2048;

/// The most members that it may have by the standard. The library would leave off the others without a word.
const MAX_MEMBERS: usize = 32;

/// The flags that the standard defines: sampled, and random.
const FLAGS: u8 = 0b11;

/// The place of a span, or, where this server makes none, the one that its caller has given.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    context: SpanContext,
    /// The span around it, and whether that is another system's.
    parent: Option<(SpanId, bool)>,
    /// Whether the span is this server's.
    is_ours: bool,
}

/// As it stands in the store.
#[derive(Serialize, Deserialize)]
struct Stored {
    traceparent: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    tracestate: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    #[serde(default)]
    remote: bool,
    ours: bool,
}

impl Place {
    pub(super) fn of_ours(context: SpanContext, parent: Option<(SpanId, bool)>) -> Self {
        Self { context, parent, is_ours: true }
    }

    pub(super) fn passed_on(context: SpanContext) -> Self {
        Self { context, parent: None, is_ours: false }
    }

    /// What spans below it have for a parent.
    pub fn context(&self) -> &SpanContext {
        &self.context
    }

    pub(super) fn parent(&self) -> Option<(SpanId, bool)> {
        self.parent
    }

    /// Whether its span is this server's, be it recorded or not.
    pub fn is_ours(&self) -> bool {
        self.is_ours
    }

    /// Whether there is a span that a collector gets.
    pub fn is_recorded(&self) -> bool {
        self.is_ours && self.context.is_sampled()
    }

    /// The trace, for the log.
    pub fn trace_id(&self) -> String {
        self.context.trace_id().to_string()
    }

    /// The span, for the log; `None` if it is another system's.
    pub fn span_id(&self) -> Option<String> {
        self.is_ours.then(|| self.context.span_id().to_string())
    }

    /// The value of `traceparent`, also as a variable.
    pub fn traceparent(&self) -> String {
        let flags = self.context.trace_flags().to_u8() & FLAGS;
        format!("00-{}-{}-{flags:02x}", self.context.trace_id(), self.context.span_id())
    }

    /// The value of `tracestate`; `None` if there is none.
    pub fn tracestate(&self) -> Option<String> {
        Some(self.context.trace_state().header()).filter(|state| !state.is_empty())
    }

    /// For the row of a run.
    pub fn to_json(&self) -> String {
        let stored = Stored {
            traceparent: self.traceparent(),
            tracestate: self.tracestate().unwrap_or_default(),
            parent: self.parent.map(|(span, _)| span.to_string()),
            remote: self.parent.is_some_and(|(_, remote)| remote),
            ours: self.is_ours,
        };
        // Texts always serialise.
        serde_json::to_string(&stored).unwrap_or_default()
    }

    /// From [`Self::to_json`]; what cannot be read is no place.
    pub fn from_json(text: &str) -> Option<Self> {
        let Stored { traceparent, tracestate, parent, remote, ours } = serde_json::from_str(text).ok()?;
        let context = read(&traceparent, &tracestate, !ours)?;
        let parent = match parent {
            Some(parent) => Some((SpanId::from_bytes(hex(&parent)?), remote)),
            None => None,
        };
        Some(Self { context, parent, is_ours: ours })
    }
}

/// The trace and the span, for a line of the log; neither outside of any trace.
pub fn ids(place: Option<&Place>) -> (Option<String>, Option<String>) {
    (place.map(Place::trace_id), place.and_then(Place::span_id))
}

/// What the headers of a request say. One that is not written as the standard says counts as none.
pub fn brought(headers: &HeaderMap) -> Option<SpanContext> {
    let mut given = headers.get_all(TRACEPARENT).iter();
    let (parent, None) = (given.next()?, given.next()) else { return None };
    let state: Vec<_> = headers.get_all(TRACESTATE).iter().filter_map(|value| value.to_str().ok()).collect();
    read(parent.to_str().ok()?, &state.join(","), true)
}

/// Reads both values. A `tracestate` that is wrong, too long or has too many members is left out; the trace goes on without it.
fn read(parent: &str, state: &str, is_remote: bool) -> Option<SpanContext> {
    let (trace, span, flags) = fields(parent)?;
    let is_fit = state.len() <= MAX_STATE && state.split(',').count() <= MAX_MEMBERS;
    let state = if is_fit { state.parse().unwrap_or_default() } else { TraceState::NONE };
    Some(SpanContext::new(trace, span, flags, is_remote, state))
}

/// `VERSION-TRACE-SPAN-FLAGS`, in lower-case hexadecimal digits. Later versions may go on after that.
fn fields(text: &str) -> Option<(TraceId, SpanId, TraceFlags)> {
    const LENGTH: usize = 55;
    let head = text.get(..LENGTH)?;
    let [version, trace, span, flags] = head.split('-').collect::<Vec<_>>().try_into().ok()?;
    let [version] = hex(version)?;
    let rest = &text[LENGTH..];
    if version == 0xff || version == 0 && !rest.is_empty() || !rest.is_empty() && !rest.starts_with('-') {
        return None;
    }
    let (trace, span) = (TraceId::from_bytes(hex(trace)?), SpanId::from_bytes(hex(span)?));
    let [flags] = hex(flags)?;
    (trace != TraceId::INVALID && span != SpanId::INVALID).then(|| (trace, span, TraceFlags::new(flags & FLAGS)))
}

/// Just so many bytes in lower-case digits.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = digit(digits[0])? << 4 | digit(digits[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn of(parents: &[&str], states: &[&str]) -> Option<SpanContext> {
        let mut headers = HeaderMap::new();
        for (name, values) in [(TRACEPARENT, parents), (TRACESTATE, states)] {
            for value in values {
                headers.append(name, HeaderValue::from_str(value).unwrap());
            }
        }
        brought(&headers)
    }

    #[test]
    fn a_parent_is_read_as_the_standard_writes_it() {
        let context = of(&[GIVEN], &[]).unwrap();
        assert!(context.is_sampled() && context.is_remote());
        assert_eq!(Place::passed_on(context).traceparent(), GIVEN);
        let unsampled = GIVEN.replace("-01", "-00");
        assert!(!of(&[&unsampled], &[]).unwrap().is_sampled());
        // A later version may have more flags and more fields.
        assert!(of(&[&format!("{}-more", GIVEN.replacen("00", "cc", 1).replace("-01", "-ff"))], &[]).is_some());
    }

    #[test]
    fn what_is_not_written_so_counts_as_none() {
        let zero_trace = "00-00000000000000000000000000000000-b7ad6b7169203331-01";
        let zero_span = "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01";
        for wrong in [
            "",
            "00",
            zero_trace,
            zero_span,
            &GIVEN.to_uppercase(),
            &GIVEN.replacen("00", "ff", 1),
            &format!("{GIVEN}-more"),
            &format!("{GIVEN} "),
            &format!("{}more", GIVEN.replacen("00", "01", 1)),
            &GIVEN[..54],
            &GIVEN.replace('-', "_"),
            &GIVEN.replace("b7", "+7"),
        ] {
            assert_eq!(of(&[wrong], &[]), None, "{wrong}");
        }
        assert_eq!(of(&[GIVEN, GIVEN], &[]), None, "two of them");
    }

    #[test]
    fn a_state_is_passed_on_and_never_costs_the_trace() {
        let state = |states: &[&str]| Place::passed_on(of(&[GIVEN], states).unwrap()).tracestate();
        assert_eq!(state(&["a=1,b=2", "c=3"]).as_deref(), Some("a=1,b=2,c=3"));
        assert_eq!(state(&["not a list"]), None);
        assert_eq!(state(&[&"a=1,".repeat(1000)]), None);
        let members = |count| (0..count).map(|name| format!("m{name}=1")).collect::<Vec<_>>().join(",");
        assert_eq!(state(&[&members(MAX_MEMBERS)]), Some(members(MAX_MEMBERS)));
        assert_eq!(state(&[&members(MAX_MEMBERS + 1)]), None, "as a whole, or its end would be missing");
    }

    #[test]
    fn a_place_comes_out_of_the_store_as_it_went_in() {
        let context = |remote| read(GIVEN, "a=1", remote).unwrap();
        let span = SpanId::from_bytes([7; 8]);
        for place in [
            Place::passed_on(context(true)),
            Place::of_ours(context(false), None),
            Place::of_ours(context(false), Some((span, true))),
        ] {
            assert_eq!(Place::from_json(&place.to_json()), Some(place));
        }
        assert_eq!(Place::from_json("{}"), None);
        assert_eq!(Place::from_json(r#"{"traceparent":"00-x","ours":true}"#), None);
    }

    proptest! {
        #[test]
        fn no_header_panics_and_what_is_read_is_written_alike(text in "[0-9a-fA-F-]{50,60}|\\PC{0,80}") {
            if let Some((trace, span, flags)) = fields(&text) {
                let place = Place::passed_on(SpanContext::new(trace, span, flags, true, TraceState::NONE));
                prop_assert_eq!(&place.traceparent()[2..53], &text[2..53]);
            }
        }

        #[test]
        fn every_place_can_be_read_again(trace in 1u128.., span in 1u64.., flags in 0u8..4) {
            let (trace, span) = (TraceId::from_bytes(trace.to_be_bytes()), SpanId::from_bytes(span.to_be_bytes()));
            let context = SpanContext::new(trace, span, TraceFlags::new(flags), true, TraceState::NONE);
            let text = Place::passed_on(context.clone()).traceparent();
            prop_assert_eq!(of(&[&text], &[]), Some(context));
        }
    }
}
