//! `GET /v1/config/history/{id}/diff`: what a change did, or what has become of it since.

use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde_json::json;

use super::export::{PACKING, unfinished};
use super::history::find;
use crate::api::editor::Editor;
use crate::api::error::ApiError;
use crate::api::error::code::ErrorCode;
use crate::api::openapi::{parameters, told};
use crate::api::path::PathOf;
use crate::api::query::Query;
use crate::api::v1::json as answer;
use crate::config::change::Change;
use crate::config::diff as differences;
use crate::config::document::Content;

/// The word for what lies on the disk now.
const CURRENT: &str = "current";

#[utoipa::path(
    get, path = "/v1/config/history/{id}/diff", operation_id = "get_config_diff", tag = "configuration",
    summary = "Compare a change of the configuration",
    description = "With what was there before, with another change, or with what is there now.",
    params(("id" = String, Path, description = "The change's id."), parameters::CompareWith),
    responses((status = 200, description = "The differences.", body = told::config::ConfigDiff)),
)]
pub(super) async fn diff(editor: Editor, PathOf(id): PathOf<String>, uri: Uri) -> Result<Response, ApiError> {
    let mut query = Query::of(&uri)?;
    let to = query.take("to")?;
    query.finish(&["to"])?;
    let (change, content) = find(&editor, &id).await?;
    let content = kept(&change, content)?;
    let id = change.id.to_string();
    let (from, to, (old, new)) = match to.as_deref() {
        None => {
            let (from, before) = before(&editor, &change).await?;
            (from, Some(id), (before, content))
        }
        Some(CURRENT) => {
            let current = editor.config().read(&change.scope, &change.document).await?.map(|found| found.content);
            if let Some(current) = &current {
                editor.must_see(&change.scope, change.document.kind(), current)?;
            }
            (Some(id), Some(CURRENT.to_owned()), (content, current))
        }
        Some(other) => {
            let (other, newer) = find(&editor, other).await?;
            if (&other.scope, &other.document) != (&change.scope, &change.document) {
                return Err(ApiError::param("to", "must be a change of the same document"));
            }
            let newer = kept(&other, newer)?;
            (Some(id), Some(other.id.to_string()), (content, newer))
        }
    };
    let compared = PACKING.run(move || differences::diff(old.as_ref(), new.as_ref())).await;
    let text = compared.map_err(unfinished)?;
    let shown = json!({"type": "config_diff", "from": from, "to": to, "diff": text});
    Ok(answer(StatusCode::OK, shown.to_string()))
}

/// What was there before a change: what the change before it left.
async fn before(editor: &Editor, change: &Change) -> Result<(Option<String>, Option<Content>), ApiError> {
    let Some(etag) = change.before else { return Ok((None, None)) };
    let earlier =
        editor.config().history(Some(&change.scope), Some(&change.document), Some(change.id), LOOKED_AT).await?;
    for earlier in earlier.into_iter().filter(|earlier| earlier.after == Some(etag)) {
        if let Some((found, Some(content))) = editor.config().change(&earlier.id).await? {
            // What a change has removed may be what only others see: both sides are shown.
            editor.must_see(&found.scope, found.document.kind(), &content)?;
            return Ok((Some(found.id.to_string()), Some(content)));
        }
    }
    Err(gone())
}

/// Changes that were abandoned stand between; more than a few are not looked through.
const LOOKED_AT: u64 = 20;

/// The content that a change left, unless that version is no longer there.
fn kept(change: &Change, content: Option<Content>) -> Result<Option<Content>, ApiError> {
    if change.after.is_some() && content.is_none() { Err(gone()) } else { Ok(content) }
}

fn gone() -> ApiError {
    ApiError::new(ErrorCode::NotFound, "that version is no longer kept").with_status(StatusCode::GONE)
}
