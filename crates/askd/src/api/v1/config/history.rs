//! `/v1/config/history`: who changed what, and what it was.

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde_json::{Value, json};

use super::scope;
use super::shown::{self, Files};
use crate::api::conditions;
use crate::api::config::answered;
use crate::api::editor::Editor;
use crate::api::error::ApiError;
use crate::api::error::code::ErrorCode;
use crate::api::openapi::{parameters, told};
use crate::api::path::PathOf;
use crate::api::query::{self, Query};
use crate::api::v1::json as answer;
use crate::api::v1::list::{DEFAULT_LIMIT, MAX_LIMIT};
use crate::config::change::{Change, ChangeId};
use crate::config::document::Content;
use crate::config::error::ConfigError;
use crate::config::kind::Kind;
use crate::config::name::DocumentId;

/// `GET /v1/config/history`: the newest first.
#[utoipa::path(
    get, path = "/v1/config/history", operation_id = "list_config_changes", tag = "configuration",
    summary = "List changes of the configuration",
    description = "The newest first.",
    params(parameters::Workspace, parameters::HistoryFilter, parameters::Paging),
    responses((status = 200, description = "A part of the list.", body = told::Page<told::config::ConfigChange>)),
)]
pub(super) async fn list(editor: Editor, uri: Uri) -> Result<Response, ApiError> {
    let mut query = Query::of(&uri)?;
    let everywhere = query.flag("all")? == Some(true);
    let scope = scope(&editor, &mut query)?;
    if everywhere && scope.workspace().is_some() {
        return Err(ApiError::param("all", "asks for every scope, and workspace for one: give one of them"));
    }
    if everywhere {
        editor.must_reach_all()?;
    }
    let id = document(query.take("kind")?.as_deref(), query.take("name")?.as_deref())?;
    let limit = query.limit("limit", DEFAULT_LIMIT, MAX_LIMIT)?;
    let page = query.take("page")?.map(|page| {
        ChangeId::parse(&page).ok_or_else(|| ApiError::param("page", "must be the next_page of an earlier answer"))
    });
    query.finish(&["workspace", "all", "kind", "name", "limit", "page"])?;
    let scope = Some(&scope).filter(|_| !everywhere);
    // One more than is shown tells whether there is a next page.
    let mut changes = editor.config().history(scope, id.as_ref(), page.transpose()?, limit + 1).await?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = changes.len() > most;
    changes.truncate(most);
    let next = changes.last().filter(|_| more).map(|change| change.id.to_string());
    let data: Vec<_> = changes.iter().map(|change| Value::Object(shown::change(change))).collect();
    Ok(answer(StatusCode::OK, json!({"data": data, "next_page": next}).to_string()))
}

fn document(kind: Option<&str>, name: Option<&str>) -> Result<Option<DocumentId>, ApiError> {
    let Some(kind) = kind else {
        return match name {
            None => Ok(None),
            Some(_) => Err(ApiError::param("kind", "is missing: a name alone says nothing")),
        };
    };
    let kind = Kind::parse(kind).ok_or_else(|| {
        let all = Kind::ALL.map(Kind::as_str).join(", ");
        ApiError::param("kind", format_args!("must be one of {all}"))
    })?;
    DocumentId::new(kind, name).map(Some).map_err(|error| ApiError::of_name(kind, name.unwrap_or_default(), &error))
}

/// `GET /v1/config/history/{id}`: a change, and the content that it left.
#[utoipa::path(
    get, path = "/v1/config/history/{id}", operation_id = "get_config_change", tag = "configuration",
    summary = "Read a change of the configuration",
    description = "With the content that it left.",
    params(("id" = String, Path, description = "The change's id."), parameters::Contents),
    responses((status = 200, description = "The change.", body = told::config::ConfigChange)),
)]
pub(super) async fn one(editor: Editor, PathOf(id): PathOf<String>, uri: Uri) -> Result<Response, ApiError> {
    let mut query = Query::of(&uri)?;
    let files = if query.flag("contents")? == Some(true) { Files::Contained } else { Files::Listed };
    query.finish(&["contents"])?;
    let (change, content) = find(&editor, &id).await?;
    let mut shown = shown::change(&change);
    // Not there after a removal, and `kept` tells that from a version that is gone.
    shown.insert("kept".into(), json!(content.is_some() == change.after.is_some()));
    match content {
        Some(content) => shown.extend(shown::content(&content, files)),
        None => drop(shown.insert("content".into(), Value::Null)),
    }
    Ok(answer(StatusCode::OK, Value::Object(shown).to_string()))
}

/// `POST /v1/config/history/{id}/restore`: puts back what a change left.
#[utoipa::path(
    post, path = "/v1/config/history/{id}/restore", operation_id = "restore_config", tag = "configuration",
    summary = "Put back what a change of the configuration left",
    description = "Put back what a change of the configuration left.",
    params(("id" = String, Path, description = "The change's id."), parameters::ChangeCondition),
    responses((status = 200, description = "What became of it.", body = told::config::ConfigWritten)),
)]
pub(super) async fn restore(
    editor: Editor,
    PathOf(id): PathOf<String>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, ApiError> {
    query::none(request.uri())?;
    editor.must_write_somewhere()?;
    let condition = conditions::of_change(&headers)?;
    let found = find(&editor, &id).await?;
    let change = found.0.clone();
    editor.must_write(&change.scope)?;
    let mut written = match editor.config().restore(found, &condition, &editor.author()).await {
        Err(ConfigError::NotFound) if change.after.is_none() => return Err(was_removal(&editor, &change).await),
        restored => restored?,
    };
    let Change { scope, document, .. } = change;
    written.warnings.extend(editor.kept_out(&scope).await);
    let shown = shown::written(&scope, &document, &written);
    Ok(answered(&written, answer(StatusCode::OK, shown.to_string())))
}

/// Nobody means that what is gone shall be gone once more.
async fn was_removal(editor: &Editor, change: &Change) -> ApiError {
    let (scope, document, id) = (&change.scope, &change.document, change.id);
    let before = editor.config().history(Some(scope), Some(document), Some(id), 1).await.unwrap_or_default();
    let missing = ApiError::new(ErrorCode::NotFound, "this change removed the document, and it is not there now");
    match before.first().filter(|before| before.after.is_some()) {
        Some(before) => missing.with_hint(format!("restore the change before it: {}", before.id)),
        None => missing,
    }
}

/// The change of a path, with the content that it left, if the caller may see it.
pub(super) async fn find(editor: &Editor, id: &str) -> Result<(Change, Option<Content>), ApiError> {
    let short: String = id.chars().take(60).collect();
    let unknown = || ApiError::new(ErrorCode::NotFound, format!("there is no change `{short}`"));
    let id = ChangeId::parse(id).ok_or_else(unknown)?;
    let found = editor.config().change(&id).await?;
    // One of a workspace that the key is not for is one that there is not.
    let found = found.filter(|(change, _)| editor.may_reach(&change.scope)).ok_or_else(unknown)?;
    let (scope, kind) = (found.0.scope.clone(), found.0.document.kind());
    editor.must_see_kind(&scope, kind)?;
    if let Some(content) = &found.1 {
        editor.must_see(&scope, kind, content)?;
    }
    Ok(found)
}
