//! The options of a run, in whatever dialect: their form is checked here, whether they fit this server is seen later.

use claude::permission_mode::PermissionMode;
use serde_json::Value;
use uuid::Uuid;

use super::error::ApiError;
use super::fields::{Fields, Strings};
use crate::keys::priority::Priority;
use crate::runs::request::RunRequest;
use crate::usd::Usd;

mod folders;

/// Unicode characters, not bytes and not UTF-16 units.
const MAX_TEXT: usize = 50_000;
const MAX_TURNS: i64 = 50;
const MAX_RULES: usize = 200;
const MAX_RULE: usize = 1_000;

/// Takes the options out. `expand` is the route's default.
pub(super) fn run_request(fields: &mut Fields, expand: bool) -> Result<RunRequest, ApiError> {
    Ok(RunRequest {
        prompt: message(fields, "prompt")?,
        cwd: fields.string("cwd")?.unwrap_or_default(),
        max_turns: max_turns(fields)?,
        agent: fields.string("agent")?,
        system_prompt: text(fields, "system_prompt")?,
        model: fields.string("model")?,
        allowed_tools: rules(fields)?,
        permission_mode: permission_mode(fields)?,
        resume: session(fields)?,
        output_schema: fields.object("output_schema")?.map(Value::Object),
        expand: fields.bool("expand")?.unwrap_or(expand),
        deltas: fields.bool("deltas")?.unwrap_or(false),
        timeout_seconds: timeout_seconds(fields)?,
        write_root: folders::write_root(fields)?,
        additional_folders: folders::additional(fields)?,
        max_budget_usd: max_budget(fields)?,
        priority: priority(fields)?,
    })
}

/// A text for the CLI that must be there.
pub(super) fn message(fields: &mut Fields, field: &'static str) -> Result<String, ApiError> {
    let text = text(fields, field)?.ok_or_else(|| fields.wrong(field, "is missing"))?;
    if text.trim().is_empty() {
        // The CLI takes whitespace alone for an error.
        return Err(fields.wrong(field, "must not be empty"));
    }
    Ok(text)
}

fn text(fields: &mut Fields, field: &'static str) -> Result<Option<String>, ApiError> {
    let Some(text) = fields.string(field)? else { return Ok(None) };
    let length = text.chars().count();
    if length > MAX_TEXT {
        return Err(fields.wrong(field, format_args!("has {length} characters; at most {MAX_TEXT} are allowed")));
    }
    Ok(Some(text))
}

fn max_turns(fields: &mut Fields) -> Result<Option<u32>, ApiError> {
    let Some(number) = fields.integer("max_turns")? else { return Ok(None) };
    let turns = u32::try_from(number).ok().filter(|_| (1..=MAX_TURNS).contains(&number));
    turns.map(Some).ok_or_else(|| fields.wrong("max_turns", format_args!("must be from 1 to {MAX_TURNS}")))
}

fn timeout_seconds(fields: &mut Fields) -> Result<Option<u64>, ApiError> {
    let Some(number) = fields.integer("timeout_seconds")? else { return Ok(None) };
    let seconds = u64::try_from(number).ok().filter(|seconds| *seconds >= 1);
    seconds.map(Some).ok_or_else(|| fields.wrong("timeout_seconds", "must be at least 1"))
}

fn max_budget(fields: &mut Fields) -> Result<Option<Usd>, ApiError> {
    const FIELD: &str = "max_budget_usd";
    let Some(dollars) = fields.number(FIELD)? else { return Ok(None) };
    let amount = Usd::from_dollars(dollars).filter(|amount| *amount > Usd::ZERO);
    amount.map(Some).ok_or_else(|| fields.wrong(FIELD, "must be more than 0 and at most 1000000000, in US dollars"))
}

fn priority(fields: &mut Fields) -> Result<Option<Priority>, ApiError> {
    let Some(word) = fields.string("priority")? else { return Ok(None) };
    let words = Priority::WORDS.join(", ");
    Priority::from_word(&word).map(Some).ok_or_else(|| fields.wrong("priority", format_args!("must be one of {words}")))
}

fn permission_mode(fields: &mut Fields) -> Result<Option<PermissionMode>, ApiError> {
    let Some(word) = fields.string("permission_mode")? else { return Ok(None) };
    let words = PermissionMode::WORDS.join(", ");
    let mode = PermissionMode::from_word(&word);
    mode.map(Some).ok_or_else(|| fields.wrong("permission_mode", format_args!("must be one of {words}")))
}

fn session(fields: &mut Fields) -> Result<Option<Uuid>, ApiError> {
    let Some(text) = fields.string("resume")? else { return Ok(None) };
    Uuid::try_parse(&text).map(Some).map_err(|_| fields.wrong("resume", "must be a session's id, a UUID"))
}

/// Tool rules as the CLI writes them, e.g. `Bash(git status:*)`. One string is taken apart at commas and blanks that
/// stand outside of parentheses, as the CLI's own flag does.
fn rules(fields: &mut Fields) -> Result<Vec<String>, ApiError> {
    const FIELD: &str = "allowed_tools";
    let rules = match fields.strings(FIELD)? {
        None => return Ok(Vec::new()),
        Some(Strings::List(rules)) => rules,
        Some(Strings::One(text)) => split_rules(&text),
    };
    if rules.len() > MAX_RULES {
        let what = format!("has {} rules; at most {MAX_RULES} are allowed", rules.len());
        return Err(fields.wrong(FIELD, what));
    }
    let fine = |rule: &String| {
        !rule.trim().is_empty() && rule.chars().count() <= MAX_RULE && !rule.chars().any(char::is_control)
    };
    if !rules.iter().all(fine) {
        let name = fields.name(FIELD);
        let message = format!("each rule of {name} must be 1 to {MAX_RULE} characters without line ends");
        return Err(ApiError::request(message).with_param(name));
    }
    Ok(rules)
}

fn split_rules(text: &str) -> Vec<String> {
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
        assert_eq!(split_rules("Read, Bash(git log:*, x) Edit,,"), ["Read", "Bash(git log:*, x)", "Edit"]);
        assert_eq!(split_rules(""), [""; 0]);
    }
}
