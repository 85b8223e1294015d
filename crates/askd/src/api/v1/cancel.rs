//! `POST /v1/runs/{id}/cancel`: ends a run, whether it waits or works.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;

use super::super::caller::Caller;
use super::super::error::ApiError;
use super::super::idempotency::Key;
use super::super::query;
use super::command::{elsewhere, note, once};
use super::{find, run_answer};
use crate::api::openapi::parameters;
use crate::app::App;
use crate::audit::Action;
use crate::encode::run::Run;
use crate::runs::{RunId, RunState};

const ROUTE: &str = "POST /v1/runs/{id}/cancel";

#[utoipa::path(
    post, path = "/v1/runs/{id}/cancel", operation_id = "cancel_run", tag = "runs",
    summary = "End a run",
    description = "Whether it waits or works.",
    params(("id" = String, Path, description = "The run's id."), parameters::IdempotencyKey),
    responses(
        (status = 200, description = "It had ended.", body = Run<'static>),
        (status = 202, description = "It is being ended.", body = Run<'static>),
    ),
)]
pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    query::none(&uri)?;
    let promise = Key::of(&headers)?.map(|key| key.promise(ROUTE, &id));
    let (id, row) = find(&app, caller.key(), &id).await?;
    if is_over(&row.state) {
        return run_answer(&app, StatusCode::OK, id, &row).await;
    }
    let act = {
        let (app, caller) = (Arc::clone(&app), caller.clone());
        async move { end(&app, &caller, id).await }
    };
    // The answer is the run as it is, so a repetition is told nothing that is out of date.
    once(&app, caller.key_id(), promise, id, "{}".to_owned(), act).await?;
    let (id, row) = find(&app, caller.key(), &id.to_string()).await?;
    run_answer(&app, StatusCode::ACCEPTED, id, &row).await
}

async fn end(app: &Arc<App>, caller: &Caller, id: RunId) -> Result<(), ApiError> {
    if let Some(live) = app.runs().live(id) {
        live.cancel();
        note(app, caller, Action::RunCancelled, id).await;
        return Ok(());
    }
    // It may have ended since it was looked at.
    let (_, row) = find(app, caller.key(), &id.to_string()).await?;
    if is_over(&row.state) { Ok(()) } else { Err(elsewhere()) }
}

fn is_over(state: &str) -> bool {
    RunState::from_word(state).is_none_or(RunState::is_final)
}
