//! The spans of a run: its own, which lasts from its submission to its end, and below it those of waiting, of the start, of
//! each call of the model, and of each tool.
//!
//! They come of what the run's log is told, as clients see it: so there is one place that watches, and credentials are
//! replaced in it already. The run's own span ends when its last event is stored, by whoever stored it: a run that is lost
//! has one too, from the server that settles it, and no run has two.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::event::EventBody;
use super::{Finished, RunId, RunSpec, RunState};
use crate::store::runs::RunRow;
use crate::store::usage::Usage;
use crate::traces::place::Place;
use crate::traces::span::Span;
use crate::traces::{SpanKind, Traces, attribute};
use agent::Agent;
use content::{Said, told};

mod agent;
mod content;
mod message;

/// What the conventions call askd's part: it has an agent work.
const INVOKE: &str = "invoke_agent";

/// The spans of one run. Where nobody records them all of this does nothing.
#[derive(Debug, Default)]
pub struct RunTrace {
    place: Option<Place>,
    /// A collector gets the run's span.
    is_recorded: bool,
    has_content: bool,
    /// Held for the time of one message.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// `None` once it has ended.
    span: Option<Span>,
    waiting: Option<Span>,
    agent: Agent,
    room: Room,
    /// When the run ended; its span ends when that is stored as well.
    ended: Option<Timestamp>,
    /// The run's end is stored. Whoever says so may be faster than who tells of the end.
    is_stored: bool,
}

/// How many spans may still be begun.
#[derive(Debug, Default)]
struct Room {
    left: usize,
    left_out: i64,
}

impl Room {
    /// A span of the run, below another one of it if that is given, if there is room for one.
    fn begin(&mut self, run: &Span, around: Option<&Place>, name: String, kind: SpanKind) -> Option<Span> {
        if self.left == 0 {
            self.left_out += 1;
            return None;
        }
        self.left -= 1;
        Some(match around {
            Some(place) => run.other(place, name, kind),
            None => run.child(name, kind),
        })
    }
}

impl RunTrace {
    /// Of a run that was just submitted, within the span of its request.
    pub fn of_new(traces: &Traces, around: Option<&Place>, id: RunId, spec: &RunSpec, now: Timestamp) -> Arc<Self> {
        let span = traces.begin(around.map(Place::context), name(spec), SpanKind::Internal).since(now);
        Self::of(traces, span, id, Some(spec), now)
    }

    /// Of a run that was stored earlier. `spec` is absent when it is only to be ended.
    pub fn of_stored(traces: &Traces, row: &RunRow, id: RunId, spec: Option<&RunSpec>, now: Timestamp) -> Arc<Self> {
        let Some(place) = row.trace_context.as_deref().and_then(Place::from_json) else { return Arc::default() };
        let since = Timestamp::from_millisecond(row.created_at).unwrap_or(now);
        let name = spec.map_or_else(|| INVOKE.to_owned(), name);
        let mut span = traces.take_up(place, name, SpanKind::Internal, since);
        span.set("gen_ai.conversation.id", row.session_id.clone());
        span.set("askd.key.id", row.key_id.clone());
        let trace = Self::of(traces, span, id, spec, since);
        if let Some(usage) = &row.usage {
            trace.used(&Usage::from_json(usage));
        }
        trace
    }

    fn of(traces: &Traces, mut span: Span, id: RunId, spec: Option<&RunSpec>, since: Timestamp) -> Arc<Self> {
        let place = span.place().cloned();
        if !span.is_recorded() {
            return Arc::new(Self { place, ..Self::default() });
        }
        span.set("gen_ai.operation.name", INVOKE);
        span.set("gen_ai.provider.name", traces.provider());
        span.set("askd.run.id", id.to_string());
        if let Some(spec) = spec {
            describe(&mut span, spec);
        }
        let mut room = Room { left: traces.run_spans(), left_out: 0 };
        let waiting = spec.and_then(|_| room.begin(&span, None, "queue".to_owned(), SpanKind::Internal));
        let state = State {
            waiting: waiting.map(|span| span.since(since)),
            agent: Agent::new(spec.and_then(|spec| spec.model.clone()), traces.provider(), traces.has_content()),
            span: Some(span),
            room,
            ended: None,
            is_stored: false,
        };
        Arc::new(Self { place, is_recorded: true, has_content: traces.has_content(), state: Mutex::new(state) })
    }

