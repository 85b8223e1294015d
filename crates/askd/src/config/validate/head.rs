//! A text's frontmatter while it is checked: values, their lines, and what is wrong with them.

use serde_norway::{Mapping, Value};

use super::places::{Places, item};
use crate::config::json::MAX_PROBLEMS;
use crate::config::problem::{Problem, Report};
use crate::frontmatter::{self, FrontmatterError};

/// The longest value that a message repeats, in characters.
const MAX_SHOWN: usize = 60;

/// The frontmatter, and the report that grows.
#[derive(Debug)]
pub(super) struct Head<'a> {
    document: frontmatter::Document<'a>,
    places: Places,
    report: Report,
}

impl<'a> Head<'a> {
    /// Reads the block; the report tells why that cannot be done.
    pub(super) fn read(text: &'a str) -> Result<Self, Report> {
        match frontmatter::parse(text) {
            Ok(document) => {
                let places = Places::of(document.yaml);
                Ok(Self { document, places, report: Report::default() })
            }
            Err(error) => Err(Report { errors: vec![broken(&error)], ..Report::default() }),
        }
    }

    /// Its keys and values.
    pub(super) fn keys(&self) -> &Mapping {
        &self.document.frontmatter
    }

    /// What follows the block.
    pub(super) fn body(&self) -> &'a str {
        self.document.body
    }

    /// A value that is there and not null.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.document.frontmatter.get(key).filter(|value| !value.is_null())
    }

    /// A text that is there and not empty.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// Whether the text has a block with anything in it.
    pub(super) fn is_empty(&self) -> bool {
        self.document.frontmatter.is_empty()
    }

    /// What the CLI's parser takes for a number though ours takes it for a text, such as `017` (checked).
    pub(super) fn is_number_to_the_cli(&self, field: &str) -> bool {
        self.places.plain(field).is_some_and(|text| {
            text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) && text.parse::<f64>().is_ok()
        })
    }

    /// What is wrong with a field, so that the CLI would skip or drop something.
    pub(super) fn error(&mut self, field: &str, message: impl Into<String>) {
        let problem = self.problem(field, message.into());
        push(&mut self.report.errors, problem);
    }

    /// The same, about one item of it.
    pub(super) fn item_error(&mut self, field: &str, index: usize, message: impl Into<String>) {
        self.error(&item(field, index), message);
    }

    /// What is odd with a field.
    pub(super) fn warn(&mut self, field: &str, message: impl Into<String>) {
        let problem = self.problem(field, message.into());
        push(&mut self.report.warnings, problem);
    }

    /// What is odd with the whole.
    pub(super) fn warn_whole(&mut self, message: impl Into<String>) {
        push(&mut self.report.warnings, Problem::new(message).at(1));
    }

    /// Why this needs the permission for what executes.
    pub(super) fn executes(&mut self, why: impl Into<String>) {
        self.report.executes.push(why.into());
    }

    /// Takes over what another check found, whose fields begin with `from`, as fields that begin with `to`.
    pub(super) fn adopt(&mut self, found: Report, from: &str, to: &str) {
        let renamed = |problem: Problem| {
            let rest = problem.field.as_deref().and_then(|field| field.strip_prefix(from)).unwrap_or_default();
            (format!("{to}{rest}"), problem.message)
        };
        for (field, message) in found.errors.into_iter().map(renamed) {
            self.error(&field, message);
        }
        for (field, message) in found.warnings.into_iter().map(renamed) {
            self.warn(&field, message);
        }
    }

    /// The report, in the order of the lines.
    pub(super) fn finish(mut self) -> Report {
        self.report.errors.sort_by_key(|problem| problem.line);
        self.report.warnings.sort_by_key(|problem| problem.line);
        self.report
    }

    fn problem(&self, field: &str, message: String) -> Problem {
        let shown: String = field.chars().filter(|c| !c.is_control()).take(2 * MAX_SHOWN).collect();
        Problem::new(message).at(self.places.line(field).unwrap_or(1)).of(shown)
    }
}

/// Whoever mends these sees the rest.
fn push(problems: &mut Vec<Problem>, problem: Problem) {
    if problems.len() < MAX_PROBLEMS && !problems.contains(&problem) {
        problems.push(problem);
    }
}

fn broken(error: &FrontmatterError) -> Problem {
    let text = error.to_string();
    let what = text.strip_prefix(&format!("line {}: ", error.line())).unwrap_or(&text);
    let hint = match error {
        FrontmatterError::Yaml { .. } => "; put values with `: `, `#`, brackets, `*` or `\"` into quotes",
        _ => "",
    };
    Problem::new(format!("{what}{hint}")).at(error.line())
}

/// A value as a message repeats it.
pub(super) fn shown(value: &str) -> String {
    let text: String = value.chars().filter(|c| !c.is_control()).take(MAX_SHOWN).collect();
    format!("`{text}`")
}
