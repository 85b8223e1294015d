//! The fields of `/ask`, checked one by one.

use std::sync::Arc;
use std::time::Duration;

use claude::command::Session;
use claude::permission_mode::PermissionMode;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::super::error::{ApiError, ErrorCode};
use super::fields::{Fields, Strings};
use crate::app::App;
use crate::aside::{Gate, Unfinished};
use crate::config_dir::AgentError;
use crate::runs::RunSpec;
use crate::runs::schema::{AnswerSchema, SchemaError};

/// Unicode characters, not bytes and not UTF-16 units.
const MAX_TEXT: usize = 50_000;
const MAX_TURNS: i64 = 50;
const MAX_RULES: usize = 200;
const MAX_RULE: usize = 1_000;

/// For looks at the server's folders; a local disk answers in no time.
static LOOKS: Gate = Gate::new(32, Duration::from_secs(10), 1 << 20);

const FIELDS: [&str; 11] = [
    "prompt",
    "cwd",
    "stream",
    "maxTurns",
    "agent",
    "systemPrompt",
    "model",
    "allowedTools",
    "permissionMode",
    "resume",
    "jsonSchema",
];

/// A request whose fields have the right form. Whether they fit this server is seen by [`Self::into_spec`].
#[derive(Debug, PartialEq)]
pub(super) struct AskRequest {
    pub(super) prompt: String,
    pub(super) cwd: String,
    pub(super) stream: bool,
    pub(super) max_turns: Option<u32>,
    pub(super) agent: Option<String>,
    pub(super) system_prompt: Option<String>,
    pub(super) model: Option<String>,
    pub(super) allowed_tools: Vec<String>,
    pub(super) permission_mode: Option<PermissionMode>,
    pub(super) resume: Option<Uuid>,
    pub(super) schema: Option<AnswerSchema>,
}

impl AskRequest {
    pub(super) fn parse(object: Map<String, Value>, lenient: bool) -> Result<Self, ApiError> {
        let mut fields = Fields::new(object, lenient);
        fields.refuse_unknown(&FIELDS)?;
        Ok(Self {
            prompt: prompt(fields.string("prompt")?)?,
            cwd: fields.string("cwd")?.unwrap_or_default(),
            stream: fields.bool("stream")?.unwrap_or(false),
            max_turns: fields.integer("maxTurns")?.map(turns).transpose()?,
            agent: fields.string("agent")?,
            system_prompt: fields.string("systemPrompt")?.map(|text| bounded("systemPrompt", text)).transpose()?,
            model: fields.string("model")?,
            allowed_tools: fields.strings("allowedTools")?.map(rules).transpose()?.unwrap_or_default(),
            permission_mode: fields.string("permissionMode")?.map(|mode| permission_mode(&mode)).transpose()?,
            resume: fields.string("resume")?.map(|id| session_id(&id)).transpose()?,
            schema: fields.object("jsonSchema")?.map(schema).transpose()?,
        })
    }

    /// Checks the request against what this server has and allows.
    pub(super) async fn into_spec(self, app: &Arc<App>) -> Result<RunSpec, ApiError> {
        let settings = app.settings();
        let permission_mode = self.permission_mode.unwrap_or(settings.permissions.default_mode);
        if permission_mode == PermissionMode::BypassPermissions && !settings.permissions.allow_bypass {
            let message = "permissionMode bypassPermissions is not allowed on this server (ASKD_ALLOW_BYPASS)";
            return Err(ApiError::request(message));
        }
        if let Some(model) = self.model.as_deref().filter(|model| !settings.models.allows(model)) {
            let model: String = model.chars().take(100).collect();
            let message = format!("model `{model}` is not allowed; use sonnet, opus, haiku or an id of ASKD_MODELS");
            return Err(ApiError::request(message));
        }
        let agent = match self.agent {
            Some(name) => Some(agent(name, app).await?),
            None => None,
        };
        let session = match self.resume {
            Some(id) => Session::Resume(known(id, app).await?),
            None => Session::New(app.runs().shared().ambient.uuid()),
        };
        let folder = look("cwd", "WORKSPACE_DIR", app, move |app| app.runs().shared().workspaces.folder(&self.cwd));
        let folder = folder.await?.map_err(|error| ApiError::new(ErrorCode::InvalidCwd, error.to_string()))?;
        if let Some(schema) = &self.schema {
            schema.compile().await.map_err(|error| schema_error(&error))?;
        }
        Ok(RunSpec {
            prompt: self.prompt,
            folder,
            session,
            permission_mode,
            allowed_tools: self.allowed_tools,
            agent,
            model: self.model.or_else(|| settings.models.default.clone()),
            max_turns: self.max_turns,
            system_prompt: self.system_prompt,
            schema: self.schema,
            // The Node server's clients rely on `@file` mentions and `/commands`.
            expand: true,
        })
    }
}

