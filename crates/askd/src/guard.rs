//! The guard: which commands of a run are refused, and why. A seat belt, not a sandbox: see `docs/guard.md`.
//!
//! What is refused is data ([`Policy`], by default `guard/default.json`). The guard reads a command as a shell would, as far
//! as that is possible without running it, and lays the rules on every program that it would start.

mod braces;
mod calls;
mod git;
mod items;
mod judge;
mod known;
mod paths;
mod pieces;
mod plain;
mod policy;
mod resolve;
mod rules;
mod scan;
mod text;
mod word;
mod wrappers;

use std::fmt;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use policy::{Document, OnUnreadable};

/// The tools whose `command` is looked at. `Monitor` runs a command as `Bash` does (checked); the language of `PowerShell`
/// is not read here.
pub const TOOLS: [&str; 3] = ["Bash", "Monitor", "PowerShell"];

/// The rule's id where a command could not be read well enough.
pub const UNREADABLE: &str = "unreadable";

/// Stack that a thread needs for [`Policy::judge`], in bytes; only what is used is taken. The bounds on what may be nested
/// keep the recursion well below it, also in a build that is not optimised.
pub const STACK: usize = 64 << 20;

/// A policy that was read. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Policy(Arc<Read>);

#[derive(Debug)]
struct Read {
    text: String,
    document: Document,
}

/// What is wrong with the text of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// From 1.
    pub line: usize,
    /// Where in the document, e.g. `guard.rules[3].programs`; empty for the whole.
    pub field: String,
    /// What is wrong, and what to do.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, field, message } = self;
        if field.is_empty() {
            write!(out, "line {line}: {message}")
        } else {
            write!(out, "line {line}: {field}: {message}")
        }
    }
}

/// What becomes of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing speaks against it.
    Pass,
    /// It is refused.
    Deny {
        /// The id of the rule.
        rule: String,
        /// For the model and the client.
        message: String,
    },
}

impl Policy {
    /// The policy of a server whose operator gave none.
    pub fn default_text() -> &'static str {
        include_str!("guard/default.json")
    }

    /// [`Self::default_text`], read.
    pub fn of_the_house() -> Self {
        static DEFAULT: LazyLock<Policy> =
            LazyLock::new(|| Policy::parse(Policy::default_text()).expect("a test reads the default policy"));
        DEFAULT.clone()
    }

    /// Reads the text of a policy.
    pub fn parse(text: &str) -> Result<Self, Vec<Mistake>> {
        policy::parse(text).map(|document| Self(Arc::new(Read { text: text.to_owned(), document })))
    }

    /// What it was read from.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// Rules for the CLI, in its own language.
    pub fn deny_rules(&self) -> &[String] {
        &self.0.document.permissions.deny
    }

    /// The ids of the guard's rules.
    pub fn rule_ids(&self) -> impl Iterator<Item = &str> {
        self.0.document.guard.rules.iter().map(|rule| &*rule.id)
    }

    /// Whether commands are looked at: without a rule nothing could be found.
    pub fn has_guard(&self) -> bool {
        !self.0.document.guard.rules.is_empty()
    }

    /// Judges one call of a tool, on a thread with a stack of [`STACK`]. A command of daily work takes less than a millisecond,
    /// and none is meant to take more than half a second of the processor: one that would is unreadable. But the grammar is
    /// foreign code, and what it does with a text that is made to hurt nobody knows: so this belongs into a process of its own.
    /// Nothing is started, no file read.
    pub fn judge(&self, tool: &str, input: &Value) -> Verdict {
        match self.command(tool, input) {
            Ok(command) => self.verdict(judge::look(&self.0.document.guard, command)),
            Err(verdict) => verdict,
        }
    }

    /// The same for what needs no grammar, which is safe and cheap anywhere; `None` for everything else.
    pub fn judge_plain(&self, tool: &str, input: &Value) -> Option<Verdict> {
        match self.command(tool, input) {
            Ok(command) if command.len() > text::MAX_TEXT => Some(self.unreadable("it is too long")),
            Ok(command) => judge::look_plain(&self.0.document.guard, command).map(|found| self.verdict(found)),
            Err(verdict) => Some(verdict),
        }
    }

    /// The verdict on a command that cannot be read.
    pub fn unreadable(&self, why: &str) -> Verdict {
        if self.0.document.guard.on_unreadable == OnUnreadable::Allow {
            return Verdict::Pass;
        }
        let message = format!(
            "the guard cannot tell what this command does: {why}; write programs, options and targets out, one plain command at a time"
        );
        Verdict::Deny { rule: UNREADABLE.into(), message }
    }

    /// What is to be looked at, or the verdict where nothing is.
    fn command<'a>(&self, tool: &str, input: &'a Value) -> Result<&'a str, Verdict> {
        if !self.has_guard() || !TOOLS.contains(&tool) {
            return Err(Verdict::Pass);
        }
        match input.get("command") {
            None => Err(Verdict::Pass),
            Some(_) if tool == "PowerShell" => Err(self.unreadable("it is not a command of a POSIX shell")),
            Some(command) => command.as_str().ok_or_else(|| self.unreadable("it is not a text")),
        }
    }

    fn verdict(&self, found: Found) -> Verdict {
        match found {
            Found::Nothing => Verdict::Pass,
            Found::Rule(index) => {
                let rule = &self.0.document.guard.rules[index];
                Verdict::Deny { rule: rule.id.clone(), message: rule.message.clone() }
            }
            Found::Unreadable(why) => self.unreadable(&why),
        }
    }
}

/// What a look at a command finds.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Nothing,
    /// The rule with this index.
    Rule(usize),
    /// Why.
    Unreadable(String),
}

#[cfg(test)]
mod tests;
