//! `GET /v1/config/export`: all of a scope as one file.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use tokio::sync::Semaphore;

use super::super::super::conditions;
use super::super::super::editor::Editor;
use super::super::super::error::ApiError;
use super::super::super::query::Query;
use super::super::json;
use super::scope;
use crate::aside::{Gate, Unfinished};
use crate::config::archive::{Format, write};
use crate::config::error::ConfigError;

/// Archives that are in memory at the same time; each is as large as the whole configuration.
pub(super) static ARCHIVES: Semaphore = Semaphore::const_new(2);

/// Packing and unpacking, which is work for a processor and not for the threads that serve.
pub(super) static PACKING: Gate = Gate::new(2, Duration::from_secs(30), 2 << 20);

pub(super) async fn export(editor: Editor, uri: Uri, headers: HeaderMap) -> Result<Response, ApiError> {
    let mut query = Query::of(&uri)?;
    let scope = scope(&mut query)?;
    let format = match query.take("format")?.as_deref() {
        None | Some("tar") => Format::Tar,
        Some("zip") => Format::Zip,
        Some(_) => return Err(ApiError::param("format", "must be tar or zip")),
    };
    query.finish(&["workspace", "format"])?;
    // Settings and MCP servers are part of it.
    editor.must_execute()?;
    // It is never closed.
    let _place = ARCHIVES.acquire().await;
    let documents = editor.config().all(&scope).await?;
    let etag = editor.config().overview(&scope).await?.etag;
    let packed = PACKING.run(move || write(format, &scope, &documents)).await.map_err(unfinished)??;
    let (media_type, disposition) = match format {
        Format::Tar => ("application/x-tar", "attachment; filename=\"askd-config.tar\""),
        Format::Zip => ("application/zip", "attachment; filename=\"askd-config.zip\""),
    };
    let mut response = json(StatusCode::OK, packed);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(header::CONTENT_DISPOSITION, HeaderValue::from_static(disposition));
    conditions::tagged(&headers, &etag, response)
}

pub(super) fn unfinished(unfinished: Unfinished) -> ApiError {
    ConfigError::from(unfinished).into()
}
