//! One document: `GET`, `PUT`, `DELETE`.

use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};

use super::shown::{self, Files};
use super::{check_scope, kind, list, scope, taken};
use crate::api::body::config_object;
use crate::api::conditions;
use crate::api::config::answered;
use crate::api::editor::Editor;
use crate::api::error::{ApiError, no_such_method};
use crate::api::openapi::{parameters, sent, told};
use crate::api::path::PathOf;
use crate::api::query::Query;
use crate::api::v1::json;
use crate::config::change::{Edit, Outcome};
use crate::config::document::Etag;
use crate::config::kind::Kind;
use crate::config::name::{DocumentId, NameError};
use crate::config::scope::Scope;
use crate::guard::Policy;

/// `GET /v1/config/{kind}`: the list, or the document of which there is only one.
#[utoipa::path(
    get, path = "/v1/config/{kind}", operation_id = "list_documents", tag = "configuration",
    summary = "List the documents of a kind, or read the only one",
    description = "`claude-md`, `settings`, `mcp-servers` and `policy` are one document each.",
    params(("kind" = String, Path, description = "The kind of document."), parameters::Workspace, parameters::Contents, parameters::Paging, parameters::IfNoneMatch),
    responses((status = 200, description = "A part of the list, or the document.", body = told::config::KindAnswer)),
)]
pub(super) async fn get_kind(
    editor: Editor,
    PathOf(word): PathOf<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let kind = kind(&word, &method, &uri).await?;
    if kind.is_single() {
        read(&editor, kind, None, &uri, &headers).await
    } else {
        list::list(&editor, kind, &uri).await
    }
}

/// `GET /v1/config/{kind}/{name}`.
#[utoipa::path(
    get, path = "/v1/config/{kind}/{*name}", operation_id = "get_document", tag = "configuration",
    summary = "Read a document",
    description = "Read a document.",
    params(("kind" = String, Path, description = "The kind of document."), ("name" = String, Path, description = "Its name; of a rule, command or output style in a folder with `/` between the parts, which may be percent-encoded."), parameters::Workspace, parameters::Contents, parameters::IfNoneMatch),
    responses((status = 200, description = "The document.", body = told::config::ConfigDocument)),
)]
pub(super) async fn get(
    editor: Editor,
    PathOf((word, name)): PathOf<(String, String)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let kind = kind(&word, &method, &uri).await?;
    read(&editor, kind, Some(&name), &uri, &headers).await
}

/// `PUT /v1/config/{kind}`, of which there is only one.
#[utoipa::path(
    put, path = "/v1/config/{kind}", operation_id = "put_single_document", tag = "configuration",
    summary = "Write the only document of a kind",
    description = "Write the only document of a kind.",
    params(("kind" = String, Path, description = "The kind of document."), parameters::Workspace, parameters::ChangeCondition),
    request_body = sent::SingleRequest,
    responses(
        (status = 200, description = "It was written over what was there.", body = told::config::ConfigWritten),
        (status = 201, description = "It is new.", body = told::config::ConfigWritten),
    ),
)]
pub(super) async fn put_single(
    editor: Editor,
    PathOf(word): PathOf<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let kind = single(&word, request.method(), request.uri()).await?;
    write(&editor, kind, None, request).await
}

/// `PUT /v1/config/{kind}/{name}`.
#[utoipa::path(
    put, path = "/v1/config/{kind}/{*name}", operation_id = "put_document", tag = "configuration",
    summary = "Write a document",
    description = "What the CLI would skip is refused.",
    params(("kind" = String, Path, description = "The kind of document."), ("name" = String, Path, description = "Its name; of a rule, command or output style in a folder with `/` between the parts, which may be percent-encoded."), parameters::Workspace, parameters::ChangeCondition),
    request_body = sent::DocumentRequest,
    responses(
        (status = 200, description = "It was written over what was there.", body = told::config::ConfigWritten),
        (status = 201, description = "It is new.", body = told::config::ConfigWritten),
    ),
)]
pub(super) async fn put(
    editor: Editor,
    PathOf((word, name)): PathOf<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let kind = kind(&word, request.method(), request.uri()).await?;
    write(&editor, kind, Some(&name), request).await
}

