//! Bodies of requests, for the OpenAPI file. The parsers take them apart by hand; tests hold these to the parsers'
//! dialects, and [`super::facts`] has their bounds.
#![expect(dead_code, reason = "they describe what is sent, and are never made")]

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::keys::Policy;

/// A question for `POST /ask`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(in crate::api) struct AskRequest {
    /// What to ask.
    prompt: String,
    /// The working folder, relative to the workspace root.
    cwd: Option<String>,
    /// Whether the answer comes as server-sent events.
    stream: Option<bool>,
    /// The most turns.
    max_turns: Option<u32>,
    /// The agent, by its name in the configuration.
    agent: Option<String>,
    /// Replaces the CLI's own system prompt.
    system_prompt: Option<String>,
    /// One of the models that the server allows.
    model: Option<String>,
    /// Tool rules for calls that need no approval: a list, or one string with commas or blanks between them.
    allowed_tools: Option<Value>,
    /// What may be done without approval.
    permission_mode: Option<String>,
    /// The session to continue.
    #[schema(format = "uuid")]
    resume: Option<String>,
    /// A JSON Schema for the answer.
    json_schema: Option<BTreeMap<String, Value>>,
}

/// A run for `POST /v1/runs`. Give `prompt` or `content`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct RunRequest {
    /// What to ask.
    prompt: Option<String>,
    /// What to ask, with pictures and documents, instead of `prompt`.
    content: Option<Vec<PromptBlock>>,
    /// The working folder, relative to the workspace root.
    cwd: Option<String>,
    /// The most turns.
    max_turns: Option<u32>,
    /// The agent, by its name in the configuration or in `agents`.
    agent: Option<String>,
    /// Replaces the CLI's own system prompt.
    system_prompt: Option<String>,
    /// One of the models that the server and the key's policy allow.
    model: Option<String>,
    /// Tool rules for calls that need no approval: a list, or one string with commas or blanks between them.
    allowed_tools: Option<Value>,
    /// What may be done without approval.
    permission_mode: Option<String>,
    /// The session to continue.
    #[schema(format = "uuid")]
    session_id: Option<String>,
    /// Another name of `session_id`.
    #[schema(format = "uuid", deprecated)]
    resume: Option<String>,
    /// A JSON Schema for the answer.
    output_schema: Option<BTreeMap<String, Value>>,
    /// Another name of `output_schema`.
    #[schema(deprecated)]
    json_schema: Option<BTreeMap<String, Value>>,
    /// Whether `@file` mentions and `/commands` in the prompt are expanded.
    expand: Option<bool>,
    /// Whether readers may see partial messages while the run works.
    deltas: Option<bool>,
    /// What becomes of the run when its client leaves; `cancel` needs a client that stays.
    on_disconnect: Option<String>,
    /// How long the run may take.
    timeout_seconds: Option<u64>,
    /// How long the CLI may be silent.
    idle_timeout_seconds: Option<u64>,
    /// How long the run may wait for its turn.
    queue_timeout_seconds: Option<u64>,
    /// Notes of the client's own, which lists can be filtered by.
    metadata: Option<BTreeMap<String, String>>,
    /// Another name of `metadata`.
    #[schema(deprecated)]
    labels: Option<BTreeMap<String, String>>,
    /// Where the run may write, relative to the workspace root.
    write_root: Option<String>,
    /// Folders that the run has besides its workspace: a path, or an object.
    additional_folders: Option<Vec<Value>>,
    /// Another name of `additional_folders`.
    #[schema(deprecated)]
    add_dirs: Option<Vec<Value>>,
    /// The most that it may cost in US dollars, by the CLI's estimate.
    max_budget_usd: Option<f64>,
    /// Its place among the waiting runs of its key.
    priority: Option<String>,
    /// Follows the system prompt.
    append_system_prompt: Option<String>,
    /// The only tools that the run has.
    tools: Option<Vec<String>>,
    /// Tool rules for calls that are always denied: a list, or one string.
    disallowed_tools: Option<Value>,
    /// How much the model thinks.
    effort: Option<String>,
    /// Models for the case that the first is overloaded or not there: one, or a list.
    fallback_model: Option<Value>,
    /// Agents besides those of the configuration, by name.
    agents: Option<BTreeMap<String, AgentOfRequest>>,
    /// MCP servers by name, in the form of `.mcp.json`. They are not shown again.
    mcp_servers: Option<BTreeMap<String, BTreeMap<String, Value>>>,
    /// Variables for the programs of the run. They are not shown again.
    env: Option<BTreeMap<String, String>>,
    /// What the run has of configuration and tools.
    profile: Option<String>,
    /// Whether the session is copied, and stays as it is.
    fork_session: Option<bool>,
}

