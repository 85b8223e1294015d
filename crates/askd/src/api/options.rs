//! The options of a run, in whatever dialect: their form is checked here, whether they fit this server is seen later.
//!
//! ```text
//! content, agents, servers, env, folders, models, rules, words > spot (where in the request) > Fields
//! ```
//!
//! `docs/run-options.md` has every option with its bounds.

use claude::profile::Profile;
use serde_json::Value;
use uuid::Uuid;

use super::error::ApiError;
use super::fields::Fields;
use crate::keys::policy::tools::{has, tool_of};
use crate::runs::content::{Block, MAX_DOCUMENT, MAX_IMAGE, MAX_PDFS};
use crate::runs::redact::Size;
use crate::runs::request::RunRequest;
use crate::runs::secrets::RunSecrets;
use spot::Spot;

// For the OpenAPI file.
pub(super) use agents::{MAX_AGENTS, MAX_DESCRIPTION, MAX_SKILLS};
pub(super) use content::{MAX_ATTACHED, MAX_BLOCKS, MAX_TITLE};
pub(super) use env::MAX_VARIABLES;
pub(super) use folders::MAX_ADDITIONAL;
pub(super) use models::MAX_FALLBACKS;
pub(super) use rules::{MAX_RULE, MAX_RULES, MAX_TOOLS};
pub(super) use servers::MAX_SERVERS;
pub(super) use words::MAX_TURNS;

mod agents;
pub(super) mod content;
mod env;
mod folders;
mod models;
mod rules;
mod servers;
mod spot;
#[cfg(test)]
mod tests;
mod words;

/// A text, in Unicode characters, not bytes and not UTF-16 units.
pub(super) const MAX_TEXT: usize = 50_000;

/// All values of a request that nobody is to see, line by line, in bytes. They are looked for in all that the run says.
const MAX_SECRET_BYTES: usize = 64 << 10;

/// The same in lines: a key in PEM has some fifty.
const MAX_SECRET_LINES: usize = 512;

/// What bounds the options, for `GET /v1/info`.
pub(super) const BOUNDS: [(&str, u64); 15] = [
    ("prompt_characters", MAX_TEXT as u64),
    ("max_turns", words::MAX_TURNS.unsigned_abs()),
    ("content_blocks", content::MAX_BLOCKS as u64),
    ("attachments", content::MAX_ATTACHED as u64),
    ("image_bytes", MAX_IMAGE as u64),
    ("pdf_bytes", MAX_PDFS as u64),
    ("document_characters", MAX_DOCUMENT as u64),
    ("rules", rules::MAX_RULES as u64),
    ("agents", agents::MAX_AGENTS as u64),
    ("mcp_servers", servers::MAX_SERVERS as u64),
    ("env", env::MAX_VARIABLES as u64),
    ("secret_bytes", MAX_SECRET_BYTES as u64),
    ("secret_lines", MAX_SECRET_LINES as u64),
    ("fallback_models", models::MAX_FALLBACKS as u64),
    ("additional_folders", folders::MAX_ADDITIONAL as u64),
];

/// Whose options they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    /// `POST /ask`. The Node server's clients rely on `@file` mentions and `/commands`.
    Ask,
    /// `POST /v1/runs`.
    Runs,
}

/// Takes the options out, and what of them nobody is shown.
pub(super) fn run_request(fields: &mut Fields, route: Route) -> Result<(RunRequest, RunSecrets), ApiError> {
    let (prompt, content) = content::said(fields, "prompt", &content::PROMPTS)?;
    let secrets = RunSecrets { env: env::variables(fields)?, mcp_servers: servers::servers(fields)? };
    bounded(fields, &secrets)?;
    let request = RunRequest {
        prompt,
        content,
        cwd: fields.string("cwd")?.unwrap_or_default(),
        resume: session(fields)?,
        fork_session: fields.bool("fork_session")?.unwrap_or(false),
        permission_mode: words::permission_mode(fields)?,
        allowed_tools: rules::allowed(fields, route)?,
        disallowed_tools: rules::disallowed(fields)?,
        tools: rules::tools(fields)?,
        agents: agents::agents(fields)?,
        agent: fields.string("agent")?,
        model: fields.string("model")?,
        fallback_models: models::fallbacks(fields)?,
        effort: words::effort(fields)?,
        profile: words::profile(fields)?,
        max_turns: words::max_turns(fields)?,
        system_prompt: text(fields, "system_prompt")?,
        append_system_prompt: text(fields, "append_system_prompt")?,
        output_schema: fields.object("output_schema")?.map(Value::Object),
        expand: fields.bool("expand")?.unwrap_or(route == Route::Ask),
        deltas: fields.bool("deltas")?.unwrap_or(false),
        timeout_seconds: words::seconds(fields, "timeout_seconds")?,
        idle_timeout_seconds: words::seconds(fields, "idle_timeout_seconds")?,
        queue_timeout_seconds: words::seconds(fields, "queue_timeout_seconds")?,
        write_root: folders::write_root(fields)?,
        additional_folders: folders::additional(fields)?,
        max_budget_usd: words::max_budget(fields)?,
        priority: words::priority(fields)?,
        mcp_servers: secrets.mcp_servers.keys().cloned().collect(),
        env: secrets.env.keys().cloned().collect(),
    };
    agree_with_each_other(fields, &request)?;
    Ok((request, secrets))
}

