//! What a person wants to know of a run although it does not end it: denied tools, another model, a provider that was asked
//! again, servers and plugins that are missing.
//!
//! A message says one thing at once (`heard`); what comes a hundred times is counted, and told with the end.

use std::collections::{BTreeMap, BTreeSet};

use crate::frame::Frame;
use heard::{Heard, heard, say};
use pieces::Pieces;
use servers::Missing;
use subagents::Subagents;

mod heard;
mod pieces;
mod servers;
mod subagents;

/// Something to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What it is about.
    pub kind: Kind,
    /// In words, on one line or a few.
    pub message: String,
    /// When that will be over, in seconds since 1970, UTC; where the provider says so.
    pub until: Option<i64>,
}

/// The kinds of [`Notice`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Calls of tools were denied.
    Denied,
    /// The conversation was summed up to make room, or that failed.
    Compacted,
    /// Another model answers than the one that was asked for.
    ModelFallback,
    /// The provider was asked again.
    Retried,
    /// A limit of the provider is nearly used up.
    RateLimit,
    /// The answer was cut, and the model went on with it.
    Continued,
    /// A subagent failed.
    Subagent,
    /// An MCP server cannot be used.
    McpServer,
    /// A plugin was left out.
    LeftOut,
    /// A hook failed.
    Hook,
    /// The conversation cannot be continued as it was: the CLI could not save it.
    TranscriptLost,
    /// Everything else that the CLI itself calls a warning.
    Other,
}

/// Of one kind, so many are told one by one; of further ones the number. A CLI that repeats itself must not fill the log.
const MAX_EACH: u32 = 10;

/// So many denied calls are told apart; of more it is said that they are more.
const MAX_DENIED: usize = 1_000;

/// So many tools are named with their denials.
const MAX_NAMED: usize = 20;

/// What is kept of a name or an id, in characters.
const MAX_NAME: usize = 100;

/// What stands at the end of a text of which there is more. A credential may have been cut in two there: whoever replaces
/// those looks before it.
pub const CUT: &str = "…";

/// At most so many characters of a text, and [`CUT`] if that is not all.
pub fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}{CUT}", &text[..end]),
        None => text.to_owned(),
    }
}

/// Follows the messages of one process.
#[derive(Debug, Default)]
pub struct Notices {
    /// What was told, so that nothing is told twice. Bounded by [`MAX_EACH`].
    told: BTreeSet<(Kind, String)>,
    count: BTreeMap<Kind, u32>,
    /// Tool and id of each call.
    denied: BTreeSet<(String, String)>,
    retries: Retries,
    pieces: Pieces,
    subagents: Subagents,
    missing: Missing,
}

/// Failures of the provider after which the CLI asks again. The waits between them are not summed up: the last one may have
/// been cut off.
#[derive(Debug, Default)]
struct Retries {
    count: u32,
    /// Those since the model last said anything.
    in_a_row: u32,
    /// What was answered, and how often.
    answers: BTreeMap<String, u32>,
}

impl Notices {
    /// Takes the next message into account; what is to be told at once.
    pub fn hear(&mut self, frame: &Frame) -> Vec<Notice> {
        self.pieces.hear(frame);
        if frame.is_delta() || frame.kind == "assistant" {
            self.retries.in_a_row = 0;
        }
        let fallen = self.subagents.hear(frame).map(|fallen| say(Kind::Subagent, fallen.task, fallen.message));
        let missing = self.missing.hear(frame).into_iter().map(|(name, message)| say(Kind::McpServer, name, message));
        let heard = fallen.into_iter().chain(missing).chain(heard(frame));
        heard.filter_map(|heard| self.take(heard)).collect()
    }

    /// A question to the CLI, which has said less than a person wants to know. The answer comes among its messages.
    pub fn question(&mut self) -> Option<String> {
        self.missing.question()
    }

    /// How often in a row the provider has not answered as it should, up to now. 0: it has answered since.
    pub fn unanswered(&self) -> u32 {
        self.retries.in_a_row
    }

