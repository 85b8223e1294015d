//! `agents/NAME.md`. Without a name or a description the CLI skips the file without a word.

use serde_norway::Value;

use super::fields::{self, Form, Keys};
use super::head::{Head, shown};
use super::{hooks, servers};
use crate::config::problem::{Problem, Report};
use crate::frontmatter;
use crate::project_config::inline;

/// The longest name that the CLI takes is 256; a name is an argument of the CLI, too.
const MAX_NAME: usize = 200;

const KEYS: Keys = Keys {
    known: &[
        ("name", Form::Elsewhere),
        ("description", Form::Elsewhere),
        ("tools", Form::Only),
        ("disallowedTools", Form::Restricts),
        ("model", Form::Text),
        ("permissionMode", Form::OneOf(MODES)),
        ("maxTurns", Form::Count),
        ("skills", Form::Names),
        ("mcpServers", Form::Elsewhere),
        ("hooks", Form::Elsewhere),
        ("memory", Form::OneOf(&["user", "project", "local"])),
        ("background", Form::Flag),
        ("effort", Form::Effort),
        ("isolation", Form::OneOf(&["worktree", "remote"])),
        ("color", Form::Elsewhere),
        ("initialPrompt", Form::Text),
    ],
    mistaken: &[
        ("allowed-tools", "tools"),
        ("tool", "tools"),
        ("disallowed-tool", "disallowedTools"),
        ("denied-tools", "disallowedTools"),
        ("mcp", "mcpServers"),
    ],
};
const MODES: &[&str] = &["acceptEdits", "auto", "bypassPermissions", "default", "dontAsk", "plan", "manual"];
const COLORS: [&str; 8] = ["red", "blue", "green", "yellow", "purple", "orange", "pink", "cyan"];
/// What makes an agent more than a text.
const EXECUTES: [(&str, &str); 6] = [
    ("hooks", "`hooks` run commands"),
    ("mcpServers", "`mcpServers` start programs"),
    ("permissionMode", "`permissionMode` changes what needs no question"),
    ("memory", "`memory` adds a file that runs write"),
    ("initialPrompt", "`initialPrompt` is a prompt of its own, with what it mentions"),
    ("isolation", "`isolation` starts git"),
];

/// Checks an agent's text.
pub(super) fn check(text: &str) -> Report {
    let inline = inline::command(text).map(|line| format!("line {line} has an inline command"));
    let mut head = match Head::read(text) {
        Ok(head) => head,
        Err(mut report) => {
            report.executes.extend(inline);
            return report;
        }
    };
    name(&mut head);
    description(&mut head);
    fields::check(&mut head, &KEYS);
    if head.get("permissionMode").and_then(Value::as_str) == Some("bypassPermissions") {
        head.warn("permissionMode", "has no effect: each run is given a mode of its own");
    }
    if let Some(hooks) = head.get("hooks").cloned() {
        hooks::check(&mut head, &hooks);
    }
    if let Some(servers) = head.get("mcpServers").cloned() {
        servers::check(&mut head, &servers);
    }
    let odd_color = head.get("color").is_some_and(|color| !color.as_str().is_some_and(|color| COLORS.contains(&color)));
    if odd_color {
        head.warn("color", format!("is none of {}, and the CLI ignores it", COLORS.join(", ")));
    }
    if head.body().trim().is_empty() {
        head.warn_whole("the agent has no text below its frontmatter, so it has no instructions");
    }
    for (key, why) in EXECUTES {
        if head.get(key).is_some() {
            head.executes(why);
        }
    }
    if let Some(inline) = inline {
        head.executes(inline);
    }
    head.finish()
}

fn name(head: &mut Head<'_>) {
    let Some(value) = head.get("name") else {
        return head.error("name", "is missing, and the CLI would skip the agent; add e.g. `name: code-reviewer`");
    };
    match value.as_str() {
        None => head.error("name", "must be a text, or the CLI skips the agent; put it into quotes"),
        Some(_) if head.is_number_to_the_cli("name") => {
            head.error("name", "must be a text, or the CLI skips the agent; put it into quotes");
        }
        Some("") => head.error("name", "is empty, and the CLI would skip the agent; add e.g. `name: code-reviewer`"),
        Some(name) => {
            let name = name.to_owned();
            if let Some(flaw) = flaw(&name) {
                head.error("name", format!("{flaw}, or the CLI skips the agent; write e.g. `code-reviewer`"));
            } else if !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
                head.warn("name", format!("{} should be of lower-case letters, digits and `-`", shown(&name)));
            }
        }
    }
}

/// Why a name is none to the CLI, or no argument of it.
fn flaw(name: &str) -> Option<&'static str> {
    if name.starts_with('-') {
        Some("must not begin with `-`")
    } else if name.contains(':') {
        Some("must not contain `:`")
    } else if name.chars().any(char::is_control) {
        Some("must not contain control characters")
    } else {
        (name.encode_utf16().count() > MAX_NAME).then_some("must have at most 200 characters")
    }
}

fn description(head: &mut Head<'_>) {
    const HINT: &str = "add e.g. `description: Reviews changes`";
    let what = match head.get("description").map(Value::as_str) {
        None => "is missing, and the CLI would skip the agent",
        Some(None) => "must be a text, or the CLI skips the agent",
        Some(Some("")) => "is empty, and the CLI would skip the agent",
        Some(Some(_)) if head.is_number_to_the_cli("description") => "must be a text, or the CLI skips the agent",
        Some(Some(text)) if text.trim().is_empty() => {
            return head.warn("description", "is blank, so no model knows what the agent is for");
        }
        Some(Some(_)) => return,
    };
    head.error("description", format!("{what}; {HINT}"));
}

/// The name under which the CLI knows the agent, which need not be that of its file. `None` when it has none.
pub fn agent_name(text: &str) -> Option<String> {
    let document = frontmatter::parse(text).ok()?;
    let name = document.frontmatter.get("name")?.as_str()?;
    (!name.is_empty() && flaw(name).is_none()).then(|| name.to_owned())
}

/// The name of an agent that the CLI takes as it is written; else what is wrong with it.
pub fn usable_agent(text: &str) -> Result<String, Problem> {
    match check(text).errors.into_iter().next() {
        Some(problem) => Err(problem),
        None => agent_name(text).ok_or_else(|| Problem::new("has no name").of("name")),
    }
}
