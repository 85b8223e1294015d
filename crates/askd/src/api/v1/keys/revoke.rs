//! `POST /v1/keys/{id}/revoke`: the key counts no more, from this moment on.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::super::super::body::optional_object;
use super::super::super::caller::Caller;
use super::super::super::error::ApiError;
use super::super::super::error::code::ErrorCode;
use super::super::super::path::PathOf;
use super::super::super::query;
use super::super::json as answer;
use super::{asked, changed, listed, now};
use crate::api::openapi::{sent, told};
use crate::app::App;
use crate::audit::{Action, Actor, Event};
use crate::keys::change::RunsOfRevoked;
use crate::keys::entry::Entry;
use crate::runs::of_key::Ended;

/// Revokes a key. Its runs end with it, unless the body says that they are to be kept; what waits does not begin in
/// either case.
#[utoipa::path(
    post, path = "/v1/keys/{id}/revoke", operation_id = "revoke_key", tag = "keys and usage",
    summary = "Revoke a key",
    description = "It counts no more, from this moment on.",
    params(("id" = String, Path, description = "The key's id.")),
    request_body = Option<sent::RevokeRequest>,
    responses((status = 200, description = "The key.", body = told::Key)),
)]
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    caller: Caller,
    PathOf(id): PathOf<String>,
    request: Request,
) -> Result<Response, ApiError> {
    query::none(request.uri())?;
    let runs = optional_object(request, &app.settings().server, asked::runs).await?;
    // In a task of its own: a client that leaves must not leave the runs of a revoked key behind.
    let (sender, revoked) = oneshot::channel();
    let (app_there, actor) = (Arc::clone(&app), caller.actor());
    app.lifecycle().spawn(async move {
        // Nobody may wait for it any more.
        drop(sender.send(both(&app_there, &id, &actor, runs).await));
    });
    let mistake = || ApiError::new(ErrorCode::InternalError, "the server made a mistake; its log has the details");
    let key = revoked.await.unwrap_or_else(|_| Err(mistake()))?;
    Ok(answer(StatusCode::OK, key.to_string()))
}

/// Again, for a key that is revoked already, ends what is left of its runs.
async fn both(app: &App, id: &str, actor: &Actor, runs: RunsOfRevoked) -> Result<Value, ApiError> {
    let entry = match app.runs().shared().keys.revoke(id, runs, actor).await {
        Ok(entry) => entry,
        Err(error) => revoked_by_itself(app, id, actor).await.ok_or_else(|| changed(error))?,
    };
    let ended = match runs {
        RunsOfRevoked::Cancel => {
            app.runs().end_all_of(entry.id(), &format!("the key {} was revoked", entry.id())).await?
        }
        RunsOfRevoked::Keep => Ended::default(),
    };
    note(app, actor, entry.id(), &ended).await;
    let mut shown = listed(&entry, now(app));
    shown["runs_ended"] = ended.here.into();
    shown["runs_elsewhere"] = ended.elsewhere.into();
    Ok(shown)
}

/// The key, if it was to revoke itself and has: the word of the commit was lost, and it can never ask again.
async fn revoked_by_itself(app: &App, id: &str, actor: &Actor) -> Option<Entry> {
    if actor.key_id.as_deref() != Some(id) {
        return None;
    }
    let found = app.runs().shared().keys.look(id).await.ok()?;
    found.filter(|entry| matches!(entry, Entry::Key(key) if key.revoked_at.is_some()))
}

/// Notes in the audit which runs have ended with the key. They have, whether it can be noted or not.
async fn note(app: &App, actor: &Actor, id: &str, ended: &Ended) {
    if *ended == Ended::default() {
        return;
    }
    let detail = json!({"ended": ended.here, "elsewhere": ended.elsewhere, "runs": ended.first});
    let event = Event { action: Action::KeyRunsEnded, subject: Some(id.to_owned()), detail };
    if let Err(error) = app.runs().shared().audit.record(actor, event).await {
        tracing::warn!(key = id, %error, "that runs have ended with their key could not be written to the audit");
    }
}