    fn take(&mut self, heard: Heard) -> Option<Notice> {
        match heard {
            Heard::Denied { tool, call } => {
                if self.denied.len() <= MAX_DENIED {
                    self.denied.insert((short(&tool), short(&call)));
                }
                None
            }
            Heard::Missing { server } => {
                self.missing.note(server);
                None
            }
            Heard::Retry { answer, message } => {
                self.retries.note(&answer);
                (self.retries.count == 1).then_some(Notice { kind: Kind::Retried, message, until: None })
            }
            Heard::Say { notice, key } => {
                let same = (notice.kind, short(&key));
                if self.told.contains(&same) {
                    return None;
                }
                let count = self.count.entry(notice.kind).or_default();
                *count = count.saturating_add(1);
                if *count <= MAX_EACH {
                    self.told.insert(same);
                }
                (*count <= MAX_EACH).then_some(notice)
            }
        }
    }

    /// What is told with the end. Then nothing is left to tell.
    pub fn rest(&mut self) -> Vec<Notice> {
        let unanswered = self.missing.rest();
        let unanswered = unanswered.into_iter().map(|(name, message)| say(Kind::McpServer, name, message));
        let unanswered: Vec<_> = unanswered.filter_map(|heard| self.take(heard)).collect();
        let Self { count, denied, retries, pieces, .. } = std::mem::take(self);
        let say = |kind, message| Notice { kind, message, until: None };
        let continued = pieces.told().map(|message| say(Kind::Continued, message));
        let retried = retries.told().map(|message| say(Kind::Retried, message));
        let left_out = count.into_iter().filter(|(_, count)| *count > MAX_EACH).map(|(kind, count)| {
            let message = format!("{} more warnings of this kind were left out", count - MAX_EACH);
            say(kind, message)
        });
        let denied = (!denied.is_empty()).then(|| say(Kind::Denied, denials(&denied)));
        let counted = continued.into_iter().chain(retried).chain(left_out).chain(denied);
        unanswered.into_iter().chain(counted).collect()
    }
}

impl Retries {
    fn note(&mut self, answer: &str) {
        self.count = self.count.saturating_add(1);
        self.in_a_row = self.in_a_row.saturating_add(1);
        if self.answers.len() < MAX_NAMED || self.answers.contains_key(answer) {
            *self.answers.entry(answer.to_owned()).or_default() += 1;
        }
    }

    /// All of them together. One alone was told already.
    fn told(&self) -> Option<String> {
        let Self { count, answers, .. } = self;
        let times = answers.iter().map(|(answer, times)| format!("{answer} ({times})"));
        let answers = times.collect::<Vec<_>>().join(", ");
        (*count > 1).then(|| format!("the provider did not answer as it should {count} times: {answers}"))
    }
}

/// Whether a line says that the conversation could not be saved whole. The CLI may find that out only when it exits, when its
/// answer was given long ago (checked).
pub fn says_transcript_lost(line: &str) -> bool {
    const LOST: &str = "session_writes_lost";
    line.contains(LOST) && Frame::parse(line.to_owned()).is_ok_and(|frame| frame.is_system(LOST))
}

fn denials(denied: &BTreeSet<(String, String)>) -> String {
    let mut tools: BTreeMap<&str, usize> = BTreeMap::new();
    for (tool, _) in denied {
        *tools.entry(tool).or_default() += 1;
    }
    let mut tools: Vec<_> = tools.into_iter().collect();
    tools.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
    let named = tools.iter().take(MAX_NAMED).map(|(tool, times)| match times {
        1 => (*tool).to_owned(),
        times => format!("{tool} ({times})"),
    });
    let named = named.collect::<Vec<_>>().join(", ");
    let (count, calls) = match denied.len() {
        1 => ("1".to_owned(), "tool call was"),
        many if many > MAX_DENIED => (format!("more than {MAX_DENIED}"), "tool calls were"),
        many => (many.to_string(), "tool calls were"),
    };
    format!("{count} {calls} denied: {named}")
}

fn short(text: &str) -> String {
    shortened(text, MAX_NAME)
}

/// Milliseconds as a person says them.
fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1_000, ms % 1_000 / 100)
}

#[cfg(test)]
mod tests;
