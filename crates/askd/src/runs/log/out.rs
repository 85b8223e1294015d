//! What of a run leaves the server, without credentials.
//!
//! | Way out | Replaced by |
//! |---|---|
//! | messages of the CLI: events, live and stored, the run's `result` and `structured_output` | [`RunLog::append_now`] |
//! | partial messages | [`RunLog::pass_delta`] |
//! | `run.warning`, and `warnings` of the run's row | [`RunLog::append_now`] |
//! | the end: `error` of the last event and of the run's row | [`RunLog::append_now`] |
//! | spans: all of the above but partial messages; the prompt | [`RunLog::append_now`], [`RunLog::trace_prompt`] |
//! | the log of the server: how a run ended, what its CLI had on its standard error | [`RunLog::told_end`], [`RunLog::told_text`] |
//!
//! What goes back to the CLI is not replaced: it comes from there. Numbers are not looked at.

use std::borrow::Cow;
use std::sync::PoisonError;

use super::super::Finished;
use super::super::event::EventBody;
use super::super::redact::Redactor;
use super::super::warning::Warning;
use super::RunLog;

impl RunLog {
    /// From now on these are kept back. To be called once, before the CLI says anything.
    pub(in crate::runs) fn keep_back(&self, redactor: Redactor) {
        let kept = self.redactor.set(redactor);
        debug_assert!(kept.is_ok(), "a run is started once");
    }

    /// What becomes of an event, if it has to be another one.
    pub(super) fn redacted(&self, body: &EventBody) -> Option<EventBody> {
        let redactor = self.redactor.get()?;
        match body {
            EventBody::Queued | EventBody::Turn { .. } | EventBody::Started { .. } => None,
            EventBody::Agent(frame) => Some(EventBody::Agent(frame.with_text(redactor.json(frame.as_str())?))),
            EventBody::Warning(Warning { code, message }) => {
                Some(EventBody::Warning(Warning::new(*code, redactor.telling(message))))
            }
            EventBody::Finished(end) => Some(EventBody::Finished(redactor.end((**end).clone()).into())),
        }
    }

    /// The partial messages to pass on for one.
    pub(super) fn redacted_deltas(&self, line: &str) -> Vec<String> {
        let mut deltas = self.delta_redactor.lock().unwrap_or_else(PoisonError::into_inner);
        self.redactor.get().map_or_else(|| vec![line.to_owned()], |redactor| deltas.pass(redactor, line))
    }

    /// An end as the server's log may have it.
    pub(in crate::runs) fn told_end(&self, end: Finished) -> Finished {
        match self.redactor.get() {
            Some(redactor) => redactor.end(end),
            None => end,
        }
    }

    /// Tells the run's spans what is asked, if the operator wants that.
    pub(in crate::runs) fn trace_prompt(&self, prompt: &str) {
        if let Some(trace) = self.trace.get().filter(|trace| trace.has_content()) {
            trace.asked(&self.told_text(prompt));
        }
    }

    /// A text as the server's log may have it. To be called before it is cut.
    pub(in crate::runs) fn told_text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.redactor.get().map_or(Cow::Borrowed(text), |redactor| redactor.text(text))
    }
}