/// `DELETE /v1/config/{kind}`, of which there is only one.
#[utoipa::path(
    delete, path = "/v1/config/{kind}", operation_id = "delete_single_document", tag = "configuration",
    summary = "Remove the only document of a kind",
    description = "Remove the only document of a kind.",
    params(("kind" = String, Path, description = "The kind of document."), parameters::Workspace, parameters::ChangeCondition),
    responses((status = 204, description = "It is gone.")),
)]
pub(super) async fn delete_single(
    editor: Editor,
    PathOf(word): PathOf<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let kind = single(&word, &method, &uri).await?;
    remove(&editor, kind, None, &uri, &headers).await
}

/// `DELETE /v1/config/{kind}/{name}`.
#[utoipa::path(
    delete, path = "/v1/config/{kind}/{*name}", operation_id = "delete_document", tag = "configuration",
    summary = "Remove a document",
    description = "Remove a document.",
    params(("kind" = String, Path, description = "The kind of document."), ("name" = String, Path, description = "Its name; of a rule, command or output style in a folder with `/` between the parts, which may be percent-encoded."), parameters::Workspace, parameters::ChangeCondition),
    responses((status = 204, description = "It is gone.")),
)]
pub(super) async fn delete(
    editor: Editor,
    PathOf((word, name)): PathOf<(String, String)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let kind = kind(&word, &method, &uri).await?;
    remove(&editor, kind, Some(&name), &uri, &headers).await
}

async fn read(
    editor: &Editor,
    kind: Kind,
    name: Option<&str>,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let mut query = Query::of(uri)?;
    let (scope, id) = target(editor, &mut query, kind, name)?;
    // Only a skill has more than is shown anyway.
    let files = if query.flag("contents")? == Some(true) { Files::Contained } else { Files::Listed };
    query.finish(&["workspace", "contents"])?;
    editor.must_see_kind(&scope, kind)?;
    let found = editor.config().read(&scope, &id).await?;
    if found.is_none() && kind == Kind::Policy {
        let text = Policy::default_text();
        let answer = shown::default_policy(&id, text).to_string();
        return conditions::tagged(headers, &Etag::of_bytes(text.as_bytes()), json(StatusCode::OK, answer));
    }
    let found = found.ok_or_else(|| ApiError::no_document(&id))?;
    editor.must_see(&scope, kind, &found.content)?;
    let answer = shown::document(&scope, &found, files).to_string();
    conditions::tagged(headers, &found.etag, json(StatusCode::OK, answer))
}

async fn write(editor: &Editor, kind: Kind, name: Option<&str>, request: Request) -> Result<Response, ApiError> {
    let mut query = Query::of(request.uri())?;
    let (scope, id) = target(editor, &mut query, kind, name)?;
    query.finish(&["workspace"])?;
    editor.must_write(&scope)?;
    let condition = conditions::of_change(request.headers())?;
    let taken = config_object(request, editor.server(), |object| taken::edit(kind, &mut taken::fields(kind, object)?));
    let mut written = editor.config().edit(&scope, &id, taken.await?, &condition, &editor.author()).await?;
    written.warnings.extend(editor.kept_out(&scope).await);
    let status = if matches!(written.outcome, Outcome::Created(_)) { StatusCode::CREATED } else { StatusCode::OK };
    Ok(answered(&written, json(status, shown::written(&scope, &id, &written).to_string())))
}

async fn remove(
    editor: &Editor,
    kind: Kind,
    name: Option<&str>,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let mut query = Query::of(uri)?;
    let (scope, id) = target(editor, &mut query, kind, name)?;
    query.finish(&["workspace"])?;
    editor.must_write(&scope)?;
    let condition = conditions::of_change(headers)?;
    editor.config().edit(&scope, &id, Edit::Remove, &condition, &editor.author()).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn target(editor: &Editor, query: &mut Query, kind: Kind, name: Option<&str>) -> Result<(Scope, DocumentId), ApiError> {
    let id = DocumentId::new(kind, name).map_err(|error| match error {
        NameError::Single => ApiError::request(format!("there is only one {}, and it has no name", kind.as_str())),
        error => ApiError::of_name(kind, name.unwrap_or_default(), &error),
    })?;
    let scope = scope(editor, query)?;
    check_scope(&scope, kind)?;
    Ok((scope, id))
}

/// A kind that needs no name. Others are changed one by one.
async fn single(word: &str, method: &Method, uri: &Uri) -> Result<Kind, ApiError> {
    let kind = kind(word, method, uri).await?;
    if kind.is_single() {
        Ok(kind)
    } else {
        Err(no_such_method(method.clone(), uri.clone()).await.with_allow("GET,HEAD"))
    }
}
