//! What the CLI says, line by line, and what follows from it.

use claude::frame::Frame;
use claude::input::refuse;
use claude::notice::shortened;
use claude::outcome::{Ending, Limit};
use claude::reply::{guarded_call, initialized, is_held, request_id};
use claude::servers::servers_taken;
use supervisor::lines::{Line, LineError};
use supervisor::output::Lines;
use tokio::time::{Instant, sleep_until};

use super::super::spending::Heard;
use super::{EventBody, Talk, Warning, WarningCode};

/// Lines that are no messages are told to the reader, but not without end.
const MAX_LINE_WARNINGS: u32 = 20;

/// How much of such a line is told, in characters.
const MAX_LINE_WARNING: usize = 500;

impl Talk<'_> {
    /// Takes a line, and those that came with it: a CLI that writes fast is not looked after line by line.
    pub(super) async fn hear_all(&mut self, first: Result<Line, LineError>, lines: &mut Lines) -> Option<Ending> {
        let mut next = Some(first);
        while let Some(line) = next {
            let ending = self.hear(line).await;
            if ending.is_some() || self.conversation.is_to_end() {
                return ending;
            }
            next = lines.next_read();
        }
        None
    }

    /// Takes a line; an ending if it brings one.
    async fn hear(&mut self, line: Result<Line, LineError>) -> Option<Ending> {
        let line = match line {
            Ok(line) => line,
            Err(error @ LineError::TooLong { .. }) => {
                return Some(Ending::LimitMet { limit: Limit::Line, what: format!("{error} (ASKD_MAX_LINE)") });
            }
            Err(error) => return Some(Ending::Broken { what: error.to_string() }),
        };
        if let Line::Text(text) = &line
            && self.spending.hear(text) == Heard::Answer
        {
            self.tell_usage(true);
            // A run whose answer is there has come to its own end.
            return self.over_budget();
        }
        self.deadlines.on_output(std::time::Instant::now());
        self.output += line.as_str().len() as u64;
        if self.output > self.conversation.bounds.max_output {
            let what =
                format!("the run wrote more than {} bytes (ASKD_MAX_OUTPUT)", self.conversation.bounds.max_output);
            return Some(Ending::LimitMet { limit: Limit::Output, what });
        }
        let line = match line {
            Line::Text(text) => text,
            Line::NotUtf8 { lossy, .. } => return self.keep_as_warning("that is not UTF-8", &lossy),
        };
        let frame = match Frame::parse(line) {
            Ok(frame) => frame,
            Err((_, line)) => return self.keep_as_warning("that is no message", &line),
        };
        self.take(frame).await
    }

    async fn take(&mut self, frame: Frame) -> Option<Ending> {
        // All is taken as it stands: what is judged must be what the CLI will run, and what it says of itself is known by its
        // words, which a credential may be one of. The log replaces those in what it passes on.
        if !self.initialized
            && let Some(reply) = initialized(&frame)
        {
            self.initialized = true;
            return self.start(reply);
        }
        if let Some(is_held) = is_held(&frame) {
            return self.heed_whether_held(is_held);
        }
        if let Some(reply) = servers_taken(&frame) {
            return self.heed_servers(reply);
        }
        if let Some(call) = guarded_call(&frame).filter(|_| !self.conversation.guarded_tools().is_empty()) {
            if let Some((call, verdict)) = self.judge(call) {
                self.answer(call, verdict);
            }
            return None;
        }
        if let Some(id) = request_id(&frame) {
            self.say(refuse(&id, "this server answers no requests of the CLI"));
            return None;
        }
        if frame.is_system("init") {
            // It has taken its prompt: a long run need not end before the server is ready again.
            self.conversation.cli_health.has_begun(self.conversation.begun);
        }
        self.tell_notices(&frame);
        self.repair.observe(&frame);
        let breach = self.breach(&frame);
        let ended = self.progress.observe(&frame);
        let over_budget = self.look_at_budget(&frame);
        if self.answered_at.is_none() && self.progress.answered() {
            self.answered_at = Some(Instant::now());
        } else if !self.progress.answered() {
            self.answered_at = None;
        }
        if frame.is_delta() {
            self.conversation.log.pass_delta(frame.as_str());
        }
        if frame.is_event() && !self.append(EventBody::Agent(frame)).await {
            // A deadline, a cancel or an alarm came while the log waited for the store; the loop's next look says which.
            return None;
        }
        breach.or_else(|| ended.then_some(Ending::Done)).or(over_budget)
    }

    /// Looks at the budget when a result has said what was spent: the CLI's own look begins anew with its conversation.
    fn look_at_budget(&mut self, frame: &Frame) -> Option<Ending> {
        self.spending.observe(frame);
        if frame.kind != "result" {
            return None;
        }
        // With the result itself.
        self.tell_usage(false);
        self.over_budget()
    }

    /// Says in the run's row what is known to be used: with the next event, or at once.
    fn tell_usage(&mut self, at_once: bool) {
        if let Some(usage) = self.spending.news() {
            self.conversation.log.note_usage(&usage, at_once);
        }
    }

    /// The end of a run that has cost as much as it may. One whose answer is there has come to its own end.
    fn over_budget(&self) -> Option<Ending> {
        self.spending.met().filter(|_| !self.progress.answered())
    }

    /// Appends an event, waiting for the store as long as the run may last; `false` when it was given up.
    async fn append(&mut self, body: EventBody) -> bool {
        let conversation = self.conversation;
        let now = conversation.ambient.now();
        let Err(body) = conversation.log.try_append(now, body) else { return true };
        let appended = tokio::select! {
            () = conversation.log.append(now, body) => true,
            () = conversation.cancelled.cancelled() => false,
            _ = conversation.alarm.raised() => false,
            () = sleep_until(self.last_moment) => false,
        };
        // The child was not asked for output meanwhile, so its silence does not count.
        self.deadlines.on_output(std::time::Instant::now());
        appended
    }

    /// A line that is no message does not end a run, but somebody may want to know what it was.
    fn keep_as_warning(&mut self, what: &str, line: &str) -> Option<Ending> {
        self.line_warnings += 1;
        if self.line_warnings <= MAX_LINE_WARNINGS {
            let line = self.conversation.log.told_text(line);
            let start = shortened(&line, MAX_LINE_WARNING);
            self.warn(Warning::new(WarningCode::Output, format!("the CLI wrote a line {what}: {start}")));
        }
        None
    }
}
