//! Answers about the configuration.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::Page;
use crate::config::problem::Problem;

/// A configuration as a whole.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct ConfigOverview {
    /// What this is.
    r#type: String,
    /// The workspace; `null`: that of all runs.
    #[schema(required)]
    workspace: Option<String>,
    /// How many documents there are of each kind.
    documents: BTreeMap<String, u64>,
    /// In bytes.
    size: u64,
    /// The tag of the whole.
    etag: String,
    /// Whether it can be changed.
    writable: bool,
    /// Why not.
    #[schema(required)]
    read_only_reason: Option<String>,
    /// Of a workspace: whether its runs load it.
    #[schema(nullable = false)]
    loaded_by_runs: Option<bool>,
    /// Of a workspace: why they do not.
    #[schema(nullable = false)]
    why_not: Option<Vec<Problem>>,
}

/// A document in a list.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct ConfigEntry {
    /// What this is.
    r#type: String,
    /// The kind of document.
    kind: String,
    /// Its name.
    #[schema(required)]
    name: Option<String>,
    /// The workspace; `null`: that of all runs.
    #[schema(required)]
    workspace: Option<String>,
    /// What it is for.
    #[schema(required)]
    description: Option<String>,
    /// Its tag.
    etag: String,
    /// In bytes.
    size: u64,
    /// When it was last changed.
    #[schema(format = DateTime)]
    modified_at: String,
    /// Whether the CLI would take it whole.
    valid: bool,
    /// Whether it runs something.
    executable: bool,
}

/// A document of the configuration.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct ConfigDocument {
    /// What this is.
    r#type: String,
    /// The kind of document.
    kind: String,
    /// Its name; `null`: there is only one.
    #[schema(required)]
    name: Option<String>,
    /// The workspace; `null`: that of all runs.
    #[schema(required)]
    workspace: Option<String>,
    /// Of the policy: whether it is askd's own, and no file.
    #[schema(nullable = false)]
    default: Option<bool>,
    /// What it is for.
    #[schema(required)]
    description: Option<String>,
    /// Its tag.
    etag: String,
    /// In bytes.
    size: u64,
    /// When it was last changed.
    #[schema(required, format = DateTime)]
    modified_at: Option<String>,
    /// Whether the CLI would take it whole.
    valid: bool,
    /// What in it runs something.
    executes: Vec<String>,
    /// What the CLI would skip.
    errors: Vec<Problem>,
    /// What is odd.
    warnings: Vec<Problem>,
    /// The text; of a skill that of `SKILL.md`.
    #[schema(required)]
    content: Option<String>,
    /// Of a skill: its files.
    #[schema(nullable = false)]
    files: Option<Vec<SkillFile>>,
}

/// A file of a skill.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct SkillFile {
    /// Where it lies in the skill.
    path: String,
    /// In bytes.
    size: u64,
    /// Its tag.
    etag: String,
    /// Whether it may be started as a program.
    executable: bool,
    /// Its text, if that was asked for and it is one.
    #[schema(nullable = false)]
    content: Option<String>,
    /// Its bytes in base64, if they were asked for and are no text.
    #[schema(nullable = false)]
    content_base64: Option<String>,
}

/// What became of a document.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct ConfigWritten {
    /// What this is.
    r#type: String,
    /// The kind of document.
    kind: String,
    /// Its name; `null`: there is only one.
    #[schema(required)]
    name: Option<String>,
    /// The workspace; `null`: that of all runs.
    #[schema(required)]
    workspace: Option<String>,
    /// Of a file of a skill: where it lies there.
    #[schema(nullable = false)]
    path: Option<String>,
    /// What was done.
    outcome: String,
    /// The tag of what is there now; `null` if it is gone.
    #[schema(required)]
    etag: Option<String>,
    /// Of a file of a skill: the tag of the skill.
    document_etag: Option<String>,
    /// The change in the history; `null`: nothing has changed.
    #[schema(required)]
    change: Option<String>,
    /// What is odd.
    warnings: Vec<Problem>,
}

