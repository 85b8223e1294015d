//! `/v1/keys`: makes, shows, changes, rotates and revokes keys. The secret of a key is in the answer that makes it, and in
//! no other.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::super::body::{json_object, optional_object};
use super::super::caller::Caller;
use super::super::conditions;
use super::super::error::ApiError;
use super::super::error::code::ErrorCode;
use super::super::idempotency::none_for_secrets;
use super::super::path::PathOf;
use super::super::query::{self, Query};
use super::list::{DEFAULT_LIMIT, MAX_LIMIT};
use super::usage::budget;
use super::{json as answer, place};
use crate::api::openapi::routes::{Routes, routes};
use crate::api::openapi::{parameters, sent, told};
use crate::app::App;
use crate::config::change::Condition;
use crate::keys::change::ChangeError;
use crate::keys::entry::Entry;
use crate::keys::{Key, KeyId};

mod asked;
mod revoke;
mod shown;
mod warnings;

pub(in crate::api) use asked::MAX_OVERLAP;
use shown::{etag, listed, shown, with_token};
use warnings::warnings;

/// The routes, without what stands before them.
pub(super) fn routes() -> Routes {
    Routes::default()
        .routes(routes!(list, create))
        .routes(routes!(own))
        .routes(routes!(one, update))
        .routes(routes!(rotate))
        .routes(routes!(revoke::revoke))
}

/// `POST /v1/keys`.
#[utoipa::path(
    post, path = "/v1/keys", operation_id = "create_key", tag = "keys and usage",
    summary = "Make a key",
    description = "Its secret is in this answer and in no other. An `Idempotency-Key` is refused, since the answer is not kept.",
    request_body = sent::NewKey,
    responses((status = 201, description = "The key with its secret.", body = told::Key)),
)]
async fn create(State(app): State<Arc<App>>, caller: Caller, request: Request) -> Result<Response, ApiError> {
    query::none(request.uri())?;
    none_for_secrets(request.headers())?;
    let new = json_object(request, &app.settings().server, asked::new).await?;
    // Before there is a secret that a client which leaves would lose.
    let warnings = warnings(&app, &new.policy).await;
    let made = app.runs().shared().keys.create(new, &caller.actor()).await.map_err(changed)?;
    let location = format!("/v1/keys/{}", made.key.id);
    let mut shown = with_token(&made, now(&app));
    shown["warnings"] = warnings.into();
    let mut response = tagged(answer(StatusCode::CREATED, shown.to_string()), Some(&made.key));
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// `GET /v1/keys`: the newest first.
#[utoipa::path(
    get, path = "/v1/keys", operation_id = "list_keys", tag = "keys and usage",
    summary = "List keys",
    description = "The newest first.",
    params(parameters::Paging),
    responses((status = 200, description = "A part of the list.", body = told::Page<told::Key>)),
)]
async fn list(State(app): State<Arc<App>>, _: Caller, uri: Uri) -> Result<Response, ApiError> {
    let mut query = Query::of(&uri)?;
    let limit = query.limit("limit", DEFAULT_LIMIT, MAX_LIMIT)?;
    let page = query.take("page")?.map(|page| place::read_of(&page)).transpose()?;
    query.finish(&["limit", "page"])?;
    let before = page.map(|(time, id)| (time, KeyId::new(id).to_string()));
    // One more than is shown tells whether there is a next page.
    let mut keys = app.runs().shared().keys.list(before, limit + 1).await?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = keys.len() > most;
    keys.truncate(most);
    let next = keys.last().filter(|_| more).and_then(token);
    let data: Vec<_> = keys.iter().map(|entry| listed(entry, now(&app))).collect();
    Ok(answer(StatusCode::OK, json!({"data": data, "next_page": next}).to_string()))
}

/// The place behind a key, for the next page.
fn token(last: &Entry) -> Option<String> {
    let id = Uuid::try_parse(last.id().strip_prefix(KeyId::PREFIX)?).ok()?;
    Some(place::token_of(last.created_at(), id))
}

/// `GET /v1/keys/{id}`.
#[utoipa::path(
    get, path = "/v1/keys/{id}", operation_id = "get_key", tag = "keys and usage",
    summary = "Read a key",
    description = "Read a key.",
    params(("id" = String, Path, description = "The key's id.")),
    responses((status = 200, description = "The key.", body = told::Key)),
)]
async fn one(
    State(app): State<Arc<App>>,
    _: Caller,
    PathOf(id): PathOf<String>,
    uri: Uri,
) -> Result<Response, ApiError> {
    query::none(&uri)?;
    let entry = app.runs().shared().keys.look(&id).await?.ok_or_else(|| unknown(&id))?;
    let response = answer(StatusCode::OK, listed(&entry, now(&app)).to_string());
    Ok(tagged(response, entry.key().map(|key| &**key)))
}

