//! The document: its form, and the mistakes that people make in it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{Mistake, UNREADABLE};

/// The whole policy.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    version: u32,
    /// For people.
    #[serde(default, rename = "description")]
    _description: String,
    #[serde(default)]
    pub(super) permissions: Permissions,
    #[serde(default)]
    pub(super) guard: Guard,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Permissions {
    /// In the CLI's own language.
    #[serde(default)]
    pub(super) deny: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Guard {
    #[serde(default)]
    pub(super) on_unreadable: OnUnreadable,
    /// What has to be known of a program to tell its options from its arguments.
    #[serde(default)]
    pub(super) programs: BTreeMap<String, Program>,
    #[serde(default)]
    pub(super) rules: Vec<Rule>,
}

/// What happens to a command that cannot be read well enough.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum OnUnreadable {
    #[default]
    Deny,
    Allow,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Program {
    /// Options that take the next word as their value.
    #[serde(default)]
    pub(super) value_options: Vec<String>,
    /// Long options that take none. Where some are named, any other one before the subcommand may take a value.
    #[serde(default)]
    pub(super) switches: Vec<String>,
    /// Whether `program-sub` is the same as `program sub`.
    #[serde(default)]
    pub(super) dashed: bool,
}

/// Refuses a call that meets every condition it names; one of a list is enough.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    pub(super) id: String,
    /// For people.
    #[serde(default, rename = "description")]
    _description: String,
    /// For the model: what is refused, and what to do instead.
    pub(super) message: String,
    pub(super) programs: Vec<String>,
    /// One word or several: `rollout restart`.
    #[serde(default)]
    pub(super) subcommands: Vec<String>,
    #[serde(default)]
    pub(super) flags: Vec<String>,
    /// Options with which the call changes nothing: it is not refused.
    #[serde(default)]
    pub(super) unless_flags: Vec<String>,
    /// Patterns with `*` for arguments that are no options; what meets a pattern after a `!` does not count.
    #[serde(default)]
    pub(super) arguments: Vec<String>,
    /// Patterns with `*` for the branch that a refspec of `git push` writes to.
    #[serde(default)]
    pub(super) branches: Vec<String>,
    /// Paths; `*` is one part of a path, and `**` at the end any number. A path after a `!` is taken out again; the last one
    /// that fits decides.
    #[serde(default)]
    pub(super) paths: Vec<String>,
}

/// As many as a person can oversee; a look at a command takes time with each.
const MAX_RULES: usize = 500;

pub(super) fn parse(text: &str) -> Result<Document, Vec<Mistake>> {
    let mut json = serde_json::Deserializer::from_str(text);
    let document: Document = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let field = error.path().to_string();
        let field = if matches!(&*field, "." | "?") { String::new() } else { field };
        vec![mistake(error.inner(), field)]
    })?;
    json.end().map_err(|error| vec![mistake(&error, String::new())])?;
    let mistakes = check(&document, text);
    if mistakes.is_empty() { Ok(document) } else { Err(mistakes) }
}

fn mistake(error: &serde_json::Error, field: String) -> Mistake {
    let message = error.to_string();
    let message = message.rsplit_once(" at line ").map_or(&*message, |(message, _)| message).to_owned();
    Mistake { line: error.line().max(1), field, message }
}

/// What the types do not say.
fn check(document: &Document, text: &str) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    if document.version != 1 {
        let message = format!("version {} is not known; hint: give 1", document.version);
        mistakes.push(Mistake { line: line_of(text, "\"version\"", 0), field: "version".into(), message });
    }
    let rules = &document.guard.rules;
    if rules.len() > MAX_RULES {
        let message = format!("{} rules are more than {MAX_RULES}", rules.len());
        mistakes.push(Mistake { line: line_of(text, "\"rules\"", 0), field: "guard.rules".into(), message });
    }
    let mut ids = BTreeSet::new();
    for (index, rule) in rules.iter().enumerate() {
        let seen = usize::from(!ids.insert(&*rule.id));
        let line = line_of(text, &serde_json::Value::from(&*rule.id).to_string(), seen);
        for (field, message) in rule.mistakes(seen > 0) {
            mistakes.push(Mistake { line, field: format!("guard.rules[{index}].{field}"), message });
        }
    }
    for (index, rule) in document.permissions.deny.iter().enumerate().filter(|(_, rule)| rule.trim().is_empty()) {
        let line = line_of(text, &serde_json::Value::from(&**rule).to_string(), 0);
        mistakes.push(Mistake {
            line,
            field: format!("permissions.deny[{index}]"),
            message: "the rule is empty".into(),
        });
    }
    mistakes
}

impl Rule {
    fn mistakes(&self, is_double: bool) -> Vec<(&'static str, String)> {
        let mut mistakes = Vec::new();
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if self.id.is_empty() || self.id.len() > 60 || !self.id.bytes().all(known) {
            mistakes.push(("id", "an id has 1 to 60 characters of a-z, 0-9 and `-`".to_owned()));
        } else if is_double {
            mistakes.push(("id", format!("there is another rule `{}`", self.id)));
        } else if self.id == UNREADABLE {
            mistakes.push(("id", format!("`{UNREADABLE}` is the guard's own word")));
        }
        if self.message.trim().is_empty() {
            mistakes.push(("message", "the message is empty, and the model would not know what to do instead".into()));
        }
        if self.programs.is_empty() {
            mistakes.push(("programs", "a rule needs a program; hint: name it, e.g. [\"git\"]".into()));
        }
        let lists = [
            ("programs", &self.programs),
            ("subcommands", &self.subcommands),
            ("flags", &self.flags),
            ("unless_flags", &self.unless_flags),
            ("arguments", &self.arguments),
            ("branches", &self.branches),
            ("paths", &self.paths),
        ];
        for (field, _) in lists.iter().filter(|(_, list)| list.iter().any(|entry| entry.trim().is_empty())) {
            mistakes.push((field, "an entry is empty".into()));
        }
        if self.programs.iter().any(|program| program.contains(['/', ' '])) {
            mistakes.push(("programs", "a program is named without its folder and without arguments".into()));
        }
        for (field, flags) in [("flags", &self.flags), ("unless_flags", &self.unless_flags)] {
            if flags.iter().any(|flag| !flag.starts_with('-')) {
                mistakes.push((field, "a flag begins with `-`".into()));
            }
        }
        if self.paths.iter().any(|path| !path.strip_prefix('!').unwrap_or(path).starts_with(['/', '~', '.'])) {
            mistakes.push(("paths", "a path begins with `/`, `~` or `..`".into()));
        }
        mistakes
    }
}

/// The line of an occurrence, or the first.
fn line_of(text: &str, what: &str, skip: usize) -> usize {
    let at = text.match_indices(what).nth(skip).or_else(|| text.match_indices(what).next());
    at.map_or(1, |(at, _)| text[..at].matches('\n').count() + 1)
}
