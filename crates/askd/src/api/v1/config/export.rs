//! `GET /v1/config/export`: all of a scope as one file.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::scope;
use crate::api::conditions;
use crate::api::editor::Editor;
use crate::api::error::ApiError;
use crate::api::headers::warn;
use crate::api::openapi::parameters;
use crate::api::query::Query;
use crate::api::v1::json;
use crate::aside::{Gate, Unfinished};
use crate::config::archive::{Format, write};
use crate::config::change::Export;
use crate::config::error::ConfigError;
use crate::encode::fold::MAX_WARNINGS;

/// Archives that are in memory at the same time; each is as large as the whole configuration.
static ARCHIVES: Semaphore = Semaphore::const_new(2);

/// How long a request waits for the archives of others.
const PATIENCE: Duration = Duration::from_secs(30);

/// Packing, unpacking and comparing, which is work for a processor and not for the threads that serve.
pub(super) static PACKING: Gate = Gate::new(2, Duration::from_secs(30), 2 << 20);

#[utoipa::path(
    get, path = "/v1/config/export", operation_id = "export_config", tag = "configuration",
    summary = "Read the whole configuration as an archive",
    description = "Read the whole configuration as an archive.",
    params(parameters::Workspace, parameters::ArchiveFormat, parameters::IfNoneMatch),
    responses(
        (status = 200, description = "The archive.", content((Vec<u8> = "application/x-tar"), (Vec<u8> = "application/zip"))),
    ),
)]
pub(super) async fn export(editor: Editor, uri: Uri, headers: HeaderMap) -> Result<Response, ApiError> {
    let mut query = Query::of(&uri)?;
    let scope = scope(&editor, &mut query)?;
    let format = match query.take("format")?.as_deref() {
        None | Some("tar") => Format::Tar,
        Some("zip") => Format::Zip,
        Some(_) => return Err(ApiError::param("format", "must be tar or zip")),
    };
    query.finish(&["workspace", "format"])?;
    // Settings and MCP servers are part of it.
    editor.must_execute(&scope)?;
    let _place = place().await?;
    let Export { documents, etag, warnings } = editor.config().export(&scope).await?;
    let packed = PACKING.run(move || write(format, &scope, &documents)).await.map_err(unfinished)??;
    let (media_type, disposition) = match format {
        Format::Tar => ("application/x-tar", "attachment; filename=\"askd-config.tar\""),
        Format::Zip => ("application/zip", "attachment; filename=\"askd-config.zip\""),
    };
    let mut response = json(StatusCode::OK, packed);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(header::CONTENT_DISPOSITION, HeaderValue::from_static(disposition));
    let mut response = conditions::tagged(&headers, &etag, response)?;
    let mut told: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    if told.len() > MAX_WARNINGS {
        let more = told.len() - MAX_WARNINGS + 1;
        told.truncate(MAX_WARNINGS - 1);
        told.push(format!("and {more} more: POST /v1/config/validate with {{}} has all of them"));
    }
    warn(response.headers_mut(), told);
    Ok(response)
}

/// A place for an archive.
pub(super) async fn place() -> Result<SemaphorePermit<'static>, ApiError> {
    let place = timeout(PATIENCE, ARCHIVES.acquire()).await;
    // It is never closed.
    place.ok().and_then(Result::ok).ok_or_else(|| ConfigError::Busy.into())
}

pub(super) fn unfinished(unfinished: Unfinished) -> ApiError {
    ConfigError::from(unfinished).into()
}
