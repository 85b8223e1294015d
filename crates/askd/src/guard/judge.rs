//! One look at a command, with all scripts that stand in it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::Found;
use super::items::{Stdin, items};
use super::plain;
use super::policy::Guard;
use super::rules::{Match, met};
use super::text::parse;
use super::word::{UNKNOWN, Word};

/// Work of one look: letters read, words made, rules compared.
const MAX_WORK: usize = 2_000_000;

/// What one look may take of the processor, whatever the work amounts to. Time that others take does not count: on a busy
/// machine the same commands are readable.
const MAX_TIME: Duration = Duration::from_millis(300);

/// Scripts within scripts: `sh -c "sh -c …"`.
pub(super) const MAX_DEPTH: usize = 12;

/// How often the whole is read: what a later line sets may be used by an earlier one, in a function or a loop.
const ROUNDS: usize = 3;

/// Values that one variable may have.
pub(super) const MAX_VALUES: usize = 8;

/// What is known while a command is read.
pub(super) struct Look<'p> {
    guard: &'p Guard,
    pub(super) names: Names,
    queue: Vec<(String, usize)>,
    seen: BTreeSet<String>,
    work: usize,
    /// The reading of the thread's clock at which it is too much.
    end: Duration,
    /// The rule that is met for sure.
    rule: Option<usize>,
    /// Why something may be met.
    doubt: Option<String>,
    /// Whether the grammar may be used.
    grammar: Grammar,
}

/// Whether the grammar may be used: it is foreign code, and has no place in the server's process.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Grammar {
    Used,
    /// Only what needs none is read.
    Left,
    /// Something was left that needs it.
    Missed,
}

/// What the command itself gives a meaning. Which assignment comes last is not known: a name may mean all of them.
#[derive(Default, Clone, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) variables: BTreeMap<String, Vec<Word>>,
    pub(super) aliases: BTreeMap<String, String>,
    pub(super) functions: BTreeSet<String>,
    /// Where it goes by `cd`.
    pub(super) folders: Vec<String>,
}

/// Looks at a command.
pub(super) fn look(guard: &Guard, command: &str) -> Found {
    let mut look = Look::new(guard, Grammar::Used);
    look.whole(command)
}

/// Looks at a command for which the grammar is not needed; `None` if it is.
pub(super) fn look_plain(guard: &Guard, command: &str) -> Option<Found> {
    plain::words(command)?;
    let mut look = Look::new(guard, Grammar::Left);
    let found = look.whole(command);
    (look.grammar == Grammar::Left).then_some(found)
}

impl<'p> Look<'p> {
    fn new(guard: &'p Guard, grammar: Grammar) -> Self {
        Self {
            guard,
            names: Names::default(),
            queue: Vec::new(),
            seen: BTreeSet::new(),
            work: 0,
            end: time_of_thread() + MAX_TIME,
            rule: None,
            doubt: None,
            grammar,
        }
    }

    fn whole(&mut self, command: &str) -> Found {
        for _ in 0..ROUNDS {
            let before = self.names.clone();
            self.seen.clear();
            self.doubt = None;
            self.script(command, 0);
            while let Some((script, depth)) = self.queue.pop() {
                self.read(&script, depth);
                if let Some(rule) = self.rule {
                    return Found::Rule(rule);
                }
                if self.is_exhausted() {
                    return Found::Unreadable("it is too much".to_owned());
                }
            }
            if self.names == before {
                break;
            }
        }
        self.doubt.take().map_or(Found::Nothing, Found::Unreadable)
    }
}

/// A call as a person can read it, with `…` for what is not known. What stands in it may be long.
fn shown(call: &[Word]) -> String {
    /// Letters of it that are shown.
    const MOST: usize = 120;
    let text = call.iter().map(|word| &*word.text).collect::<Vec<_>>().join(" ");
    let unknown = |letter: char| if letter == UNKNOWN { '…' } else { letter };
    let mut letters: Vec<char> = text.chars().map(unknown).collect();
    letters.dedup_by(|next, before| *next == '…' && *before == '…');
    // The unknown part is what matters: the text begins before it.
    let at = letters.iter().position(|letter| *letter == '…').unwrap_or(0);
    letters.into_iter().skip(at.saturating_sub(MOST / 2)).take(MOST).collect()
}

/// What this thread has had of the processor.
fn time_of_thread() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or(Duration::MAX)
}

impl Look<'_> {
    /// Something that a shell will run.
    pub(super) fn script(&mut self, text: &str, depth: usize) {
        if text.chars().all(|letter| letter == UNKNOWN || letter.is_whitespace()) && text.contains(UNKNOWN) {
            self.doubt("what a shell is given to run is not known");
        } else if depth > MAX_DEPTH {
            self.doubt("too much is nested in it");
        } else if self.seen.insert(text.to_owned()) {
            self.queue.push((text.to_owned(), depth));
        }
    }

    fn read(&mut self, script: &str, depth: usize) {
        self.charge(script.len() + 100);
        if self.grammar != Grammar::Used {
            match plain::words(script) {
                Some(call) => self.call(&call, Stdin::None, depth, 0),
                None => self.grammar = Grammar::Missed,
            }
            return;
        }
        match parse(script) {
            Err(why) => self.doubt(why),
            Ok(program) => {
                for item in items(&program) {
                    if self.rule.is_some() || self.is_exhausted() {
                        return;
                    }
                    self.item(&item, depth);
                }
            }
        }
    }

    /// A program that would be started, with nothing left to unwrap.
    pub(super) fn program(&mut self, call: &[Word]) {
        self.charge(call.iter().map(|word| word.text.len() + 10).sum::<usize>() * (1 + self.guard.rules.len()));
        match met(self.guard, call, &self.names.folders) {
            Some((rule, Match::Yes)) => self.rule = self.rule.or(Some(rule)),
            Some(_) => self.doubt(&format!("in `{}` the `…` is not known", shown(call))),
            None => {}
        }
    }

    pub(super) fn doubt(&mut self, why: &str) {
        self.doubt.get_or_insert_with(|| why.to_owned());
    }

    pub(super) fn charge(&mut self, work: usize) {
        self.work = self.work.saturating_add(work);
    }

    pub(super) fn is_exhausted(&self) -> bool {
        self.work > MAX_WORK || time_of_thread() > self.end
    }

    /// A further value of a variable.
    pub(super) fn set(&mut self, name: &str, value: Word) {
        let values = self.names.variables.entry(name.to_owned()).or_default();
        if values.contains(&value) {
        } else if values.len() < MAX_VALUES {
            values.push(value);
        } else {
            values.truncate(MAX_VALUES - 1);
            values.push(Word::unknown());
        }
    }
}
