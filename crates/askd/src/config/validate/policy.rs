//! `askd-policy.json`: what askd's own guard refuses, and rules for the CLI.

use serde_json::Value;

use super::permission_rule::{Flaw, List, flaw};
use crate::config::json::{Json, MAX_PROBLEMS, Path};
use crate::config::problem::{Problem, Report};
use crate::guard::{Mistake, Policy};

/// Checks the file.
pub(super) fn check(text: &str) -> Report {
    let executes = vec!["the policy says what runs may not do".to_owned()];
    let mut report = Report { executes, ..Report::default() };
    let json = match Json::object(text) {
        Ok(json) => json,
        Err(errors) => return Report { errors, ..report },
    };
    if let Err(mistakes) = Policy::parse(text) {
        report.errors.extend(mistakes.into_iter().map(problem));
    }
    rules(&json, &mut report);
    for problems in [&mut report.errors, &mut report.warnings] {
        problems.sort_by_key(|problem| problem.line);
        problems.truncate(MAX_PROBLEMS);
    }
    report
}

fn problem(mistake: Mistake) -> Problem {
    let line = u32::try_from(mistake.line).unwrap_or(u32::MAX);
    let problem = Problem::new(mistake.message).at(line);
    if mistake.field.is_empty() { problem } else { problem.of(mistake.field) }
}

/// A rule that the CLI would drop, or never apply, protects nothing.
fn rules(json: &Json<'_>, report: &mut Report) {
    let rules = json.value().pointer("/permissions/deny").and_then(Value::as_array);
    for (index, rule) in rules.into_iter().flatten().enumerate() {
        let path = Path::from(["permissions", "deny"]).index(index);
        match rule.as_str().and_then(|rule| flaw(rule, List::DenyOrAsk)) {
            Some(Flaw::Dead(message)) => report.errors.push(json.problem(&path, message)),
            Some(Flaw::Odd(message)) => report.warnings.push(json.problem(&path, message)),
            None => {}
        }
        if report.errors.len().max(report.warnings.len()) > MAX_PROBLEMS {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_has_no_flaw() {
        let report = check(Policy::default_text());
        assert_eq!((report.errors, report.warnings), (vec![], vec![]));
    }

    #[test]
    fn a_rule_that_protects_nothing_is_an_error() {
        let text = Policy::default_text().replacen("\"deny\": [", "\"deny\": [\"bash(rm *)\",", 1);
        let report = check(&text);
        let errors: Vec<_> =
            report.errors.iter().map(|problem| (problem.field.as_deref(), &*problem.message)).collect();
        assert_eq!(errors, [(Some("permissions.deny[0]"), "never matches: the tool is called `Bash`")]);
        assert_eq!(check("{").errors.len(), 1);
    }
}
