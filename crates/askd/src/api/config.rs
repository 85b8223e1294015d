//! `/config`: agents, skills, rules and `CLAUDE.md` as the Node server had them. [`super::v1::config`] does more with the
//! same files.

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde_json::{Map, Value, json};

use super::body::config_object;
use super::conditions;
use super::dialect::LEGACY_CONFIG;
use super::editor::Editor;
use super::error::ApiError;
use super::error::no_such_route;
use super::fields::Fields;
use super::path::PathOf;
use super::query;
use crate::api::openapi::routes::{Routes, routes};
use crate::api::openapi::{parameters, sent, told};
use crate::config::change::{Edit, Outcome, Written};
use crate::config::document::Content;
use crate::config::kind::Kind;
use crate::config::limits::MAX_CHARACTERS;
use crate::config::name::DocumentId;
use crate::config::scope::Scope;

mod claude_md;
mod list;

/// The routes, without what stands before them.
pub(super) fn routes() -> Routes {
    Routes::default()
        .routes(routes!(claude_md::get, claude_md::put))
        .routes(routes!(list::list))
        .routes(routes!(one, put, delete))
        // Express took them with a slash at the end, too. The OpenAPI file has them once.
        .untold("/config/claude-md/", get(claude_md::get).put(claude_md::put))
        .untold("/config/{kind}/", get(list::list))
        .untold("/config/{kind}/{name}/", get(one).put(put).delete(delete))
}

/// The kinds that the Node server had.
async fn kind(word: &str, method: &Method, uri: &Uri) -> Result<Kind, ApiError> {
    match Kind::parse(word) {
        Some(kind @ (Kind::Agent | Kind::Skill | Kind::Rule)) => Ok(kind),
        _ => Err(no_such_route(method.clone(), uri.clone()).await),
    }
}

async fn document((word, name): &(String, String), method: &Method, uri: &Uri) -> Result<DocumentId, ApiError> {
    let kind = kind(word, method, uri).await?;
    query::none(uri)?;
    // A rule in a folder has a name with a `/`, which these routes do not know.
    if name.contains('/') {
        return Err(ApiError::param("name", "must be one name, without folders"));
    }
    DocumentId::new(kind, Some(name)).map_err(|error| ApiError::of_name(kind, name, &error))
}

#[utoipa::path(
    get, path = "/config/{kind}/{name}", operation_id = "get_legacy_document", tag = "legacy configuration",
    summary = "Read an agent, skill or rule",
    description = "Read an agent, skill or rule.",
    params(("kind" = String, Path, description = "The kind of document."), ("name" = String, Path, description = "Its name."), parameters::IfNoneMatch),
    responses((status = 200, description = "Its text.", body = told::legacy::LegacyDocument)),
)]
async fn one(
    editor: Editor,
    PathOf(path): PathOf<(String, String)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let id = document(&path, &method, &uri).await?;
    let read = editor.config().read(&Scope::User, &id).await?;
    let found = read.ok_or_else(|| ApiError::no_document(&id))?;
    editor.must_see(&Scope::User, id.kind(), &found.content)?;
    // A folder without `SKILL.md` is no skill here, though its other files are shown below `/v1`.
    let text = found.content.text().ok_or_else(|| ApiError::no_document(&id))?;
    let answer = json!({"name": path.1, "content": text});
    conditions::tagged(&headers, &found.etag, Json(answer).into_response())
}

#[utoipa::path(
    put, path = "/config/{kind}/{name}", operation_id = "put_legacy_document", tag = "legacy configuration",
    summary = "Write an agent, skill or rule",
    description = "What the CLI would skip is refused.",
    params(("kind" = String, Path, description = "The kind of document."), ("name" = String, Path, description = "Its name."), parameters::ChangeCondition),
    request_body = sent::ContentRequest,
    responses(
        (status = 200, description = "It was written over what was there.", body = told::legacy::LegacyWritten),
        (status = 201, description = "It is new.", body = told::legacy::LegacyWritten),
    ),
)]
async fn put(editor: Editor, PathOf(path): PathOf<(String, String)>, request: Request) -> Result<Response, ApiError> {
    let id = document(&path, request.method(), request.uri()).await?;
    let written = write(&editor, &id, request).await?;
    let status = if matches!(written.outcome, Outcome::Created(_)) { StatusCode::CREATED } else { StatusCode::OK };
    Ok(answered(&written, (status, Json(json!({"name": path.1}))).into_response()))
}

#[utoipa::path(
    delete, path = "/config/{kind}/{name}", operation_id = "delete_legacy_document", tag = "legacy configuration",
    summary = "Remove an agent, skill or rule",
    description = "Remove an agent, skill or rule.",
    params(("kind" = String, Path, description = "The kind of document."), ("name" = String, Path, description = "Its name."), parameters::ChangeCondition),
    responses((status = 204, description = "It is gone.")),
)]
async fn delete(
    editor: Editor,
    PathOf(path): PathOf<(String, String)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let id = document(&path, &method, &uri).await?;
    editor.must_write(&Scope::User)?;
    let condition = conditions::of_change(&headers)?;
    editor.config().edit(&Scope::User, &id, Edit::Remove, &condition, &editor.author()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Puts the text of a body `{"content"}`.
async fn write(editor: &Editor, id: &DocumentId, request: Request) -> Result<Written, ApiError> {
    editor.must_write(&Scope::User)?;
    let condition = conditions::of_change(request.headers())?;
    let lenient = editor.server().legacy_lenient;
    let text = config_object(request, editor.server(), |object| content(object, lenient)).await?;
    let edit = match id.kind() {
        Kind::Skill => Edit::PutSkillText(text),
        _ => Edit::Put(Content::Text(text)),
    };
    Ok(editor.config().edit(&Scope::User, id, edit, &condition, &editor.author()).await?)
}

fn content(object: Map<String, Value>, lenient: bool) -> Result<String, ApiError> {
    let mut fields = Fields::new(object, &LEGACY_CONFIG, lenient)?;
    let text = fields.string("content")?.ok_or_else(|| fields.wrong("content", "is missing"))?;
    check_length(&text)?;
    Ok(text)
}

/// Refuses a text that is empty or too long.
pub(super) fn check_length(text: &str) -> Result<(), ApiError> {
    match text.chars().count() {
        0 => Err(ApiError::param("content", "must not be empty")),
        1..=MAX_CHARACTERS => Ok(()),
        length => Err(ApiError::param(
            "content",
            format_args!("has {length} characters; at most {MAX_CHARACTERS} are allowed"),
        )),
    }
}

/// An answer to a change, with the tag of what is there now.
pub(super) fn answered(written: &Written, mut response: Response) -> Response {
    if let Outcome::Created(etag) | Outcome::Updated(etag) | Outcome::Unchanged(etag) = &written.outcome {
        conditions::tag(&mut response, etag);
    }
    response
}
