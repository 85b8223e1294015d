//! `/config/claude-md`.

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::{answered, write};
use crate::api::conditions;
use crate::api::editor::Editor;
use crate::api::error::ApiError;
use crate::api::openapi::{parameters, sent, told};
use crate::api::query;
use crate::config::kind::Kind;
use crate::config::name::DocumentId;
use crate::config::scope::Scope;

fn claude_md() -> Result<DocumentId, ApiError> {
    DocumentId::new(Kind::ClaudeMd, None).map_err(|error| ApiError::param("name", error))
}

/// Its text; empty when there is none. A client of the Node server that shows it in an editor has then a page to begin
/// with, and not an error.
#[utoipa::path(
    get, path = "/config/claude-md", operation_id = "get_claude_md", tag = "legacy configuration",
    summary = "Read CLAUDE.md",
    description = "Empty if there is none.",
    params(parameters::IfNoneMatch),
    responses((status = 200, description = "Its text.", body = told::legacy::LegacyText)),
)]
pub(super) async fn get(editor: Editor, uri: Uri, headers: HeaderMap) -> Result<Response, ApiError> {
    query::none(&uri)?;
    match editor.config().read(&Scope::User, &claude_md()?).await? {
        None => Ok(Json(json!({"content": ""})).into_response()),
        Some(found) => {
            let answer = Json(json!({"content": found.content.text().unwrap_or_default()}));
            conditions::tagged(&headers, &found.etag, answer.into_response())
        }
    }
}

#[utoipa::path(
    put, path = "/config/claude-md", operation_id = "put_claude_md", tag = "legacy configuration",
    summary = "Write CLAUDE.md",
    description = "Write CLAUDE.md.",
    params(parameters::ChangeCondition),
    request_body = sent::ContentRequest,
    responses((status = 200, description = "It was written.", body = told::legacy::LegacyUpdated)),
)]
pub(super) async fn put(editor: Editor, request: Request) -> Result<Response, ApiError> {
    query::none(request.uri())?;
    let written = write(&editor, &claude_md()?, request).await?;
    Ok(answered(&written, Json(json!({"updated": true})).into_response()))
}