/// An agent that comes with a request.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct AgentOfRequest {
    /// What it is for.
    description: String,
    /// Its system prompt.
    prompt: String,
    /// The only tools that it has.
    tools: Option<Vec<String>>,
    /// Tools that it does not have.
    disallowed_tools: Option<Vec<String>>,
    /// Its model.
    model: Option<String>,
    /// How much the model thinks.
    effort: Option<String>,
    /// The most turns.
    max_turns: Option<u32>,
    /// What it may do without approval.
    permission_mode: Option<String>,
    /// Skills that it begins with.
    skills: Option<Vec<String>>,
    /// Whether it works in the background.
    background: Option<bool>,
}

/// One block of `content`.
#[derive(Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(in crate::api) enum PromptBlock {
    /// A text.
    Text {
        /// It.
        text: String,
    },
    /// A picture.
    Image {
        /// Where it is.
        source: ImageSource,
    },
    /// A PDF or a plain text.
    Document {
        /// Where it is.
        source: DocumentSource,
        /// What it is called.
        title: Option<String>,
        /// What the model is told of it, and cannot quote.
        context: Option<String>,
    },
}

/// Where a picture is.
#[derive(Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(in crate::api) enum ImageSource {
    /// Here.
    Base64 {
        /// Its type.
        media_type: String,
        /// Its bytes in base64.
        #[schema(content_encoding = "base64")]
        data: String,
    },
    /// In an upload of the same key.
    Upload {
        /// `upl_…`
        upload_id: String,
    },
}

/// Where a document is.
#[derive(Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(in crate::api) enum DocumentSource {
    /// Here, a PDF.
    Base64 {
        /// Its type.
        media_type: String,
        /// Its bytes in base64.
        #[schema(content_encoding = "base64")]
        data: String,
    },
    /// Here, a plain text.
    Text {
        /// Its type.
        media_type: String,
        /// The text.
        data: String,
    },
    /// In an upload of the same key.
    Upload {
        /// `upl_…`
        upload_id: String,
    },
}

/// A further message for a run at work. Give `message` or `content`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct InputRequest {
    /// The message.
    message: Option<String>,
    /// The message with pictures, instead of `message`.
    content: Option<Vec<InputBlock>>,
    /// When it is looked at.
    priority: Option<String>,
}

/// One block of a further message.
#[derive(Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(in crate::api) enum InputBlock {
    /// A text.
    Text {
        /// It.
        text: String,
    },
    /// A picture.
    Image {
        /// Where it is.
        source: InputSource,
    },
}

/// Where a picture of a further message is.
#[derive(Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(in crate::api) enum InputSource {
    /// Here.
    Base64 {
        /// Its type.
        media_type: String,
        /// Its bytes in base64.
        #[schema(content_encoding = "base64")]
        data: String,
    },
}

/// A key that is to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct NewKey {
    /// What it is called, for people.
    name: String,
    /// What it may do.
    scopes: Vec<String>,
    /// What its runs are held to.
    policy: Option<Policy>,
    /// When it ends; `null`: never.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// What is to change of a key. What is not named stays; a policy is replaced as a whole.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct KeyPatch {
    /// What it is called, for people.
    name: Option<String>,
    /// What it may do.
    scopes: Option<Vec<String>>,
    /// What its runs are held to.
    policy: Option<Policy>,
    /// When it ends; `null`: never.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// How a secret is replaced.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct RotateRequest {
    /// How long the secret that is replaced still counts.
    overlap_seconds: Option<u64>,
}

/// How a key is revoked.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct RevokeRequest {
    /// What becomes of its runs that have begun.
    runs: Option<String>,
}

/// A text of the configuration.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ContentRequest {
    /// The text.
    content: String,
}

/// A document of the configuration; for skills `files` besides `content`, or instead of it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct DocumentRequest {
    /// The text; of `settings`, `mcp-servers` and `policy` also the object itself.
    content: Option<Value>,
    /// All files of a skill, `SKILL.md` among them or given by `content`.
    files: Option<Vec<SkillFileRequest>>,
}

/// A document that there is only one of.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct SingleRequest {
    /// The text; of `settings`, `mcp-servers` and `policy` also the object itself.
    content: Value,
}

/// A file of a skill. Give `content` or `content_base64`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct SkillFileRequest {
    /// Where it lies in the skill.
    path: String,
    /// Its text.
    content: Option<String>,
    /// Its bytes in base64.
    #[schema(content_encoding = "base64")]
    content_base64: Option<String>,
    /// Whether it may be started as a program.
    executable: Option<bool>,
}

/// An MCP server of the configuration.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct McpServerRequest {
    /// Its entry, in the form of `.mcp.json`.
    content: BTreeMap<String, Value>,
}

/// A document that is to be looked at; an empty object: what lies on the disk.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ValidateRequest {
    /// The kind of document.
    kind: Option<String>,
    /// Its name.
    name: Option<String>,
    /// The text; of `settings`, `mcp-servers` and `policy` also the object itself.
    content: Option<Value>,
    /// All files of a skill.
    files: Option<Vec<SkillFileRequest>>,
}
