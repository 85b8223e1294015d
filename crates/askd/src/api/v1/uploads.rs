//! `/v1/uploads`: pictures and documents that are sent once, as they are, and named by their ids in `content` of runs.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::super::caller::Caller;
use super::super::error::ApiError;
use super::super::error::code::ErrorCode;
use super::super::path::PathOf;
use super::super::query::{self, Query};
use super::list::{DEFAULT_LIMIT, MAX_LIMIT};
use super::{json as answer, place};
use crate::api::openapi::routes::{Routes, routes};
use crate::api::openapi::{parameters, told};
use crate::app::App;
use crate::encode::time::rfc3339;
use crate::runs::uploads::UploadId;
use crate::store::uploads::{DeleteUpload, Deleted, UploadFilter, UploadRow};

mod asked;
mod receive;
mod spelling;

use asked::Asked;
pub(in crate::api) use asked::MAX_NAME;

/// The routes, without what stands before them.
pub(super) fn routes() -> Routes {
    Routes::default().routes(routes!(list, create)).routes(routes!(one, delete))
}

/// `POST /v1/uploads`: the body is the upload.
#[utoipa::path(
    post, path = "/v1/uploads", operation_id = "create_upload", tag = "uploads",
    summary = "Upload a picture or document",
    description = "The body is the upload, as it is. An `Idempotency-Key` is refused.",
    params(parameters::UploadName),
    request_body(description = "The bytes themselves.", content((Vec<u8> = "image/png"), (Vec<u8> = "image/jpeg"), (Vec<u8> = "image/gif"), (Vec<u8> = "image/webp"), (Vec<u8> = "application/pdf"), (String = "text/plain"))),
    responses((status = 201, description = "The upload.", body = told::Upload)),
)]
async fn create(State(app): State<Arc<App>>, caller: Caller, request: Request) -> Response {
    let taken = take(&app, &caller, request).await;
    taken.unwrap_or_else(|error| {
        // What was refused may not have been read to its end: a client that sent its next request behind it would lose
        // that one.
        let mut response = error.into_response();
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    })
}

async fn take(app: &Arc<App>, caller: &Caller, request: Request) -> Result<Response, ApiError> {
    let asked = Asked::of(&request, app)?;
    let (head, body) = request.into_parts();
    let upload = receive::receive(app, caller, asked, &head, body).await?;
    let mut response = answer(StatusCode::CREATED, shown(&upload).to_string());
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/uploads/{}", upload.id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// `GET /v1/uploads`: the newest first.
#[utoipa::path(
    get, path = "/v1/uploads", operation_id = "list_uploads", tag = "uploads",
    summary = "List uploads",
    description = "The newest first.",
    params(parameters::Paging),
    responses((status = 200, description = "A part of the list.", body = told::Page<told::Upload>)),
)]
async fn list(State(app): State<Arc<App>>, caller: Caller, uri: Uri) -> Result<Response, ApiError> {
    let mut query = Query::of(&uri)?;
    let limit = query.limit("limit", DEFAULT_LIMIT, MAX_LIMIT)?;
    let page = query.take("page")?.map(|page| place::read_of(&page)).transpose()?;
    query.finish(&["limit", "page"])?;
    let filter = UploadFilter {
        key_id: whose(&caller),
        before: page.map(|(time, id)| (time, UploadId(id).to_string())),
        now: now(&app),
        // One more than is shown tells whether there is a next page.
        limit: limit + 1,
    };
    let mut uploads = app.runs().shared().store.uploads(&filter).await?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = uploads.len() > most;
    uploads.truncate(most);
    let next = uploads.last().filter(|_| more).and_then(token);
    let data: Vec<_> = uploads.iter().map(shown).collect();
    Ok(answer(StatusCode::OK, json!({"data": data, "next_page": next}).to_string()))
}

/// The place behind an upload, for the next page.
fn token(last: &UploadRow) -> Option<String> {
    Some(place::token_of(last.created_at, UploadId::parse(&last.id)?.0))
}

/// `GET /v1/uploads/{id}`.
#[utoipa::path(
    get, path = "/v1/uploads/{id}", operation_id = "get_upload", tag = "uploads",
    summary = "Read what is known of an upload",
    description = "Read what is known of an upload.",
    params(("id" = String, Path, description = "The upload's id.")),
    responses((status = 200, description = "The upload.", body = told::Upload)),
)]
async fn one(
    State(app): State<Arc<App>>,
    caller: Caller,
    PathOf(id): PathOf<String>,
    uri: Uri,
) -> Result<Response, ApiError> {
    query::none(&uri)?;
    let upload = find(&app, &caller, &id).await?;
    Ok(answer(StatusCode::OK, shown(&upload).to_string()))
}

/// `DELETE /v1/uploads/{id}`.
#[utoipa::path(
    delete, path = "/v1/uploads/{id}", operation_id = "delete_upload", tag = "uploads",
    summary = "Remove an upload",
    description = "Remove an upload.",
    params(("id" = String, Path, description = "The upload's id.")),
    responses((status = 204, description = "It is gone.")),
)]
async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    PathOf(id): PathOf<String>,
    uri: Uri,
) -> Result<Response, ApiError> {
    query::none(&uri)?;
    let upload = find(&app, &caller, &id).await?;
    let delete = DeleteUpload { id: upload.id, key_id: whose(&caller), now: now(&app) };
    match app.runs().shared().store.write(delete).await? {
        Deleted::Done => {}
        Deleted::Unknown => return Err(unknown(&id)),
        Deleted::InUse => {
            let message = format!("the upload {id} is needed by a run that has not ended");
            let hint = "delete it when the run has ended, or cancel the run; it also goes by itself, at its expires_at";
            return Err(ApiError::conflict(message).with_hint(hint));
        }
    }
    clear(&app);
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// Removes what is over, beside the request. What fails here is done by the next look for what is old.
fn clear(app: &Arc<App>) {
    let there = Arc::clone(app);
    app.lifecycle().spawn(async move {
        if let Err(error) = there.runs().shared().store.clear_uploads(now(&there)).await {
            tracing::debug!(%error, "uploads that are over are not removed yet");
        }
    });
}

/// An upload that the key has. One that it may not see is one that there is not.
async fn find(app: &App, caller: &Caller, id: &str) -> Result<UploadRow, ApiError> {
    let parsed = UploadId::parse(id).ok_or_else(|| unknown(id))?;
    match app.runs().shared().store.upload(&parsed.to_string(), now(app)).await? {
        Some(upload) if caller.key().sees(&upload.key_id) => Ok(upload),
        Some(upload) => Err(unknown(id).with_of_others("upload", upload.id)),
        None => Err(unknown(id)),
    }
}

fn unknown(id: &str) -> ApiError {
    let short: String = id.chars().take(60).collect();
    ApiError::new(ErrorCode::NotFound, format!("there is no upload {short}"))
}

/// Whose uploads the key sees; `None`: all.
fn whose(caller: &Caller) -> Option<String> {
    (!caller.key().sees_all()).then(|| caller.key_id().to_owned())
}

fn now(app: &App) -> i64 {
    app.runs().shared().ambient.now().as_millisecond()
}

/// An upload as clients see it.
fn shown(upload: &UploadRow) -> Value {
    json!({
        "type": "upload",
        "id": upload.id,
        "key": upload.key_id,
        "media_type": upload.media_type,
        "name": upload.name,
        "size": upload.size,
        "sha256": upload.sha256,
        "created_at": rfc3339(upload.created_at),
        "expires_at": rfc3339(upload.expires_at),
    })
}
