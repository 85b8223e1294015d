//! Agents that come with a request. They leave here in the CLI's own form.
//!
//! One wrong entry, and the CLI drops all of them without a word (checked): so each is looked at, and what it would not
//! understand is refused. Its `hooks`, `mcpServers` and `initialPrompt` run programs or are prompts of their own, also with
//! `--strict-mcp-config` (checked), and are not taken.

use claude::effort::Effort;
use claude::permission_mode::PermissionMode;
use serde_json::{Map, Value, json};

use super::super::error::ApiError;
use super::super::fields::Fields;
use super::rules::{MAX_RULES, MAX_TOOLS};
use super::spot::{Object, Spot, shown};
use super::words::MAX_TURNS;
use super::{MAX_TEXT, fits};
use crate::config::kind::Kind;
use crate::config::name::DocumentId;
use crate::config::validate::usable_agent;
use crate::keys::policy::tools::{misspelt, tool_of};

/// Agents of one request. The model is told the name and description of each.
pub(in crate::api) const MAX_AGENTS: usize = 20;

/// A description, in characters: it stands in what the model is told of its tools.
pub(in crate::api) const MAX_DESCRIPTION: usize = 5_000;

/// Skills of an agent. The text of each goes into its prompt.
pub(in crate::api) const MAX_SKILLS: usize = 50;

/// The agents by name.
pub(super) fn agents(fields: &mut Fields) -> Result<Map<String, Value>, ApiError> {
    const FIELD: &str = "agents";
    let Some(agents) = fields.object(FIELD)? else { return Ok(Map::new()) };
    let spot = Spot::of(fields, FIELD);
    spot.at_most(MAX_AGENTS, agents.len(), "agents")?;
    let agents = agents.into_iter().map(|(name, agent)| {
        let spot = spot.member(&name);
        // Such a name is an argument of the CLI, and what rules call the agent.
        DocumentId::new(Kind::Agent, Some(&name)).map_err(|what| spot.wrong(format_args!("has a name that {what}")))?;
        Ok((name, one(&spot, agent)?))
    });
    agents.collect()
}

fn one(spot: &Spot, agent: Value) -> Result<Value, ApiError> {
    let mut agent = spot.clone().object(agent)?;
    let mut written = Map::new();
    written.insert("description".into(), needed(&mut agent, "description", MAX_DESCRIPTION)?.into());
    written.insert("prompt".into(), needed(&mut agent, "prompt", MAX_TEXT)?.into());
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            written.insert(name.into(), value);
        }
    };
    put("tools", names(&mut agent, "tools", MAX_TOOLS)?);
    put("disallowedTools", names(&mut agent, "disallowed_tools", MAX_RULES)?);
    put("model", agent.text("model")?.map(|(_, model)| model.into()));
    put("effort", word(&mut agent, "effort", &Effort::WORDS)?);
    put("maxTurns", turns(&mut agent)?);
    put("permissionMode", word(&mut agent, "permission_mode", PermissionMode::WORDS)?);
    put("skills", names(&mut agent, "skills", MAX_SKILLS)?);
    put("background", agent.flag("background")?.map(Value::Bool));
    agent.finish()?;
    as_a_file_is(spot, &written)?;
    Ok(Value::Object(written))
}

/// A text that must be there and say something.
fn needed(agent: &mut Object, name: &'static str, most: usize) -> Result<String, ApiError> {
    let (at, text) = agent.need_text(name)?;
    if text.trim().is_empty() {
        return Err(at.wrong("must not be empty"));
    }
    fits(&text, most).map_err(|what| at.wrong(what))?;
    Ok(text)
}

fn names(agent: &mut Object, name: &'static str, most: usize) -> Result<Option<Value>, ApiError> {
    let Some((at, value)) = agent.take(name) else { return Ok(None) };
    let names = at.texts(value)?;
    at.at_most(most, names.len(), "entries")?;
    match names.iter().position(|name| name.trim().is_empty() || name.chars().any(char::is_control)) {
        Some(index) => Err(at.item(index).wrong("must not be empty or have control characters")),
        None => Ok(Some(names.into())),
    }
}

fn word(agent: &mut Object, name: &'static str, words: &[&str]) -> Result<Option<Value>, ApiError> {
    match agent.text(name)? {
        Some((at, word)) if !words.contains(&word.as_str()) => {
            Err(at.wrong(format_args!("must be one of {}", words.join(", "))))
        }
        word => Ok(word.map(|(_, word)| word.into())),
    }
}

fn turns(agent: &mut Object) -> Result<Option<Value>, ApiError> {
    let Some((at, turns)) = agent.take("max_turns") else { return Ok(None) };
    match turns.as_i64().filter(|turns| (1..=MAX_TURNS).contains(turns)) {
        Some(turns) => Ok(Some(turns.into())),
        None => Err(at.wrong(format_args!("must be a whole number from 1 to {MAX_TURNS}"))),
    }
}

/// Its tools are looked at as those of an agent's file are.
fn as_a_file_is(spot: &Spot, agent: &Map<String, Value>) -> Result<(), ApiError> {
    let mut head = json!({"name": "agent", "description": "An agent."});
    for (name, of_request) in [("tools", "tools"), ("disallowedTools", "disallowed_tools")] {
        let Some(value) = agent.get(name) else { continue };
        head[name] = value.clone();
        // JSON is YAML.
        usable_agent(&format!("---\n{head}\n---\nText.\n")).map_err(|problem| {
            let field = problem.field.unwrap_or_default();
            let item = field.strip_prefix(name).unwrap_or_default();
            spot.below(&format!("{of_request}{item}")).wrong(problem.message)
        })?;
        for (index, rule) in value.as_array().into_iter().flatten().filter_map(Value::as_str).enumerate() {
            if let Some(what) = misspelt(tool_of(rule)) {
                return Err(spot.below(of_request).item(index).wrong(format_args!("`{}` {what}", shown(rule))));
            }
        }
    }
    Ok(())
}
