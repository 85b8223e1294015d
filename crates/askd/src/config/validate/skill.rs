//! The texts of skills and commands, which the CLI reads alike.

use serde_norway::Value;

use super::fields::{self, Form, Keys};
use super::head::{Head, shown};
use super::{MAX_DESCRIPTION, globs, hooks};
use crate::config::name::DocumentId;
use crate::config::problem::{Problem, Report};

/// Between the two texts that tell a model what a skill is for.
const BETWEEN: usize = " - ".len();
/// By the Agent Skills specification; the CLI does not look.
const MAX_COMPATIBILITY: usize = 500;
/// A command that is called so swallows those beside it.
const SWALLOWS: &str = "skill";

const KEYS: Keys = Keys {
    known: &[
        ("name", Form::Words),
        ("description", Form::Words),
        ("when_to_use", Form::Words),
        ("argument-hint", Form::Words),
        ("arguments", Form::Words),
        ("disable-model-invocation", Form::Switch),
        ("user-invocable", Form::Switch),
        ("allowed-tools", Form::Grants),
        ("disallowed-tools", Form::Restricts),
        // Read as well, though the documentation has the other (checked).
        ("disallowedTools", Form::Restricts),
        ("model", Form::Text),
        ("effort", Form::Effort),
        ("context", Form::OneOf(&["fork"])),
        ("agent", Form::Text),
        ("background", Form::Switch),
        ("hooks", Form::Elsewhere),
        ("paths", Form::Elsewhere),
        ("shell", Form::OneOf(&["bash", "powershell"])),
        ("metadata", Form::Map),
        ("license", Form::Words),
        ("compatibility", Form::Words),
        ("version", Form::Words),
    ],
    mistaken: &[
        ("tools", "allowed-tools"),
        ("tool", "allowed-tools"),
        ("disable-model", "disable-model-invocation"),
        ("user-invokable", "user-invocable"),
        ("globs", "paths"),
    ],
};

/// Checks the `SKILL.md` of a skill.
pub(super) fn check_text(id: &DocumentId, text: &str) -> Report {
    let mut head = match common(text) {
        Ok(head) => head,
        Err(report) => return report,
    };
    let folder = id.name().unwrap_or_default();
    if let Some(name) = head.text("name").map(str::to_owned)
        && name != folder
    {
        head.warn("name", format!("is not that of the folder, and the CLI lists the skill as {}", shown(&name)));
    }
    head.finish()
}

/// Checks a command.
pub(super) fn check_command(id: &DocumentId, text: &str) -> Report {
    let mut head = match common(text) {
        Ok(head) => head,
        Err(report) => return report,
    };
    if head.get("name").is_some() {
        head.warn("name", "has no effect: a command goes by the name of its file");
    }
    let mut report = head.finish();
    // `commands/SKILL.md`, in any case, makes a command of its folder's name, and all others in there are gone (checked).
    if id.name().and_then(|name| name.rsplit('/').next()) == Some(SWALLOWS) {
        let message = "must not be called `skill`, or the CLI drops every other command of its folder";
        report.errors.insert(0, Problem::new(message).at(1).of("name"));
    }
    report
}

fn common(text: &str) -> Result<Head<'_>, Report> {
    let mut head = Head::read(text)?;
    fields::check(&mut head, &KEYS);
    if let Some(hooks) = head.get("hooks").cloned() {
        hooks::check(&mut head, &hooks);
    }
    if let Some(paths) = head.get("paths").cloned() {
        globs::check(&mut head, &paths);
    }
    lengths(&mut head);
    if head.get("description").is_none() {
        head.warn_whole("has no `description`, and the CLI takes the first line of the text for one");
    }
    if head.body().trim().is_empty() {
        head.warn_whole("has no text below its frontmatter, so calling it does nothing");
    }
    Ok(head)
}

/// In the units of the CLI, whose texts are UTF-16.
fn length(head: &Head<'_>, key: &str) -> usize {
    head.get(key).and_then(Value::as_str).map_or(0, |text| text.encode_utf16().count())
}

fn lengths(head: &mut Head<'_>) {
    let (description, when) = (length(head, "description"), length(head, "when_to_use"));
    let total = description + when + if description > 0 && when > 0 { BETWEEN } else { 0 };
    if total > MAX_DESCRIPTION {
        let message = format!(
            "has {total} characters with `when_to_use`, and the CLI cuts both together after {MAX_DESCRIPTION}; shorten them"
        );
        head.error(if description > 0 { "description" } else { "when_to_use" }, message);
    }
    if length(head, "compatibility") > MAX_COMPATIBILITY {
        head.warn("compatibility", format!("should have at most {MAX_COMPATIBILITY} characters"));
    }
}
