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
use crate::api::query;
use crate::config::kind::Kind;
use crate::config::name::DocumentId;
use crate::config::scope::Scope;

fn claude_md() -> Result<DocumentId, ApiError> {
    DocumentId::new(Kind::ClaudeMd, None).map_err(|error| ApiError::param("name", error))
}

/// Its text; empty when there is none. A client of the Node server that shows it in an editor has then a page to begin
/// with, and not an error.
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

pub(super) async fn put(editor: Editor, request: Request) -> Result<Response, ApiError> {
    query::none(request.uri())?;
    let written = write(&editor, &claude_md()?, request).await?;
    Ok(answered(&written, Json(json!({"updated": true})).into_response()))
}
