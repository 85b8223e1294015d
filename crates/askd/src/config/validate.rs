//! What the CLI would silently skip, drop or cut, told before it does.
//!
//! ```text
//! check > text kinds: Head (frontmatter with places) > fields (types) > agent, skill, rule, output_style, claude_md
//!       > settings, mcp, policy (JSON with places)
//! ```
//!
//! Pure: the document alone decides. Each error has a line and a field, and says what to do. An error is what the CLI would
//! skip whole, and a key that it would drop though it restricts something or somebody relies on it; what merely has no
//! effect is a warning. What CLI 2.1.330 does is in `docs/reference/config-validation.md`, and `real/config_skips.rs`
//! shows it.

use std::borrow::Cow;

use super::document::Content;
use super::kind::Kind;
use super::limits::MAX_CHARACTERS;
use super::name::DocumentId;
use super::problem::{Problem, Report};

mod agent;
mod claude_md;
mod fields;
pub mod forbidden;
mod globs;
mod head;
mod hooks;
pub mod mcp;
mod output_style;
mod permission_rule;
mod places;
pub mod policy;
mod rule;
mod secrets;
mod servers;
pub mod settings;
mod skill;
mod skill_files;
#[cfg(test)]
mod tests;

pub use agent::{agent_name, usable_agent};
pub use forbidden::variable_flaw;
pub use permission_rule::{broken_rule, dead_allow_rule, dead_deny_rule, doubtful_deny_rule};
pub use secrets::{all_may_hold_secrets, may_hold_secrets};
pub use skill_files::flaw as skill_path_flaw;

/// The longest description that lists show, in characters. The CLI cuts a skill's there, too.
const MAX_DESCRIPTION: usize = 1536;

/// Checks one document. Never panics, and its work is bounded whatever the input.
pub fn check(id: &DocumentId, content: &Content) -> Report {
    match (id.kind(), content) {
        (Kind::Skill, Content::Skill(skill)) => skill_files::check(id, skill),
        (Kind::Skill, Content::Text(_)) | (_, Content::Skill(_)) => {
            let message = "a skill is a folder with files, and every other kind is one text";
            Report { errors: vec![Problem::new(message)], ..Report::default() }
        }
        (kind, Content::Text(text)) => one_text(id, kind, text),
    }
}

fn one_text(id: &DocumentId, kind: Kind, text: &str) -> Report {
    if let Some(problem) = unreadable(text) {
        return Report { errors: vec![problem], warnings: Vec::new(), executes: executes(kind) };
    }
    let mut report = match kind {
        Kind::Agent => agent::check(text),
        Kind::Rule => rule::check(text),
        Kind::Command => skill::check_command(id, text),
        Kind::OutputStyle => output_style::check(id, text),
        Kind::ClaudeMd => claude_md::check(text),
        Kind::Skill => skill::check_text(id, text),
        Kind::Settings => settings::check(text),
        Kind::McpServers => mcp::check(text),
        Kind::Policy => policy::check(text),
    };
    report.executes.extend(executes(kind));
    report
}

/// Why a whole kind needs the permission for what executes.
fn executes(kind: Kind) -> Vec<String> {
    let why = match kind {
        Kind::Skill | Kind::Command => "its text can run commands, and its frontmatter can grant tools and hold hooks",
        // Each document says it itself, or it is only read by models.
        _ => return Vec::new(),
    };
    vec![why.to_owned()]
}

/// What no text may be: empty, too long, or with characters that no editor shows.
fn unreadable(text: &str) -> Option<Problem> {
    if text.is_empty() {
        return Some(Problem::new("is empty; delete the document instead"));
    }
    if text.chars().nth(MAX_CHARACTERS).is_some() {
        return Some(Problem::new(format!("is longer than {MAX_CHARACTERS} characters")));
    }
    let odd = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r');
    let (at, odd) = text.char_indices().find(|(_, c)| odd(*c))?;
    let line = memchr::memchr_iter(b'\n', &text.as_bytes()[..at]).count() + 1;
    let message = format!("has the control character U+{:04X}; take it out", u32::from(odd));
    Some(Problem::new(message).at(u32::try_from(line).unwrap_or(u32::MAX)))
}

/// What lists show of a document: its `description`, in one line. `None` when it has none or cannot be read.
pub fn description(id: &DocumentId, content: &Content) -> Option<String> {
    match id.kind() {
        Kind::Agent | Kind::Skill | Kind::Rule | Kind::Command | Kind::OutputStyle => {}
        Kind::ClaudeMd | Kind::Settings | Kind::McpServers | Kind::Policy => return None,
    }
    let document = crate::frontmatter::parse(content.text()?).ok()?;
    let text = match document.frontmatter.get("description")? {
        serde_norway::Value::String(text) => Cow::Borrowed(text.as_str()),
        serde_norway::Value::Number(number) => Cow::Owned(number.to_string()),
        _ => return None,
    };
    // The words alone: a line break or a tab would break a list.
    let words: Vec<_> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect();
    let line: String = words.join(" ").chars().take(MAX_DESCRIPTION).collect();
    (!line.is_empty()).then_some(line)
}
