//! What a person wants to know of a run although it does not end it: denied tools, another model, a provider that was asked
//! again, servers and plugins that are missing.
//!
//! A message says one thing at once (`heard`); what comes a hundred times is counted, and told with the end.

use std::collections::{BTreeMap, BTreeSet};

use crate::frame::Frame;
use heard::{Heard, heard};

mod heard;

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

/// Follows the messages of one process.
#[derive(Debug, Default)]
pub struct Notices {
    /// What was told, so that nothing is told twice. Bounded by [`MAX_EACH`].
    told: BTreeSet<(Kind, String)>,
    count: BTreeMap<Kind, u32>,
    /// Tool and id of each call.
    denied: BTreeSet<(String, String)>,
    retries: Retries,
}

#[derive(Debug, Default)]
struct Retries {
    count: u32,
    waited_ms: u64,
    /// What was answered, and how often.
    answers: BTreeMap<String, u32>,
}

impl Notices {
    /// Takes the next message into account; what is to be told at once.
    pub fn hear(&mut self, frame: &Frame) -> Vec<Notice> {
        let heard = heard(frame);
        heard.into_iter().filter_map(|heard| self.take(heard)).collect()
    }

    fn take(&mut self, heard: Heard) -> Option<Notice> {
        match heard {
            Heard::Denied { tool, call } => {
                if self.denied.len() <= MAX_DENIED {
                    self.denied.insert((short(&tool), short(&call)));
                }
                None
            }
            Heard::Retry { answer, delay_ms, message } => {
                self.retries.note(&answer, delay_ms);
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
        let Self { count, denied, retries, .. } = std::mem::take(self);
        let say = |kind, message| Notice { kind, message, until: None };
        let retried = retries.told().map(|message| say(Kind::Retried, message));
        let left_out = count.into_iter().filter(|(_, count)| *count > MAX_EACH).map(|(kind, count)| {
            let message = format!("{} more warnings of this kind were left out", count - MAX_EACH);
            say(kind, message)
        });
        let denied = (!denied.is_empty()).then(|| say(Kind::Denied, denials(&denied)));
        retried.into_iter().chain(left_out).chain(denied).collect()
    }
}

impl Retries {
    fn note(&mut self, answer: &str, delay_ms: u64) {
        self.count = self.count.saturating_add(1);
        self.waited_ms = self.waited_ms.saturating_add(delay_ms);
        if self.answers.len() < MAX_NAMED || self.answers.contains_key(answer) {
            *self.answers.entry(answer.to_owned()).or_default() += 1;
        }
    }

    /// All of them together. One alone was told already.
    fn told(&self) -> Option<String> {
        let Self { count, waited_ms, answers } = self;
        let times = answers.iter().map(|(answer, times)| format!("{answer} ({times})"));
        let answers = times.collect::<Vec<_>>().join(", ");
        (*count > 1).then(|| {
            format!("the provider was asked again {count} times, after {} in all: {answers}", seconds(*waited_ms))
        })
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
    text.chars().take(MAX_NAME).collect()
}

/// Milliseconds as a person says them.
fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1_000, ms % 1_000 / 100)
}

#[cfg(test)]
mod tests;
