//! `output-styles/NAME.md`.

use super::fields::{self, Form, Keys};
use super::head::{Head, shown};
use crate::config::name::DocumentId;
use crate::config::problem::Report;

const KEYS: Keys = Keys {
    known: &[
        ("name", Form::Words),
        ("description", Form::Words),
        ("keep-coding-instructions", Form::Flag),
        ("force-for-plugin", Form::Elsewhere),
    ],
    mistaken: &[],
};
/// Styles of the CLI itself.
const OWN: [&str; 5] = ["default", "Proactive", "Concise", "Explanatory", "Learning"];

/// Checks a style's text.
pub(super) fn check(id: &DocumentId, text: &str) -> Report {
    let mut head = match Head::read(text) {
        Ok(head) => head,
        Err(report) => return report,
    };
    fields::check(&mut head, &KEYS);
    let name = head.text("name").or(id.name()).unwrap_or_default().to_owned();
    if OWN.contains(&name.as_str()) {
        head.warn("name", format!("{} is a style of the CLI itself, which this one replaces", shown(&name)));
    } else if Some(name.as_str()) != id.name() {
        head.warn("name", format!("is not that of the file: `outputStyle` in the settings must say {}", shown(&name)));
    }
    if head.get("force-for-plugin").is_some() {
        head.warn("force-for-plugin", "has an effect in plugins only");
    }
    if head.body().trim().is_empty() {
        head.error("", "has no text below its frontmatter, so it changes nothing; write what to do");
    }
    head.finish()
}
