//! One look at a command, with all scripts that stand in it.

use std::collections::{BTreeMap, BTreeSet};

use super::Found;
use super::items::items;
use super::policy::Guard;
use super::rules::{Match, met};
use super::text::parse;
use super::word::{UNKNOWN, Word};

/// Work of one look: letters read, words made, rules compared. It is used up in a few tenths of a second at most.
const MAX_WORK: usize = 2_000_000;

/// Scripts within scripts: `sh -c "sh -c …"`.
const MAX_DEPTH: usize = 12;

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
    /// The rule that is met for sure.
    rule: Option<usize>,
    /// Why something may be met.
    doubt: Option<&'static str>,
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

pub(super) fn look(guard: &Guard, command: &str) -> Found {
    let mut look = Look {
        guard,
        names: Names::default(),
        queue: Vec::new(),
        seen: BTreeSet::new(),
        work: 0,
        rule: None,
        doubt: None,
    };
    for _ in 0..ROUNDS {
        let before = look.names.clone();
        look.seen.clear();
        look.doubt = None;
        look.script(command, 0);
        while let Some((script, depth)) = look.queue.pop() {
            look.read(&script, depth);
            if let Some(rule) = look.rule {
                return Found::Rule(rule);
            }
            if look.work > MAX_WORK {
                return Found::Unreadable("it is too much");
            }
        }
        if look.names == before {
            break;
        }
    }
    look.doubt.map_or(Found::Nothing, Found::Unreadable)
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
            Some(_) => self.doubt("a program, an option or a target in it is not known"),
            None => {}
        }
    }

    pub(super) fn doubt(&mut self, why: &'static str) {
        self.doubt = self.doubt.or(Some(why));
    }

    pub(super) fn charge(&mut self, work: usize) {
        self.work = self.work.saturating_add(work);
    }

    pub(super) fn is_exhausted(&self) -> bool {
        self.work > MAX_WORK
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
