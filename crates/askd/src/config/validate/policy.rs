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
    match Policy::parse(text) {
        Ok(policy) => report.warnings.extend(missing(&policy)),
        Err(mistakes) => report.errors.extend(mistakes.into_iter().map(problem)),
    }
    rules(&json, &mut report);
    for problems in [&mut report.errors, &mut report.warnings] {
        problems.sort_by_key(|problem| problem.line);
        problems.truncate(MAX_PROBLEMS);
    }
    report
}

/// What a policy does without that runs are kept from where there is no file: a file replaces the default as a whole.
fn missing(policy: &Policy) -> Option<Problem> {
    if !policy.has_guard() {
        let message = "has no rules: the guard is off, and so are the rules of the default, which this policy replaces";
        return Some(Problem::new(message).of("guard.rules"));
    }
    let house = Policy::of_the_house();
    let own: Vec<_> = policy.rule_ids().collect();
    let missing: Vec<_> = house.rule_ids().filter(|id| !own.contains(id)).map(|id| format!("`{id}`")).collect();
    let message = "lacks rules of the default, which this policy replaces";
    (!missing.is_empty()).then(|| Problem::new(format!("{message}: {}", missing.join(", "))).of("guard.rules"))
}

/// The policy of a file, if nothing in it protects less than it seems to.
pub fn read(text: &str) -> Result<Policy, Problem> {
    match check(text).errors.into_iter().next() {
        Some(problem) => Err(problem),
        None => Policy::parse(text)
            .map_err(|mistakes| mistakes.into_iter().next().map_or_else(|| Problem::new("cannot be read"), problem)),
    }
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
            // Each list has its bound: many that are merely odd must not hide one that protects nothing.
            Some(Flaw::Dead(message)) if report.errors.len() < MAX_PROBLEMS => {
                report.errors.push(json.problem(&path, message));
            }
            Some(Flaw::Odd(message)) if report.warnings.len() < MAX_PROBLEMS => {
                report.warnings.push(json.problem(&path, message));
            }
            _ => {}
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
    fn a_policy_that_does_without_rules_of_the_default_says_so() {
        let told = |text: &str| check(text).warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(told("{\"version\": 1}").contains("the guard is off"));
        let own = r#"{"version": 1, "guard": {"rules": [{"id": "own", "message": "m", "programs": ["npm"]}]}}"#;
        let told = told(own);
        assert!(told.starts_with("`guard.rules`: lacks rules of the default") && told.contains('`'), "{told}");
        for id in Policy::of_the_house().rule_ids() {
            assert!(told.contains(&format!("`{id}`")), "{id}: {told}");
        }
    }

    #[test]
    fn a_rule_that_protects_nothing_is_an_error() {
        let text = Policy::default_text().replacen("\"deny\": [", "\"deny\": [\"bash(rm *)\",", 1);
        let report = check(&text);
        let errors: Vec<_> =
            report.errors.iter().map(|problem| (problem.field.as_deref(), &*problem.message)).collect();
        assert_eq!(errors, [(Some("permissions.deny[0]"), "never matches: the tool is called `Bash`")]);
        assert_eq!(check("{").errors.len(), 1);
        let odd = format!("\"deny\": [{}\"bash(rm *)\",", "\"Edit\",".repeat(21));
        let report = check(&Policy::default_text().replacen("\"deny\": [", &odd, 1));
        assert_eq!(report.errors.len(), 1, "many odd rules do not hide it: {:?}", report.errors);
    }
}
