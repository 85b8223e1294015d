//! `rules/**/*.md`. Only `paths` is read; everything else of the frontmatter is dropped.

use super::fields::{self, Form, Keys};
use super::globs;
use super::head::Head;
use crate::config::problem::Report;

pub(super) const KEYS: Keys = Keys {
    known: &[("paths", Form::Elsewhere), ("description", Form::Words), ("name", Form::Words)],
    // Those of other tools.
    mistaken: &[("globs", "paths"), ("glob", "paths"), ("path", "paths"), ("apply-to", "paths")],
};

/// Checks a rule's text.
pub(super) fn check(text: &str) -> Report {
    let mut head = match Head::read(text) {
        Ok(head) => head,
        Err(report) => return report,
    };
    fields::check(&mut head, &KEYS);
    if let Some(paths) = head.get("paths").cloned() {
        globs::check(&mut head, &paths);
    }
    if head.body().trim().is_empty() {
        head.warn_whole("the rule has no text below its frontmatter");
    }
    head.finish()
}
