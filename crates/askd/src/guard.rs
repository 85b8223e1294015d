//! The guard: which commands of a run are refused, and why. A seat belt, not a sandbox: see `docs/guard.md`.
//!
//! What is refused is data ([`Policy`], by default `guard/default.json`). The guard reads a command as a shell would, as far
//! as that is possible without running it, and lays the rules on every program that it would start.

mod calls;
mod items;
mod judge;
mod known;
mod paths;
mod policy;
mod resolve;
mod rules;
mod text;
mod word;
mod wrappers;

use std::fmt;
use std::sync::{Arc, LazyLock};

use serde_json::Value;

use policy::{Document, OnUnreadable};

/// The tools whose `command` is looked at. `Monitor` runs a command as `Bash` does (checked); the language of `PowerShell`
/// is not read here.
pub const TOOLS: [&str; 3] = ["Bash", "Monitor", "PowerShell"];

/// The rule's id where a command could not be read well enough.
pub const UNREADABLE: &str = "unreadable";

/// Stack for one look at a command, in bytes; only what is used is taken. The bounds of [`text`] keep the grammar's
/// recursion well below it, also in a build that is not optimised.
const STACK: usize = 64 << 20;

/// A policy that was read. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Policy(Arc<Document>);

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
#[derive(Debug, Clone, PartialEq, Eq)]
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
        policy::parse(text).map(|document| Self(Arc::new(document)))
    }

    /// Rules for the CLI, in its own language.
    pub fn deny_rules(&self) -> &[String] {
        &self.0.permissions.deny
    }

    /// Whether commands are looked at: without a rule nothing could be found.
    pub fn has_guard(&self) -> bool {
        !self.0.guard.rules.is_empty()
    }

    /// Judges one call of a tool. It takes milliseconds at most, whatever the command; it starts nothing and looks at no file.
    pub fn judge(&self, tool: &str, input: &Value) -> Verdict {
        if !self.has_guard() || !TOOLS.contains(&tool) {
            return Verdict::Pass;
        }
        let Some(command) = input.get("command") else { return Verdict::Pass };
        let found = match command.as_str() {
            _ if tool == "PowerShell" => Found::Unreadable("it is not a command of a POSIX shell"),
            Some(command) => self.look(command),
            None => Found::Unreadable("it is not a text"),
        };
        match found {
            Found::Nothing => Verdict::Pass,
            Found::Rule(index) => {
                let rule = &self.0.guard.rules[index];
                Verdict::Deny { rule: rule.id.clone(), message: rule.message.clone() }
            }
            Found::Unreadable(_) if self.0.guard.on_unreadable == OnUnreadable::Allow => Verdict::Pass,
            Found::Unreadable(why) => {
                let message = format!(
                    "the guard cannot tell what this command does: {why}; write programs, options and targets out"
                );
                Verdict::Deny { rule: UNREADABLE.into(), message }
            }
        }
    }

    fn look(&self, command: &str) -> Found {
        // A thread of its own: for the stack, and so that a fault in the grammar is an unreadable command and no more.
        let found = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(STACK);
            let thread = thread.spawn_scoped(scope, || judge::look(&self.0.guard, command));
            thread.ok().and_then(|thread| thread.join().ok())
        });
        found.unwrap_or(Found::Unreadable("reading it failed"))
    }
}

/// What a look at a command finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Nothing,
    /// The rule with this index.
    Rule(usize),
    Unreadable(&'static str),
}

#[cfg(test)]
mod tests;
