//! `GET /v1/config/{kind}`: what there is of a kind, by name, page by page.

use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde_json::json;

use super::super::super::editor::Editor;
use super::super::super::error::ApiError;
use super::super::super::query::Query;
use super::super::json;
use super::{check_scope, scope, shown};
use crate::config::kind::Kind;
use crate::config::name::DocumentId;

pub(super) const DEFAULT_LIMIT: u64 = 50;
pub(super) const MAX_LIMIT: u64 = 200;

pub(super) async fn list(editor: &Editor, kind: Kind, uri: &Uri) -> Result<Response, ApiError> {
    let mut query = Query::of(uri)?;
    let scope = scope(&mut query)?;
    let limit = usize::try_from(query.limit("limit", DEFAULT_LIMIT, MAX_LIMIT)?).unwrap_or(usize::MAX);
    let page = query.take("page")?;
    query.finish(&["workspace", "limit", "page"])?;
    check_scope(&scope, kind)?;
    // A page begins behind a name, which need not be there any more.
    if page.as_ref().is_some_and(|name| DocumentId::new(kind, Some(name)).is_err()) {
        return Err(ApiError::param("page", "must be the next_page of an earlier answer"));
    }
    let entries = editor.config().list(&scope, kind).await?;
    let mut rest = entries.iter().filter(|entry| entry.id.name() > page.as_deref()).peekable();
    let mut data = Vec::new();
    let mut last = None;
    while let Some(entry) = rest.next_if(|_| data.len() < limit) {
        data.push(shown::entry(&scope, entry));
        last = entry.id.name();
    }
    let next = last.filter(|_| rest.peek().is_some());
    Ok(json(StatusCode::OK, json!({"data": data, "next_page": next}).to_string()))
}
