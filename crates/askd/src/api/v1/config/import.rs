//! `POST /v1/config/import`: many documents at once, all or none.

use axum::extract::Request;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde_json::json;

use super::export::{PACKING, place, unfinished};
use super::scope;
use crate::api::body::{config_bytes, media_type};
use crate::api::conditions;
use crate::api::editor::Editor;
use crate::api::error::ApiError;
use crate::api::openapi::{parameters, told};
use crate::api::query::Query;
use crate::api::v1::json as answer;
use crate::config::archive::{Format, read};
use crate::config::change::Import;
use crate::config::error::ConfigError;
use crate::config::name::DocumentId;
use crate::config::scope::Scope;

struct Manner {
    scope: Scope,
    mode: Import,
    dry_run: bool,
}

impl Manner {
    fn of(editor: &Editor, uri: &Uri) -> Result<Self, ApiError> {
        let mut query = Query::of(uri)?;
        let scope = scope(editor, &mut query)?;
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

#[utoipa::path(
    post, path = "/v1/config/import", operation_id = "import_config", tag = "configuration",
    summary = "Write many documents at once",
    description = "All of them, or none.",
    params(parameters::Workspace, parameters::ImportManner, parameters::ChangeCondition),
    request_body(description = "The archive.", content((Vec<u8> = "application/x-tar"), (Vec<u8> = "application/zip"))),
    responses((status = 200, description = "What became of it.", body = told::config::ConfigImport)),
)]
pub(super) async fn import(editor: Editor, request: Request) -> Result<Response, ApiError> {
    let Manner { scope, mode, dry_run } = Manner::of(&editor, request.uri())?;
    editor.must_write(&scope)?;
    let condition = conditions::of_change(request.headers())?;
    let format = match &*media_type(request.headers()) {
        "application/x-tar" => Format::Tar,
        "application/zip" => Format::Zip,
        _ => {
            let message = "the request must have the header content-type: application/x-tar or application/zip";
            let hint = "curl -H 'content-type: application/x-tar' --data-binary @config.tar";
            let error = ApiError::request(message).with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE);
            return Err(error.with_hint(hint));
        }
    };
    let (bytes, large) = config_bytes(request, editor.server()).await?;
    let _place = place().await?;
    let (limits, whose) = (*editor.config().limits(), scope.clone());
    let unpacking = PACKING.run(move || {
        // As long as the body: the client may leave meanwhile.
        let _large = large;
        read(format, &whose, &bytes, &limits)
    });
    let unpacked = unpacking.await;
    let documents = unpacked.map_err(unfinished)??;
    if documents.is_empty() && mode == Import::Replace {
        let message = "the archive holds no document, and mode=replace would remove the whole configuration";
        return Err(ApiError::request(message).with_hint("remove documents one by one with DELETE"));
    }
    let replaced = editor.config().replace(&scope, documents, mode, dry_run, &condition, &editor.author()).await;
    let mut imported = replaced.map_err(refused)?;
    imported.warnings.extend(editor.kept_out(&scope).await);
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

/// Says which files of the archive are in the way: an export may hold what was broken on the disk before.
fn refused(error: ConfigError) -> ApiError {
    /// As many as one can act on at a time.
    const SHOWN: usize = 5;
    let ConfigError::Invalid(report) = &error else { return error.into() };
    let mut files: Vec<_> = report.errors.iter().filter_map(|problem| problem.file.clone()).collect();
    files.dedup();
    let more = files.len().saturating_sub(SHOWN);
    files.truncate(SHOWN);
    let names = files.iter().map(|file| format!("`{file}`")).collect::<Vec<_>>().join(", ");
    let rest = if more == 0 { String::new() } else { format!(" and {more} more") };
    let hint = format!("in the archive, mend or leave out {names}{rest}");
    ApiError::from(error).with_hint(hint)
}