/// `GET /v1/keys/self`: the key that asks, and what is left of what it may spend today.
#[utoipa::path(
    get, path = "/v1/keys/self", operation_id = "get_own_key", tag = "keys and usage",
    summary = "Read the key that asks",
    description = "And what is left of what it may spend today.",
    responses((status = 200, description = "The key.", body = told::Key)),
)]
async fn own(State(app): State<Arc<App>>, caller: Caller, uri: Uri) -> Result<Response, ApiError> {
    query::none(&uri)?;
    let mut key = shown(caller.key(), now(&app));
    key["budget"] = budget(&app, caller.key()).await?;
    Ok(answer(StatusCode::OK, key.to_string()))
}

/// `PATCH /v1/keys/{id}`: what is named changes, the rest stays. With `If-Match` only if nobody has changed it meanwhile: a
/// policy is replaced as a whole.
#[utoipa::path(
    patch, path = "/v1/keys/{id}", operation_id = "update_key", tag = "keys and usage",
    summary = "Change a key",
    description = "What is named changes, the rest stays.",
    params(("id" = String, Path, description = "The key's id."), parameters::IfMatch),
    request_body = sent::KeyPatch,
    responses((status = 200, description = "The key.", body = told::Key)),
)]
async fn update(
    State(app): State<Arc<App>>,
    caller: Caller,
    PathOf(id): PathOf<String>,
    request: Request,
) -> Result<Response, ApiError> {
    query::none(request.uri())?;
    let condition = conditions::of_change(request.headers())?;
    let patch = json_object(request, &app.settings().server, asked::patch).await?;
    let is_meant = |key: &Key| match &condition {
        Condition::None | Condition::IfExists => true,
        Condition::IfAbsent => false,
        Condition::IfMatch(tags) => tags.contains(&etag(key)),
    };
    let is_meant = (!matches!(condition, Condition::None)).then_some(is_meant);
    let key = app.runs().shared().keys.update_if(&id, patch, is_meant, &caller.actor()).await.map_err(changed)?;
    let mut shown = shown(&key, now(&app));
    shown["warnings"] = warnings(&app, &key.policy).await.into();
    Ok(tagged(answer(StatusCode::OK, shown.to_string()), Some(&key)))
}

/// `POST /v1/keys/{id}/rotate`: a new secret.
#[utoipa::path(
    post, path = "/v1/keys/{id}/rotate", operation_id = "rotate_key", tag = "keys and usage",
    summary = "Replace the secret of a key",
    description = "The new secret is in this answer and in no other. An `Idempotency-Key` is refused.",
    params(("id" = String, Path, description = "The key's id.")),
    request_body = Option<sent::RotateRequest>,
    responses((status = 200, description = "The key with its new secret.", body = told::Key)),
)]
async fn rotate(
    State(app): State<Arc<App>>,
    caller: Caller,
    PathOf(id): PathOf<String>,
    request: Request,
) -> Result<Response, ApiError> {
    query::none(request.uri())?;
    none_for_secrets(request.headers())?;
    let overlap = optional_object(request, &app.settings().server, asked::overlap).await?;
    let made = app.runs().shared().keys.rotate(&id, overlap, &caller.actor()).await.map_err(changed)?;
    let shown = with_token(&made, now(&app));
    Ok(tagged(answer(StatusCode::OK, shown.to_string()), Some(&made.key)))
}

fn tagged(mut response: Response, key: Option<&Key>) -> Response {
    if let Some(key) = key {
        conditions::tag(&mut response, &etag(key));
    }
    response
}

fn now(app: &App) -> Timestamp {
    app.runs().shared().ambient.now()
}

fn unknown(id: &str) -> ApiError {
    let short: String = id.chars().take(60).collect();
    ApiError::new(ErrorCode::NotFound, format!("there is no key {short}"))
}

/// Why a key was not changed.
fn changed(error: ChangeError) -> ApiError {
    let message = error.to_string();
    match error {
        ChangeError::Invalid { field, message } => ApiError::param(&field, message),
        ChangeError::Unknown(id) => unknown(&id),
        ChangeError::Changed => {
            ApiError::request(message).with_status(StatusCode::PRECONDITION_FAILED).with_param("If-Match")
        }
        ChangeError::Revoked | ChangeError::Admin | ChangeError::TooMany(_) | ChangeError::Unreadable => {
            ApiError::conflict(message)
        }
        ChangeError::Actor => ApiError::new(ErrorCode::Unauthorized, message),
        ChangeError::Store(error) => error.into(),
    }
}