/// What is looked for in all that the run says must not be too much.
fn bounded(fields: &Fields, secrets: &RunSecrets) -> Result<(), ApiError> {
    let of_env = RunSecrets { env: secrets.env.clone(), ..RunSecrets::default() };
    for (field, secrets, what) in
        [("env", &of_env, "values"), ("mcp_servers", secrets, "credentials, with those of env,")]
    {
        let Size { lines, bytes } = Size::of(&secrets.to_redact());
        let spot = Spot::of(fields, field);
        spot.at_most(MAX_SECRET_BYTES, bytes, &format!("bytes in its {what}"))?;
        spot.at_most(MAX_SECRET_LINES, lines, &format!("lines in its {what}"))?;
    }
    Ok(())
}

/// A text for the CLI that must be there.
fn message(fields: &mut Fields, field: &'static str) -> Result<String, ApiError> {
    let text = text(fields, field)?.ok_or_else(|| fields.wrong(field, "is missing"))?;
    if text.trim().is_empty() {
        // The CLI takes whitespace alone for an error.
        return Err(fields.wrong(field, "must not be empty"));
    }
    Ok(text)
}

fn text(fields: &mut Fields, field: &'static str) -> Result<Option<String>, ApiError> {
    let Some(text) = fields.string(field)? else { return Ok(None) };
    fits(&text, MAX_TEXT).map_err(|what| fields.wrong(field, what))?;
    Ok(Some(text))
}

/// Whether a text has no more than so many characters.
fn fits(text: &str, most: usize) -> Result<(), String> {
    let length = text.chars().count();
    if length <= most { Ok(()) } else { Err(format!("has {length} characters; at most {most} are allowed")) }
}

fn session(fields: &mut Fields) -> Result<Option<Uuid>, ApiError> {
    let Some(text) = fields.string("resume")? else { return Ok(None) };
    Uuid::try_parse(&text).map(Some).map_err(|_| fields.wrong("resume", "must be a session's id, a UUID"))
}

/// Options that would undo each other. The second of two is named.
fn agree_with_each_other(fields: &Fields, request: &RunRequest) -> Result<(), ApiError> {
    let wrong = |field: &'static str, what: String| Err(fields.wrong(field, what));
    let name = |field: &'static str| fields.name(field);
    if request.fork_session && request.resume.is_none() {
        return wrong("fork_session", format!("needs {}: the session that is to be copied", name("resume")));
    }
    // The CLI expands the last block and no other (checked).
    if request.expand && !matches!(request.content.last(), None | Some(Block::Text { .. })) {
        return wrong("expand", "needs a text as the last block of content: nothing else is expanded".to_owned());
    }
    // The CLI reads no files of agents then, and silently goes on without (checked).
    let of_file = request.agent.as_ref().filter(|agent| !request.agents.contains_key(*agent));
    if let (Some(_), Some(profile @ (Profile::Bare | Profile::Restricted))) = (of_file, request.profile) {
        let (profile, agents) = (profile.as_str(), name("agents"));
        let what =
            format!("{profile} leaves out the agents of the configuration, and agent names one; give it in {agents}");
        return wrong("profile", what);
    }
    let Some(tools) = &request.tools else { return Ok(()) };
    let lacks = |tool: &str| !has(tools.iter().map(String::as_str), tool);
    let given = name("tools");
    if let Some(rule) = request.allowed_tools.iter().find(|rule| lacks(tool_of(rule))) {
        let what = format!("has `{}`, for a tool that {given} does not have", spot::shown(rule));
        return wrong("allowed_tools", what);
    }
    let is_named = |server: &str| {
        let all = format!("mcp__{server}");
        tools.iter().any(|tool| *tool == all || tool.strip_prefix(&all).is_some_and(|rest| rest.starts_with("__")))
    };
    if let Some(server) = request.mcp_servers.iter().find(|server| !is_named(server)) {
        let what = format!("has `{server}`, of which {given} has nothing; add mcp__{server} to {given}");
        return wrong("mcp_servers", what);
    }
    Ok(())
}
