//! `settings.json`. In `-p` the CLI drops the whole file, its deny rules included and without a word, when one known key in
//! it has the wrong type; other mistakes make it drop one key, or one rule (checked).

use serde_json::Value;

use super::permission_rule::{Flaw, List, flaw};
use crate::config::json::{Json, MAX_PROBLEMS, Path};
use crate::config::problem::{Problem, Report};

pub mod kept;
mod lenient;
pub mod restrictions;
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

/// What was found: at most [`MAX_PROBLEMS`] of each effect, so that many odd things never hide one that opens something.
#[derive(Debug, Default)]
struct Findings {
    opens: Vec<Problem>,
    loses: Vec<Problem>,
    odd: Vec<Problem>,
    /// Keys that the CLI does not know.
    unknown: usize,
}

impl Findings {
    /// The problem is made only if there is room for it: to find its line takes a walk through the text.
    fn add(&mut self, effect: Effect, problem: impl FnOnce() -> Problem) {
        let list = match effect {
            Effect::Opens => &mut self.opens,
            Effect::Loses => &mut self.loses,
            Effect::Odd => &mut self.odd,
        };
        if list.len() < MAX_PROBLEMS {
            list.push(problem());
        }
    }

    /// Whether there is nothing more to find out: no document is worse than one with this many.
    fn is_enough(&self) -> bool {
        self.opens.len() >= MAX_PROBLEMS
    }
}

/// For a document that is to be written: all that the CLI would drop is an error.
pub fn check(text: &str) -> Report {
    report(text, |Findings { opens, loses, odd, .. }| (vec![opens, loses], vec![odd]))
}

/// For a file that is there: an error is only what opens something, since then there must be no run. The rest are warnings.
pub fn check_standing(text: &str) -> Report {
    report(text, |Findings { opens, loses, odd, .. }| (vec![opens], vec![loses, odd]))
}

/// Errors and warnings.
type Parted = (Vec<Vec<Problem>>, Vec<Vec<Problem>>);

fn report(text: &str, part: impl Fn(Findings) -> Parted) -> Report {
    let executes = vec!["settings can hold hooks, variables and permissions".to_owned()];
    if text.trim_start_matches('\u{feff}').trim().is_empty() {
        let empty = Problem::new("is empty; write {} or remove it").at(1);
        return Report { errors: vec![empty], warnings: Vec::new(), executes };
    }
    let json = match Json::object(text) {
        Ok(json) => json,
        Err(errors) => return Report { errors, warnings: Vec::new(), executes },
    };
    let told = |problems: Vec<Vec<Problem>>| {
        let mut problems = problems.concat();
        problems.sort_by_key(|problem| problem.line);
        problems.dedup();
        problems.truncate(MAX_PROBLEMS);
        problems
    };
    let (errors, warnings) = part(findings(&json));
    Report { errors: told(errors), warnings: told(warnings), executes }
}

fn findings(json: &Json<'_>) -> Findings {
    let mut found = Findings::default();
    for misfit in schema::misfits(json) {
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
        found.add(effect, || json.problem(&misfit.path, format!("{}{hint}", misfit.message)));
        if found.is_enough() {
            return found;
        }
    }
    for problem in together::problems(json) {
        found.add(Effect::Opens, || problem);
    }
    rules(json, &mut found);
    unknown::keys(json, &mut found);
    if json.value().pointer("/permissions/defaultMode").is_some_and(|mode| mode == "bypassPermissions") {
        let path = Path::from(["permissions", "defaultMode"]);
        let message = "has no effect: each run is given a mode of its own";
        found.add(Effect::Odd, || json.problem(&path, message));
    }
    found
}

fn rules(json: &Json<'_>, found: &mut Findings) {
    for (name, list) in [("deny", List::DenyOrAsk), ("ask", List::DenyOrAsk), ("allow", List::Allow)] {
        let path = Path::from(["permissions", name]);
        let Some(Value::Array(rules)) = json.value().pointer(&format!("/permissions/{name}")) else { continue };
        let flaws = rules.iter().enumerate().filter_map(|(index, rule)| Some((index, flaw(rule.as_str()?, list)?)));
        for (index, flaw) in flaws {
            let (effect, message) = match flaw {
                Flaw::Odd(message) => (Effect::Odd, message),
                Flaw::Dead(message) if list == List::Allow => (Effect::Loses, message),
                Flaw::Dead(message) => (Effect::Opens, message),
            };
            found.add(effect, || json.problem(&path.index(index), message));
            if found.is_enough() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
