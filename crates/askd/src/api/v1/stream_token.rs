//! `POST /v1/runs/{id}/stream-token`: for browsers, whose `EventSource` sends no headers. A token opens the events of one
//! run for five minutes, and nothing else.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::super::caller::Caller;
use super::super::error::ApiError;
use super::super::error::code::ErrorCode;
use super::super::query::{self, Query};
use super::{events, find};
use crate::api::openapi::told;
use crate::app::App;
use crate::encode::time::rfc3339;
use crate::hex::hex;
use crate::keys::Key;
use crate::store::tokens::Create;

/// The query parameter that carries it.
pub(super) const PARAMETER: &str = "token";
const LIFETIME_MS: i64 = 5 * 60 * 1000;
/// Two random ids: 244 bits that nobody guesses.
const LENGTH: usize = 64;

/// Makes one. Only its hash is kept, so that a copy of the store opens nothing.
#[utoipa::path(
    post, path = "/v1/runs/{id}/stream-token", operation_id = "create_stream_token", tag = "events",
    summary = "Make a token for the events of a run",
    description = "For browsers, whose `EventSource` sends no headers. It counts for five minutes, for this run alone.",
    params(("id" = String, Path, description = "The run's id.")),
    responses((status = 201, description = "The token.", body = told::StreamToken)),
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, ApiError> {
    query::none(&uri)?;
    let (id, _) = find(&app, caller.key(), &id).await?;
    let shared = app.runs().shared();
    let ambient = &shared.ambient;
    let token = format!("{}{}", ambient.uuid().simple(), ambient.uuid().simple());
    let expires_at = ambient.now().as_millisecond() + LIFETIME_MS;
    let (token_hash, key_id) = (hash(&token), caller.key_id().to_owned());
    shared.store.write(Create { token_hash, run_id: id.to_string(), key_id, expires_at }).await?;
    let url = format!("{}?{PARAMETER}={token}", path(&id.to_string()));
    let answer = json!({"type": "stream_token", "token": token, "expires_at": rfc3339(expires_at), "url": url});
    Ok(super::json(StatusCode::CREATED, answer.to_string()))
}

/// The token of a query, if it has one.
pub(in crate::api) fn of_query(uri: &Uri) -> Option<String> {
    Query::of(uri).ok()?.take(PARAMETER).ok()?
}

/// The key that has made the token, if it is for the events at this path. It counts no longer than that key does.
pub(in crate::api) async fn check(app: &App, requested: &str, token: &str) -> Result<Arc<Key>, ApiError> {
    let wrong = || ApiError::new(ErrorCode::Unauthorized, "the token is not valid for these events, or has expired");
    // The store is not asked for what cannot be one: nobody has shown a key yet.
    if token.len() != LENGTH || !token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let shared = app.runs().shared();
    let now = shared.ambient.now();
    let (run, maker) = shared.store.run_of_token(&hash(token), now.as_millisecond()).await?.ok_or_else(wrong)?;
    if path(&run) != requested {
        return Err(wrong());
    }
    let maker = shared.keys.find(&maker).await?.ok_or_else(wrong)?;
    match maker.invalid_at(now) {
        None => Ok(maker),
        Some(why) => {
            let message = format!("the key that made this token {}", why.as_str());
            Err(ApiError::new(ErrorCode::Unauthorized, message))
        }
    }
}

fn path(run: &str) -> String {
    events::ROUTE.replace("{id}", run)
}

fn hash(token: &str) -> String {
    hex(&Sha256::digest(token.as_bytes()))
}
