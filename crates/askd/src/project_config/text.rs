//! Texts with frontmatter: which keys are harmless, and what their bodies must not contain.
//!
//! Checked with CLI 2.1.330 in `-p`, in a folder nobody trusted:
//! - a skill's `allowed-tools` **grants** the tools and its `hooks` **run**;
//! - an agent's `permissionMode: acceptEdits` is **obeyed** in a subagent, its `initialPrompt` expands `@`
//!   mentions and its `memory` adds a file; `hooks` and `mcpServers` are not obeyed there, which is no
//!   promise; `tools` grants nothing, it only restricts;
//! - an output style's `hooks` and inline commands do nothing.

use std::path::Path;

use super::scan::Scan;
use super::walk::Place;
use super::{dir, inline};
use crate::frontmatter::{self, line_of};

/// What a text is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Rule,
    Agent,
    Skill,
    Command,
    OutputStyle,
}

/// `tools`, `disallowedTools` restrict; `model`, `effort` cost, within the run's budget; `background`
/// detaches, within the run's deadline.
const AGENT: &[&str] =
    &["name", "description", "model", "color", "maxTurns", "tools", "disallowedTools", "effort", "background"];
/// `context: fork` and `agent` run the skill as an agent that this check covers as well.
const SKILL: &[&str] = &[
    "name",
    "description",
    "when_to_use",
    "argument-hint",
    "arguments",
    "disable-model-invocation",
    "user-invocable",
    "disallowed-tools",
    "model",
    "effort",
    "paths",
    "metadata",
    "license",
    "compatibility",
    "agent",
    "context",
];
const RULE: &[&str] = &["paths", "description"];
const OUTPUT_STYLE: &[&str] = &["name", "description", "keep-coding-instructions"];
/// Refused on any level: should the CLI's parser see a key where ours sees a value, it is none of these.
const NOWHERE: [&str; 8] =
    ["hooks", "allowed-tools", "mcpServers", "permissionMode", "initialPrompt", "shell", "memory", "isolation"];
/// `@` mentions looked up in one text.
const MAX_MENTIONS: usize = 200;

impl Kind {
    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Rule => RULE,
            Self::Agent => AGENT,
            Self::Skill | Self::Command => SKILL,
            Self::OutputStyle => OUTPUT_STYLE,
        }
    }
}

/// Checks the bytes of a text at `path`.
pub(super) fn check(scan: &mut Scan<'_>, place: Place<'_>, path: &Path, kind: Kind, bytes: &[u8]) {
    let shown = place.shown(path);
    let Ok(text) = std::str::from_utf8(bytes) else {
        return scan.found(&shown, None, "not UTF-8");
    };
    keys(scan, &shown, kind, text);
    if kind == Kind::Rule {
        return;
    }
    if let Some(line) = inline::command(text) {
        scan.found(&shown, Some(line), "an inline command (`!` before a backtick, or after a fence)");
    }
    if matches!(kind, Kind::Skill | Kind::Command) {
        mentions(scan, place, &shown, text);
    }
}

fn keys(scan: &mut Scan<'_>, shown: &Path, kind: Kind, text: &str) {
    let document = match frontmatter::parse(text) {
        Ok(document) => document,
        Err(error) => {
            return scan.found(shown, Some(error.line()), format!("frontmatter cannot be read: {error}"));
        }
    };
    for key in document.frontmatter.keys() {
        if scan.stopped() {
            return;
        }
        match key.as_str() {
            Some(key) if kind.keys().contains(&key) => {}
            Some(key) => {
                let what = format!("frontmatter key `{key}` is not known to be harmless");
                scan.found(shown, Some(line_of(document.yaml, key).unwrap_or(1)), what);
            }
            None => scan.found(shown, Some(1), "a frontmatter key that is not a text"),
        }
    }
    for key in NOWHERE {
        let top = document.frontmatter.contains_key(key);
        if let Some(line) = line_of(document.yaml, key).filter(|_| !top) {
            scan.found(shown, Some(line), format!("`{key}:` within another frontmatter key"));
        }
    }
}

/// `@` mentions in a skill or command are replaced by the file's content when it is called, outside the
/// run's folder and through links too, where the tool `Read` would be refused (checked with CLI 2.1.330).
fn mentions(scan: &mut Scan<'_>, place: Place<'_>, shown: &Path, text: &str) {
    for (index, mention) in inline::mentions(text, MAX_MENTIONS + 1).into_iter().enumerate() {
        if index >= MAX_MENTIONS {
            return scan.found(shown, Some(mention.line), "too many `@` mentions to check");
        }
        if mention.leads_out() {
            scan.found(shown, Some(mention.line), "an `@` mention of a file outside the run's folder");
        } else if mention.spellings().any(|path| is_linked(place, path)) {
            scan.found(shown, Some(mention.line), "an `@` mention of a symbolic link");
        }
        if scan.stopped() {
            return;
        }
    }
}

/// Mentions are relative to the run's folder, wherever the skill lies.
fn is_linked(place: Place<'_>, path: &str) -> bool {
    use rustix::io::Errno;
    matches!(dir::stat(place.cwd, Path::new(path)), Err(Errno::LOOP | Errno::XDEV))
}
