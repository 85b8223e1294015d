//! `settings.json`. In `-p` the CLI drops the whole file, its deny rules included and without a word, when one known key in
//! it has the wrong type; other mistakes make it drop one key, or one rule (checked).

use serde_json::Value;

use super::permission_rule::{Flaw, List, flaw};
use crate::config::json::{Json, MAX_PROBLEMS, Path};
use crate::config::problem::{Problem, Report};

mod lenient;
mod schema;
mod together;
mod unknown;

use schema::Kind;
pub(super) use schema::did_you_mean;

/// What the CLI makes of a mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// It drops the file, or something that restricts what runs may do.
    Opens,
    /// It drops the value alone, which only takes something away.
    Loses,
    /// Nothing is dropped.
    Odd,
}

#[derive(Debug)]
struct Finding {
    effect: Effect,
    problem: Problem,
}

/// For a document that is to be written: all that the CLI would drop is an error.
pub fn check(text: &str) -> Report {
    report(text, |effect| effect != Effect::Odd)
}

/// For a file that is there: an error is only what opens something, since then there must be no run. The rest are warnings.
pub fn check_standing(text: &str) -> Report {
    report(text, |effect| effect == Effect::Opens)
}

fn report(text: &str, is_error: impl Fn(Effect) -> bool) -> Report {
    let executes = vec!["settings can hold hooks, variables and permissions".to_owned()];
    let json = match Json::object(text) {
        Ok(json) => json,
        Err(errors) => return Report { errors, warnings: Vec::new(), executes },
    };
    let (errors, warnings): (Vec<_>, Vec<_>) =
        findings(&json).into_iter().partition(|finding| is_error(finding.effect));
    let told = |findings: Vec<Finding>| {
        let mut problems: Vec<_> = findings.into_iter().map(|finding| finding.problem).collect();
        problems.sort_by_key(|problem| problem.line);
        problems.dedup();
        problems.truncate(MAX_PROBLEMS);
        problems
    };
    Report { errors: told(errors), warnings: told(warnings), executes }
}

fn findings(json: &Json<'_>) -> Vec<Finding> {
    let mut found: Vec<_> = schema::misfits(json)
        .into_iter()
        .map(|misfit| {
            let effect = match misfit.kind {
                Kind::Value => lenient::effect_of(json.value(), &misfit.path),
                // Another version of the CLI may know it.
                Kind::Name { is_near_another: false } => Effect::Odd,
                Kind::Name { is_near_another: true } => Effect::Loses,
            };
            let hint = match effect {
                Effect::Odd if misfit.kind == Kind::Value => " (the CLI takes it nevertheless)",
                Effect::Loses => " (the CLI would silently ignore it)",
                Effect::Odd | Effect::Opens => "",
            };
            Finding { effect, problem: json.problem(&misfit.path, format!("{}{hint}", misfit.message)) }
        })
        .collect();
    let together = together::problems(json);
    found.extend(together.into_iter().map(|problem| Finding { effect: Effect::Opens, problem }));
    rules(json, &mut found);
    let unknown = unknown::keys(json);
    found.extend(unknown.into_iter().map(|problem| Finding { effect: Effect::Odd, problem }));
    found
}

fn rules(json: &Json<'_>, found: &mut Vec<Finding>) {
    for (name, list) in [("deny", List::DenyOrAsk), ("ask", List::DenyOrAsk), ("allow", List::Allow)] {
        let path = Path::from(["permissions", name]);
        let Some(Value::Array(rules)) = json.value().pointer(&format!("/permissions/{name}")) else { continue };
        let flaws = rules.iter().enumerate().filter_map(|(index, rule)| Some((index, flaw(rule.as_str()?, list)?)));
        for (index, flaw) in flaws.take(MAX_PROBLEMS) {
            let (effect, message) = match flaw {
                Flaw::Odd(message) => (Effect::Odd, message),
                Flaw::Dead(message) if list == List::Allow => (Effect::Loses, message),
                Flaw::Dead(message) => (Effect::Opens, message),
            };
            found.push(Finding { effect, problem: json.problem(&path.index(index), message) });
        }
    }
}

#[cfg(test)]
mod tests;
