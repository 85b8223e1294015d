//! `GET /v1/runs/{id}`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;

use super::super::caller::Caller;
use super::super::error::ApiError;
use super::super::query;
use super::{find, run_answer};
use crate::app::App;
use crate::encode::run::Run;
use crate::runs::follow::{FollowError, KeptEvent};
use crate::runs::{RunId, RunState};
use crate::store::runs::RunRow;

#[utoipa::path(
    get, path = "/v1/runs/{id}", operation_id = "get_run", tag = "runs",
    summary = "Read a run",
    description = "Read a run.",
    params(("id" = String, Path, description = "The run's id.")),
    responses((status = 200, description = "The run.", body = Run<'static>)),
)]
pub(super) async fn one(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, ApiError> {
    query::none(&uri)?;
    let (id, row) = find(&app, caller.key(), &id).await?;
    run_answer(&app, StatusCode::OK, id, &row).await
}

/// The last result of a run; `None` if it has none, or if it is no longer kept.
pub(super) async fn result(app: &App, id: RunId, row: &RunRow) -> Result<Option<KeptEvent>, ApiError> {
    event(app, id, row, row.result_seq).await
}

/// The last message of a run that has ended without a full answer; `None` if there is none, or it is no longer kept.
pub(super) async fn last_words(app: &App, id: RunId, row: &RunRow) -> Result<Option<KeptEvent>, ApiError> {
    let is_partial =
        RunState::from_word(&row.state).is_some_and(|state| state.is_final() && state != RunState::Completed);
    event(app, id, row, row.answer_seq.filter(|_| is_partial)).await
}

async fn event(app: &App, id: RunId, row: &RunRow, seq: Option<u64>) -> Result<Option<KeptEvent>, ApiError> {
    let Some(seq) = seq.filter(|_| !row.events_expired) else { return Ok(None) };
    let event = async { app.runs().follow(id, seq.saturating_sub(1)).await?.next_events(1).await };
    match event.await {
        Ok(batch) => Ok(batch.map(|batch| batch.keep(seq))),
        // It went between the look at the run and this.
        Err(FollowError::Expired) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
