//! `GET /v1/isolation`: what confines runs, why not more, and what is not prevented.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;

use super::super::caller::Caller;
use super::super::error::ApiError;
use super::super::query;
use super::json;
use crate::app::App;
use crate::isolation::report::Report;

#[utoipa::path(
    get, path = "/v1/isolation", operation_id = "get_isolation", tag = "system",
    summary = "Read what confines runs",
    description = "What is in force, why not more, and what is not prevented.",
    responses((status = 200, description = "The report.", body = Report)),
)]
pub(super) async fn isolation(State(app): State<Arc<App>>, _: Caller, uri: Uri) -> Result<Response, ApiError> {
    query::none(&uri)?;
    // Words and numbers always serialise.
    let report = serde_json::to_vec(app.runs().shared().isolation.report()).unwrap_or_default();
    Ok(json(StatusCode::OK, report))
}
