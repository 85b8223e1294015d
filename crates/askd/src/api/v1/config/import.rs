//! `POST /v1/config/import`: many documents at once, all or none.

use axum::extract::Request;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde_json::json;

use super::super::super::body::{config_bytes, media_type};
use super::super::super::conditions;
use super::super::super::editor::Editor;
use super::super::super::error::ApiError;
use super::super::super::query::Query;
use super::super::json as answer;
use super::export::{ARCHIVES, PACKING, unfinished};
use super::scope;
use crate::config::archive::{Format, read};
use crate::config::change::Import;
use crate::config::name::DocumentId;
use crate::config::scope::Scope;

struct Manner {
    scope: Scope,
    mode: Import,
    dry_run: bool,
}

impl Manner {
    fn of(uri: &Uri) -> Result<Self, ApiError> {
        let mut query = Query::of(uri)?;
        let scope = scope(&mut query)?;
        let mode = match query.take("mode")?.as_deref() {
            None | Some("merge") => Import::Merge,
            Some("replace") => Import::Replace,
            Some(_) => return Err(ApiError::param("mode", "must be merge or replace")),
        };
        let dry_run = query.flag("dry_run")?.unwrap_or(false);
        query.finish(&["workspace", "mode", "dry_run"])?;
        Ok(Self { scope, mode, dry_run })
    }
}

pub(super) async fn import(editor: Editor, request: Request) -> Result<Response, ApiError> {
    let Manner { scope, mode, dry_run } = Manner::of(request.uri())?;
    editor.must_write()?;
    let condition = conditions::of_change(request.headers())?;
    let format = match &*media_type(request.headers()) {
        "application/x-tar" => Format::Tar,
        "application/zip" => Format::Zip,
        _ => {
            let message = "the request must have the header content-type: application/x-tar or application/zip";
            return Err(ApiError::request(message).with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
    };
    let (bytes, _large) = config_bytes(request, editor.server()).await?;
    // It is never closed.
    let _place = ARCHIVES.acquire().await;
    let (limits, whose) = (*editor.config().limits(), scope.clone());
    let unpacked = PACKING.run(move || read(format, &whose, &bytes, &limits)).await;
    let documents = unpacked.map_err(unfinished)??;
    let imported = editor.config().replace(&scope, documents, mode, dry_run, &condition, &editor.author()).await?;
    let names = |ids: &[DocumentId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    let shown = json!({
        "type": "config_import",
        "workspace": scope.workspace(),
        "dry_run": dry_run,
        "created": names(&imported.created),
        "updated": names(&imported.updated),
        "removed": names(&imported.removed),
        "unchanged": imported.unchanged,
        "warnings": imported.warnings,
        "etag": imported.etag.map(|etag| etag.to_string()),
    });
    let mut response = answer(StatusCode::OK, shown.to_string());
    if let Some(etag) = &imported.etag {
        conditions::tag(&mut response, etag);
    }
    Ok(response)
}
