//! A whole run in one answer.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::runs::Finished;
use crate::runs::event::{Event, EventBody};

/// Takes the events of a run one by one.
#[derive(Debug, Default)]
pub struct Fold(Folded);

/// The CLI's result, as it wrote it. Shared with the run's log: it may be as large as a line may be.
#[derive(Debug, Clone)]
pub struct RunResult(Arc<EventBody>);

/// What is left of a run.
#[derive(Debug, Default)]
pub struct Folded {
    /// The last result.
    pub result: Option<RunResult>,
    /// The end, once it came.
    pub finished: Option<Finished>,
    /// Warnings in ASCII, one line each, as many and as long as fit into headers.
    pub warnings: Vec<String>,
}

impl RunResult {
    /// The text, in JSON.
    pub fn as_str(&self) -> &str {
        match &*self.0 {
            EventBody::Agent(frame) => frame.as_str(),
            // Not reached: only the CLI's messages become results.
            _ => "null",
        }
    }

    /// How many tool calls were denied.
    pub fn denials(&self) -> usize {
        #[derive(Deserialize)]
        struct Denials {
            permission_denials: Vec<IgnoredAny>,
        }
        serde_json::from_str::<Denials>(self.as_str()).map_or(0, |result| result.permission_denials.len())
    }
}

impl AsRef<[u8]> for RunResult {
    fn as_ref(&self) -> &[u8] {
        self.as_str().as_bytes()
    }
}

const MAX_WARNINGS: usize = 8;
const MAX_WARNING: usize = 1_000;

impl Fold {
    /// The next event.
    pub fn take(&mut self, event: &Event) {
        match &*event.body {
            EventBody::Agent(frame) if frame.kind == "result" => {
                self.0.result = Some(RunResult(Arc::clone(&event.body)));
            }
            EventBody::Warning(text) if self.0.warnings.len() < MAX_WARNINGS => self.0.warnings.push(ascii_line(text)),
            EventBody::Finished(finished) => self.0.finished = Some(finished.clone()),
            _ => {}
        }
    }

    /// After the last event.
    pub fn finish(self) -> Folded {
        self.0
    }
}

fn ascii_line(text: &str) -> String {
    let visible = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    text.chars().take(MAX_WARNING).map(visible).collect()
}

#[cfg(test)]
mod tests {
    use claude::frame::Frame;
    use jiff::Timestamp;

    use super::*;
    use crate::runs::RunState;

    fn take(fold: &mut Fold, body: EventBody) {
        fold.take(&Event { seq: 1, time: Timestamp::UNIX_EPOCH, body: Arc::new(body) });
    }

    fn agent(line: &str) -> EventBody {
        EventBody::Agent(Frame::parse(line.into()).unwrap())
    }

    #[test]
    fn the_last_result_is_the_answer() {
        let mut fold = Fold::default();
        take(&mut fold, agent(r#"{"type":"result","subtype":"success","result":"first"}"#));
        take(&mut fold, agent(r#"{"type":"assistant"}"#));
        take(&mut fold, agent(r#"{"type":"result","subtype":"success","result":"second","permission_denials":[{}]}"#));
        take(&mut fold, EventBody::Warning("ünder\nline".into()));
        take(&mut fold, EventBody::Finished(Finished { state: RunState::Completed, error: None }));
        let folded = fold.finish();
        let result = folded.result.unwrap();
        assert!(result.as_str().contains("second"));
        assert_eq!(result.denials(), 1);
        assert_eq!(folded.warnings, ["?nder?line"]);
        assert_eq!(folded.finished.unwrap().state, RunState::Completed);
    }
}
