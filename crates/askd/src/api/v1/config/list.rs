//! `GET /v1/config/{kind}`: what there is of a kind, by name, page by page.

use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde_json::json;

use super::{check_scope, scope, shown};
use crate::api::editor::Editor;
use crate::api::error::ApiError;
use crate::api::query::Query;
use crate::api::v1::json;
use crate::api::v1::list::{DEFAULT_LIMIT, MAX_LIMIT};
use crate::config::change::Page;
use crate::config::kind::Kind;
use crate::config::name::DocumentId;

pub(super) async fn list(editor: &Editor, kind: Kind, uri: &Uri) -> Result<Response, ApiError> {
    let mut query = Query::of(uri)?;
    let scope = scope(editor, &mut query)?;
    let limit = usize::try_from(query.limit("limit", DEFAULT_LIMIT, MAX_LIMIT)?).unwrap_or(usize::MAX);
    let page = query.take("page")?;
    query.finish(&["workspace", "limit", "page"])?;
    check_scope(&scope, kind)?;
    // A page begins behind a name, which need not be there any more.
    if page.as_ref().is_some_and(|name| DocumentId::new(kind, Some(name)).is_err()) {
        return Err(ApiError::param("page", "must be the next_page of an earlier answer"));
    }
    let page = Page { after: page, offset: 0, limit, nested: true };
    let listed = editor.config().list(&scope, kind, page).await?;
    let data: Vec<_> = listed.entries.iter().map(|entry| shown::entry(&scope, entry)).collect();
    Ok(json(StatusCode::OK, json!({"data": data, "next_page": listed.next}).to_string()))
}