/// Looks at the server's folders for one field. A mount that does not answer must not hold up the server.
async fn look<T: Send + 'static>(
    field: &str,
    folder: &str,
    app: &Arc<App>,
    work: impl FnOnce(&App) -> T + Send + 'static,
) -> Result<T, ApiError> {
    let app_there = Arc::clone(app);
    LOOKS.run(move || work(&app_there)).await.map_err(|unfinished| {
        tracing::error!(field, folder, ?unfinished, "cannot look at a folder; if it is a mount, does it answer?");
        let message = match unfinished {
            Unfinished::Failed => format!("{field}: looking at {folder} failed"),
            Unfinished::Busy | Unfinished::Late => {
                format!("{field}: {folder} did not answer within {:?}", LOOKS.patience())
            }
        };
        ApiError::new(ErrorCode::InternalError, message)
    })
}

async fn agent(name: String, app: &Arc<App>) -> Result<String, ApiError> {
    let found = look("agent", "CONFIG_DIR", app, move |app| app.runs().shared().config.agent(&name)).await?;
    found.map_err(|error| {
        let code = if matches!(error, AgentError::Name) { ErrorCode::RequestError } else { ErrorCode::AgentNotFound };
        ApiError::new(code, error.to_string())
    })
}

async fn known(session: Uuid, app: &Arc<App>) -> Result<Uuid, ApiError> {
    if look("resume", "ASKD_DATA_DIR or CONFIG_DIR", app, move |app| app.runs().knows_session(session)).await? {
        Ok(session)
    } else {
        Err(ApiError::new(ErrorCode::NotFound, format!("resume: there is no session {session}")))
    }
}

fn schema(schema: Value) -> Result<AnswerSchema, ApiError> {
    AnswerSchema::new(schema).map_err(|error| schema_error(&SchemaError::Schema(error)))
}

fn schema_error(error: &SchemaError) -> ApiError {
    let code = match error {
        SchemaError::Schema(_) => ErrorCode::RequestError,
        SchemaError::Busy => ErrorCode::ServerBusy,
    };
    ApiError::new(code, format!("jsonSchema {error}"))
}

fn prompt(text: Option<String>) -> Result<String, ApiError> {
    let text = text.ok_or_else(|| ApiError::request("prompt is missing"))?;
    if text.trim().is_empty() {
        // The CLI takes whitespace alone for an error.
        return Err(ApiError::request("prompt must not be empty"));
    }
    bounded("prompt", text)
}

fn bounded(name: &str, text: String) -> Result<String, ApiError> {
    let length = text.chars().count();
    if length > MAX_TEXT {
        return Err(ApiError::request(format!("{name} has {length} characters; at most {MAX_TEXT} are allowed")));
    }
    Ok(text)
}

fn turns(number: i64) -> Result<u32, ApiError> {
    u32::try_from(number)
        .ok()
        .filter(|_| (1..=MAX_TURNS).contains(&number))
        .ok_or_else(|| ApiError::request(format!("maxTurns must be from 1 to {MAX_TURNS}")))
}

fn permission_mode(word: &str) -> Result<PermissionMode, ApiError> {
    PermissionMode::from_word(word)
        .ok_or_else(|| ApiError::request(format!("permissionMode must be one of {}", PermissionMode::WORDS.join(", "))))
}

fn session_id(text: &str) -> Result<Uuid, ApiError> {
    Uuid::try_parse(text).map_err(|_| ApiError::request("resume must be a session's id, a UUID"))
}

/// Tool rules as the CLI writes them, e.g. `Bash(git status:*)`. One string is taken apart at commas and blanks that
/// stand outside of parentheses, as the CLI's own flag does.
fn rules(given: Strings) -> Result<Vec<String>, ApiError> {
    let rules = match given {
        Strings::List(rules) => rules,
        Strings::One(text) => split_rules(&text),
    };
    if rules.len() > MAX_RULES {
        return Err(ApiError::request(format!(
            "allowedTools has {} rules; at most {MAX_RULES} are allowed",
            rules.len()
        )));
    }
    for rule in &rules {
        let fine = !rule.trim().is_empty() && rule.chars().count() <= MAX_RULE && !rule.chars().any(char::is_control);
        if !fine {
            let message = format!("each rule of allowedTools must be 1 to {MAX_RULE} characters without line ends");
            return Err(ApiError::request(message));
        }
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
mod tests;