    /// Where the run stands in a trace: for its row, its CLI, the log, and requests that are about it.
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// Begins a span for a step of askd's own.
    pub fn step(&self, name: &'static str) -> Span {
        if !self.is_recorded {
            return Span::default();
        }
        let state = &mut *self.lock();
        let step =
            state.span.as_ref().and_then(|span| state.room.begin(span, None, name.to_owned(), SpanKind::Internal));
        step.unwrap_or_default()
    }

    /// The prompt is given to the agent.
    pub(super) fn asked(&self, text: &str) {
        if self.has_content
            && let Some(span) = &mut self.lock().span
        {
            let mut said = Said::by("user");
            said.push(told(text));
            span.set("gen_ai.input.messages", said.list());
        }
    }

    /// Whether [`Self::asked`] wants to know.
    pub(super) fn has_content(&self) -> bool {
        self.has_content
    }

    /// What the run has used so far.
    pub(super) fn used(&self, usage: &Usage) {
        if self.is_recorded
            && let Some(span) = &mut self.lock().span
        {
            let sum = usage.sum();
            agent::set_usage(span, sum.into());
            #[expect(clippy::cast_precision_loss, reason = "millionths of a dollar, far below 2^53")]
            span.set("askd.cost.usd", sum.cost_micros as f64 / 1e6);
        }
    }

    /// The run's log was told something.
    pub(super) fn observe(&self, time: Timestamp, body: &EventBody) {
        if !self.is_recorded {
            return;
        }
        let state = &mut *self.lock();
        let State { span: Some(span), waiting, agent, room, .. } = state else { return };
        match body {
            EventBody::Queued => {}
            EventBody::Turn { .. } => {
                if let Some(waiting) = waiting.take() {
                    waiting.end_at(time);
                }
            }
            EventBody::Started { cli_version } => {
                span.set("askd.cli.version", cli_version.clone());
                agent.begin(time);
            }
            EventBody::Agent(frame) => agent.observe(time, frame, span, room),
            EventBody::Warning(warning) => {
                span.event("askd.warning", vec![attribute("askd.warning.code", warning.code.as_str())]);
            }
            EventBody::Finished(end) => {
                if let Some(mut waiting) = waiting.take() {
                    waiting.fail(end.word());
                    waiting.end_at(time);
                }
                agent.end(time, end.state);
                finish(span, end);
                state.ended = Some(time);
                state.end_if_stored();
            }
        }
    }

    /// The run's end is stored.
    pub(super) fn close(&self) {
        let state = &mut *self.lock();
        state.is_stored = true;
        state.end_if_stored();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Ends the run's span once both is known: that its end is stored, and when it was.
    fn end_if_stored(&mut self) {
        let Some(ended) = self.ended.filter(|_| self.is_stored) else { return };
        let Some(mut span) = self.span.take() else { return };
        if self.room.left_out > 0 {
            span.set("askd.spans.left_out", self.room.left_out);
        }
        span.end_at(ended);
    }
}

fn name(spec: &RunSpec) -> String {
    match &spec.agent {
        Some(agent) => format!("{INVOKE} {agent}"),
        None => INVOKE.to_owned(),
    }
}

fn describe(span: &mut Span, spec: &RunSpec) {
    span.set("gen_ai.conversation.id", spec.session.id().to_string());
    span.set("askd.key.id", spec.key.id.to_string());
    span.set("askd.permission_mode", spec.permission_mode.as_str());
    if !spec.session.is_new() {
        span.set("askd.session.continued", true);
    }
    if let Some(model) = &spec.model {
        span.set("gen_ai.request.model", model.clone());
    }
    if let Some(agent) = &spec.agent {
        span.set("gen_ai.agent.name", agent.clone());
    }
}

fn finish(span: &mut Span, end: &Finished) {
    span.set("askd.run.state", end.state.as_str());
    match end.state {
        RunState::Completed => {}
        // Somebody wanted it so.
        RunState::Cancelled => span.set("error.type", end.word()),
        _ => span.fail(end.word()),
    }
}

#[cfg(test)]
mod tests;
