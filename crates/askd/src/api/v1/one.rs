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
use crate::runs::RunId;
use crate::runs::follow::{FollowError, KeptEvent};
use crate::store::runs::RunRow;

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
    let Some(seq) = row.result_seq.filter(|_| !row.events_expired) else { return Ok(None) };
    let event = async { app.runs().follow(id, seq.saturating_sub(1)).await?.next_events(1).await };
    match event.await {
        Ok(batch) => Ok(batch.map(|batch| batch.keep(seq))),
        // It went between the look at the run and this.
        Err(FollowError::Expired) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
