//! A whole run in one answer.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::ask_stream::warning;
use crate::runs::Finished;
use crate::runs::event::{RESULT, WARNING};
use crate::runs::follow::{Batch, KeptEvent};

/// Takes the events of a run batch by batch.
#[derive(Debug, Default)]
pub struct Fold(Folded);

/// The CLI's result, as it wrote it. Shared with the run's log: it may be as large as a line may be.
#[derive(Debug, Clone)]
pub struct RunResult(KeptEvent);

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
        self.0.data()
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

/// The most warnings in headers of one answer.
pub const MAX_WARNINGS: usize = 8;
const MAX_WARNING: usize = 1_000;

impl Fold {
    /// The next events.
    pub fn take(&mut self, batch: &Batch) {
        for event in batch.events() {
            match event.kind {
                RESULT => self.0.result = Some(RunResult(batch.keep(event.seq))),
                WARNING if self.0.warnings.len() < MAX_WARNINGS => {
                    self.0.warnings.extend(warning(&event).map(|message| ascii_line(&message)));
                }
                _ => self.0.finished = Finished::of_event(&event).or(self.0.finished.take()),
            }
        }
    }

    /// After the last event.
    pub fn finish(self) -> Folded {
        self.0
    }
}

/// A text as one line of a header. Letters that it cannot have become `?`; the CLI's marks, such as a warning sign, only
/// adorn.
pub fn ascii_line(text: &str) -> String {
    let visible = |c: char| match c {
        c if c.is_ascii_graphic() || c == ' ' => Some(c),
        '\u{2018}' | '\u{2019}' => Some('\''),
        '\u{201c}' | '\u{201d}' => Some('"'),
        '\u{2013}' | '\u{2014}' => Some('-'),
        c if c.is_ascii() || c.is_alphanumeric() => Some('?'),
        _ => None,
    };
    let line: String = text.chars().filter_map(visible).take(MAX_WARNING).collect();
    line.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use claude::frame::Frame;

    use super::*;
    use crate::runs::RunState;
    use crate::runs::event::EventBody;
    use crate::runs::warning::{Warning, WarningCode};
    use crate::store::chunk::ChunkBuilder;

    fn warning_event(message: &str) -> EventBody {
        EventBody::Warning(Warning::new(WarningCode::Other, message))
    }

    fn agent(line: &str) -> EventBody {
        EventBody::Agent(Frame::parse(line.into()).unwrap())
    }

    #[test]
    fn the_last_result_is_the_answer() {
        let mut chunk = ChunkBuilder::new(1);
        for body in [
            agent(r#"{"type":"result","subtype":"success","result":"first"}"#),
            agent(r#"{"type":"assistant"}"#),
            agent(r#"{"type":"result","subtype":"success","result":"second","permission_denials":[{}]}"#),
            warning_event("\u{26a0}\u{fe0f} ünder\nline \u{2014} it\u{2019}s"),
            EventBody::Finished(Finished::completed().into()),
        ] {
            chunk.push(0, &body.kind(), &body.data());
        }
        let mut fold = Fold::default();
        fold.take(&Batch::whole(Arc::new(chunk.finish())));
        let folded = fold.finish();
        let result = folded.result.unwrap();
        assert!(result.as_str().contains("second"));
        assert_eq!(result.denials(), 1);
        assert_eq!(folded.warnings, ["?nder?line - it's"]);
        assert_eq!(folded.finished.unwrap().state, RunState::Completed);
    }
}
