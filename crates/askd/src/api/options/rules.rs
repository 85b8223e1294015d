//! Tools and rules about them.

use super::super::error::ApiError;
use super::super::fields::{Fields, Strings};
use super::Route;
use super::spot::{Spot, shown};
use crate::config::validate::{broken_rule, dead_allow_rule, dead_deny_rule};
use crate::keys::policy::tools::{is_tool, misspelt, none_is_known, not_a_tool, tool_of};

/// Rules of one list: what a person writes, many times over.
pub(in crate::api) const MAX_RULES: usize = 200;

/// The longest rule, in characters: it may hold a whole command.
pub(in crate::api) const MAX_RULE: usize = 1_000;

/// Names of tools. The CLI has about forty of its own.
pub(in crate::api) const MAX_TOOLS: usize = 200;

/// Rules for calls that need no approval. What is no rule is refused everywhere; one that has no effect, or is for a tool
/// whose name is a slip, passes on `/ask`, whose clients were never told, and is a warning of the run.
pub(super) fn allowed(fields: &mut Fields, route: Route) -> Result<Vec<String>, ApiError> {
    let is_lenient = fields.is_lenient();
    rules(fields, "allowed_tools", |rule| match route {
        Route::Runs => dead_allow_rule(rule).or_else(|| misspelt(tool_of(rule))),
        Route::Ask if is_lenient => None,
        Route::Ask => broken_rule(rule),
    })
}

/// Rules for calls that are always denied. One that the CLI would pass over denies nothing, and nobody would notice.
pub(super) fn disallowed(fields: &mut Fields) -> Result<Vec<String>, ApiError> {
    rules(fields, "disallowed_tools", |rule| dead_deny_rule(rule).or_else(|| misspelt(tool_of(rule))))
}

/// The only tools that the run has; `None`: all.
pub(super) fn tools(fields: &mut Fields) -> Result<Option<Vec<String>>, ApiError> {
    const FIELD: &str = "tools";
    let Some(names) = fields.list(FIELD)? else { return Ok(None) };
    let spot = Spot::of(fields, FIELD);
    spot.at_most(MAX_TOOLS, names.len(), "names")?;
    let names = spot.texts(names.into())?;
    for (index, name) in names.iter().enumerate() {
        let what = if is_tool(name) { misspelt(name) } else { Some(not_a_tool(name, "disallowed_tools")) };
        if let Some(what) = what {
            return Err(spot.item(index).wrong(format_args!("`{}` {what}", shown(name))));
        }
    }
    none_is_known(&names).map_or(Ok(Some(names)), |what| Err(spot.wrong(what)))
}

/// Rules as the CLI writes them, e.g. `Bash(git status:*)`. One string is taken apart at commas and blanks that stand
/// outside of parentheses, as the CLI's own flag does.
fn rules(
    fields: &mut Fields,
    field: &'static str,
    flaw: impl Fn(&str) -> Option<String>,
) -> Result<Vec<String>, ApiError> {
    let rules = match fields.strings(field)? {
        None => return Ok(Vec::new()),
        Some(Strings::List(rules)) => rules,
        Some(Strings::One(text)) => split(&text),
    };
    let spot = Spot::of(fields, field);
    spot.at_most(MAX_RULES, rules.len(), "rules")?;
    for (index, rule) in rules.iter().enumerate() {
        if !fits(rule) {
            return Err(spot.item(index).wrong(format_args!("must have 1 to {MAX_RULE} characters, and no line ends")));
        }
        if let Some(what) = flaw(rule) {
            return Err(spot.item(index).wrong(format_args!("`{}` {what}", shown(rule))));
        }
    }
    Ok(rules)
}

/// Whether it can be a rule at all.
fn fits(rule: &str) -> bool {
    !rule.trim().is_empty() && rule.chars().count() <= MAX_RULE && !rule.chars().any(char::is_control)
}

fn split(text: &str) -> Vec<String> {
    let mut depth = 0_usize;
    let parts = text.split(|character: char| {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && (character == ',' || character.is_whitespace())
    });
    parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_string_of_rules_is_taken_apart_outside_of_parentheses() {
        assert_eq!(split("Read, Bash(git log:*, x) Edit,,"), ["Read", "Bash(git log:*, x)", "Edit"]);
        assert_eq!(split(""), [""; 0]);
    }
}
