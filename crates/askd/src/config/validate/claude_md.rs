//! `CLAUDE.md`. It needs no frontmatter, but what looks like one is taken for one.

use std::path::Path;

use super::globs;
use super::head::Head;
use super::rule::KEYS;
use super::{fields, head};
use crate::config::problem::{Problem, Report};
use crate::frontmatter::{self, FrontmatterError};

/// What of `CONFIG_DIR` a run's home has beside the file.
const BESIDE: [&str; 6] = ["agents/", "commands/", "output-styles/", "rules/", "skills/", "workflows/"];

/// Checks the text.
pub(super) fn check(text: &str) -> Report {
    let mut report = match frontmatter::parse(text) {
        // A line of dashes, which stays in the text.
        Err(FrontmatterError::NotClosed { .. } | FrontmatterError::Misplaced { .. }) => Report::default(),
        Err(error) => {
            let message = "the CLI takes what is between the first line `---` and the next for frontmatter and drops it; \
                           put a blank line or a heading before the first";
            let at = error.line();
            Report { errors: vec![Problem::new(message).at(at)], ..Report::default() }
        }
        Ok(_) => match Head::read(text) {
            Ok(head) => with_block(head),
            Err(report) => report,
        },
    };
    report.warnings.extend(import(text));
    report
}

fn with_block(mut head: Head<'_>) -> Report {
    if head.is_empty() {
        return Report::default();
    }
    fields::check(&mut head, &KEYS);
    if let Some(paths) = head.get("paths").cloned() {
        globs::check(&mut head, &paths);
        // As with a rule (checked).
        head.warn("paths", "hides the whole file until a run reads a file that matches");
    }
    head.finish()
}

/// The first `@` import that may lead nowhere. The CLI says nothing of those.
fn import(text: &str) -> Option<Problem> {
    let mut in_code = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        if let Some(path) = line.split_whitespace().filter_map(|word| word.strip_prefix('@')).find(|path| is_lost(path))
        {
            let message = format!(
                "imports {}, which the CLI skips unless it is there and in the folder of this file; of CONFIG_DIR a run has \
                 agents, commands, output-styles, rules, skills and workflows",
                head::shown(path)
            );
            return Some(Problem::new(message).at(u32::try_from(index + 1).unwrap_or(u32::MAX)));
        }
    }
    None
}

/// `@` mentions of people and packages are none.
fn is_lost(path: &str) -> bool {
    let leads_out = path.starts_with(['~', '/']) || path.starts_with("..");
    let is_file = Path::new(path.trim_end_matches(['.', ',', ';', ')'])).extension().is_some_and(|end| end == "md");
    let bare = path.strip_prefix("./").unwrap_or(path);
    leads_out || (is_file && !BESIDE.iter().any(|folder| bare.starts_with(folder)))
}
