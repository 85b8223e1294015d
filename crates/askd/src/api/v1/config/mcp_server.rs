//! `/v1/config/mcp-servers/{server}`: one entry of the file, with a tag of its own.

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::scope;
use super::taken::fields;
use crate::api::body::config_object;
use crate::api::conditions;
use crate::api::editor::Editor;
use crate::api::error::ApiError;
use crate::api::error::code::ErrorCode;
use crate::api::openapi::{parameters, sent, told};
use crate::api::path::PathOf;
use crate::api::query::Query;
use crate::api::v1::json as answer;
use crate::config::change::{Condition, Edit, Outcome, Written};
use crate::config::error::ConfigError;
use crate::config::kind::Kind;
use crate::config::mcp_file::{self, entry_etag};
use crate::config::name::DocumentId;
use crate::config::problem::Report;
use crate::config::scope::Scope;

/// The longest name of a server.
const MAX_NAME: usize = 64;

/// Which entry of which file.
struct Target {
    scope: Scope,
    id: DocumentId,
    server: String,
}

impl Target {
    fn of(editor: &Editor, server: String, uri: &Uri) -> Result<Self, ApiError> {
        let mut query = Query::of(uri)?;
        let scope = scope(editor, &mut query)?;
        query.finish(&["workspace"])?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !(1..=MAX_NAME).contains(&server.len()) || !server.bytes().all(plain) {
            let what = format_args!("must be 1 to {MAX_NAME} characters of A-Z, a-z, 0-9, `-` and `_`");
            return Err(ApiError::param("name", what));
        }
        let id = DocumentId::new(Kind::McpServers, None).map_err(|error| ApiError::param("name", error))?;
        Ok(Self { scope, id, server })
    }

    /// The entry, as it is now.
    async fn read(&self, editor: &Editor) -> Result<Value, ApiError> {
        let document = editor.config().read(&self.scope, &self.id).await?;
        let text = document.as_ref().and_then(|document| document.content.text());
        let entry = text.map(|text| mcp_file::entry(text, &self.server)).transpose()?;
        entry.flatten().ok_or_else(|| self.missing())
    }

    fn missing(&self) -> ApiError {
        ApiError::new(ErrorCode::NotFound, format!("there is no MCP server `{}`", self.server))
    }

    async fn change(&self, editor: &Editor, edit: Edit) -> Result<Written, ApiError> {
        let written = editor.config().edit(&self.scope, &self.id, edit, &Condition::None, &editor.author()).await;
        written.map_err(|error| match error {
            ConfigError::NotFound => self.missing(),
            ConfigError::Invalid(report) => ConfigError::Invalid(self.of_the_entry(report)).into(),
            error => error.into(),
        })
    }

    /// Problems as they are for whoever has sent the entry alone: its fields, and no lines of a file that they do not see.
    fn of_the_entry(&self, mut report: Report) -> Report {
        let path = format!("mcpServers.{}", self.server);
        for problem in &mut report.errors {
            let inner = problem.field.as_deref().and_then(|field| field.strip_prefix(&path)?.strip_prefix('.'));
            if let Some(inner) = inner.map(str::to_owned) {
                (problem.line, problem.field) = (None, Some(inner));
            }
        }
        report
    }
}

#[utoipa::path(
    get, path = "/v1/config/mcp-servers/{server}", operation_id = "get_mcp_server", tag = "configuration",
    summary = "Read an MCP server",
    description = "Read an MCP server.",
    params(("server" = String, Path, description = "The server's name."), parameters::Workspace, parameters::IfNoneMatch),
    responses((status = 200, description = "The server.", body = told::config::ConfigMcpServer)),
)]
pub(super) async fn get(
    editor: Editor,
    PathOf(server): PathOf<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let target = Target::of(&editor, server, &uri)?;
    editor.must_see_kind(&target.scope, Kind::McpServers)?;
    let entry = target.read(&editor).await?;
    let etag = entry_etag(&entry);
    let shown = json!({"type": "config_mcp_server", "name": target.server, "workspace": target.scope.workspace(),
        "content": entry, "etag": etag.to_string()});
    conditions::tagged(&headers, &etag, answer(StatusCode::OK, shown.to_string()))
}

#[utoipa::path(
    put, path = "/v1/config/mcp-servers/{server}", operation_id = "put_mcp_server", tag = "configuration",
    summary = "Write an MCP server",
    description = "Write an MCP server.",
    params(("server" = String, Path, description = "The server's name."), parameters::Workspace, parameters::ChangeCondition),
    request_body = sent::McpServerRequest,
    responses(
        (status = 200, description = "It was written over what was there.", body = told::config::ConfigWritten),
        (status = 201, description = "It is new.", body = told::config::ConfigWritten),
    ),
)]
pub(super) async fn put(
    editor: Editor,
    PathOf(server): PathOf<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let target = Target::of(&editor, server, request.uri())?;
    editor.must_execute(&target.scope)?;
    let condition = conditions::of_change(request.headers())?;
    let entry = config_object(request, editor.server(), |object| {
        let mut fields = fields(Kind::McpServers, object)?;
        fields.object("content")?.ok_or_else(|| fields.wrong("content", "is missing"))
    });
    let entry = Value::Object(entry.await?);
    let etag = entry_etag(&entry);
    let edit = Edit::PutMcpServer { name: target.server.clone(), entry, condition };
    let mut written = target.change(&editor, edit).await?;
    written.warnings.extend(editor.kept_out(&target.scope).await);
    let (outcome, status) = match written.part {
        Some(Outcome::Created(_)) => ("created", StatusCode::CREATED),
        Some(Outcome::Unchanged(_)) => ("unchanged", StatusCode::OK),
        _ => ("updated", StatusCode::OK),
    };
    let shown = json!({"type": "config_written", "kind": target.id.kind().as_str(), "name": target.server,
        "workspace": target.scope.workspace(), "outcome": outcome, "etag": etag.to_string(),
        "change": written.change.map(|change| change.to_string()), "warnings": written.warnings});
    let mut response = answer(status, shown.to_string());
    conditions::tag(&mut response, &etag);
    Ok(response)
}

#[utoipa::path(
    delete, path = "/v1/config/mcp-servers/{server}", operation_id = "delete_mcp_server", tag = "configuration",
    summary = "Remove an MCP server",
    description = "Remove an MCP server.",
    params(("server" = String, Path, description = "The server's name."), parameters::Workspace, parameters::ChangeCondition),
    responses((status = 204, description = "It is gone.")),
)]
pub(super) async fn delete(
    editor: Editor,
    PathOf(server): PathOf<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let target = Target::of(&editor, server, &uri)?;
    editor.must_execute(&target.scope)?;
    let condition = conditions::of_change(&headers)?;
    target.change(&editor, Edit::RemoveMcpServer { name: target.server.clone(), condition }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