/// An MCP server of the configuration.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct ConfigMcpServer {
    /// What this is.
    r#type: String,
    /// Its name.
    name: String,
    /// The workspace; `null`: that of all runs.
    #[schema(required)]
    workspace: Option<String>,
    /// Its entry.
    content: Value,
    /// Its tag.
    etag: String,
}

/// A change of the configuration.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct ConfigChange {
    /// What this is.
    r#type: String,
    /// Its id.
    id: String,
    /// The kind of document.
    kind: String,
    /// Its name; `null`: there is only one.
    #[schema(required)]
    name: Option<String>,
    /// The workspace; `null`: that of all runs.
    #[schema(required)]
    workspace: Option<String>,
    /// What was done.
    action: String,
    /// How far it is.
    state: String,
    /// The tag of what was there; `null`: nothing.
    #[schema(required)]
    before: Option<String>,
    /// The tag of what it left; `null`: nothing.
    #[schema(required)]
    after: Option<String>,
    /// By which key.
    #[schema(required)]
    key_id: Option<String>,
    /// From where.
    #[schema(required)]
    address: Option<String>,
    /// In which request.
    #[schema(required)]
    request_id: Option<String>,
    /// When.
    #[schema(format = DateTime)]
    at: String,
    /// Of one change: whether what it left is still kept.
    #[schema(nullable = false)]
    kept: Option<bool>,
    /// Of one change: the text that it left.
    content: Option<String>,
    /// Of one change of a skill: its files.
    #[schema(nullable = false)]
    files: Option<Vec<SkillFile>>,
}

/// What two versions differ in.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct ConfigDiff {
    /// What this is.
    r#type: String,
    /// The change that left the older version; `null`: there was none.
    #[schema(required)]
    from: Option<String>,
    /// The change that left the newer version, or `current`.
    #[schema(required)]
    to: Option<String>,
    /// The differences, as `diff -u` writes them.
    diff: String,
}

/// What the CLI would make of a document, or of all that lie on the disk.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct ConfigValidation {
    /// What this is.
    r#type: String,
    /// Whether the CLI would take it whole.
    valid: bool,
    /// What it would skip.
    #[schema(nullable = false)]
    errors: Option<Vec<Problem>>,
    /// What is odd.
    #[schema(nullable = false)]
    warnings: Option<Vec<Problem>>,
    /// What in it runs something.
    #[schema(nullable = false)]
    executes: Option<Vec<String>>,
    /// Why a `PUT` would be refused all the same.
    refused: Option<String>,
    /// Of all documents: those with problems.
    #[schema(nullable = false)]
    documents: Option<Vec<ConfigValidationEntry>>,
    /// How many more there are.
    #[schema(nullable = false)]
    more: Option<u64>,
    /// Of a workspace: whether its runs load it.
    #[schema(nullable = false)]
    loaded_by_runs: Option<bool>,
    /// Of a workspace: why they do not.
    #[schema(nullable = false)]
    why_not: Option<Vec<Problem>>,
}

/// A document with problems.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct ConfigValidationEntry {
    /// What this is.
    r#type: String,
    /// The kind of document; `null`: it is none.
    #[schema(required)]
    kind: Option<String>,
    /// Its name.
    #[schema(required)]
    name: Option<String>,
    /// Whether the CLI would take it whole.
    valid: bool,
    /// What it would skip.
    errors: Vec<Problem>,
    /// What is odd.
    warnings: Vec<Problem>,
}

/// What became of an archive.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct ConfigImport {
    /// What this is.
    r#type: String,
    /// The workspace; `null`: that of all runs.
    #[schema(required)]
    workspace: Option<String>,
    /// Whether it was only tried.
    dry_run: bool,
    /// What is new.
    created: Vec<String>,
    /// What was changed.
    updated: Vec<String>,
    /// What was removed.
    removed: Vec<String>,
    /// How many are as they were.
    unchanged: u64,
    /// What is odd.
    warnings: Vec<Problem>,
    /// The tag of the whole now.
    #[schema(required)]
    etag: Option<String>,
}

/// What there is of a kind: a part of a list, or the document of which there is only one.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(in crate::api) enum KindAnswer {
    /// A list.
    List(Page<ConfigEntry>),
    /// A document.
    Document(Box<ConfigDocument>),
}
