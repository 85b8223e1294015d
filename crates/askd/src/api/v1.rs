//! `/v1`: runs and their events, uploads for them, what confines them, the configuration, and keys and what was done
//! with them.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

use super::error::ApiError;
use super::error::code::ErrorCode;
use super::openapi::routes::{Routes, routes};
use crate::app::App;
use crate::encode::run::{Detail, encode};
use crate::keys::Key;
use crate::runs::RunId;
use crate::runs::follow::KeptEvent;
use crate::store::runs::RunRow;

mod accept;
pub mod audit;
pub mod cancel;
mod command;
pub mod config;
pub mod create;
mod event_stream;
pub mod events;
pub mod info;
pub mod input;
pub mod isolation;
pub mod keys;
pub mod list;
pub mod one;
pub mod page;
mod place;
pub mod stream_token;
pub mod uploads;
pub mod usage;
mod wait;

/// The routes, without what stands before them.
pub(super) fn routes() -> Routes {
    Routes::default()
        .routes(routes!(list::list, create::create))
        .routes(routes!(one::one))
        .routes(routes!(events::events))
        .routes(routes!(stream_token::create))
        .routes(routes!(cancel::cancel))
        .routes(routes!(input::interrupt))
        .routes(routes!(input::input))
        .routes(routes!(info::info))
        .routes(routes!(isolation::isolation))
        .merge(config::routes())
        .merge(keys::routes())
        .merge(uploads::routes())
        .routes(routes!(usage::usage))
        .routes(routes!(audit::audit))
}

/// The run of a path. One that the key may not see is one that there is not.
async fn find(app: &App, key: &Key, id: &str) -> Result<(RunId, RunRow), ApiError> {
    let short: String = id.chars().take(60).collect();
    let unknown = || ApiError::new(ErrorCode::NotFound, format!("there is no run {short}"));
    let id = RunId::parse(id).ok_or_else(unknown)?;
    match app.runs().shared().store.run(&id.to_string()).await? {
        Some(row) if key.sees(&row.key_id) => Ok((id, row)),
        Some(_) => Err(unknown().with_of_others("run", id.to_string())),
        None => Err(unknown()),
    }
}

/// A run in an answer, with all that is known of it.
async fn run_answer(app: &App, status: StatusCode, id: RunId, row: &RunRow) -> Result<Response, ApiError> {
    Ok(json(status, run_body(app, id, row).await?))
}

/// The same without the answer around it.
async fn run_body(app: &App, id: RunId, row: &RunRow) -> Result<Vec<u8>, ApiError> {
    let mut metadata = app.runs().shared().store.metadata(std::slice::from_ref(&row.id)).await?;
    let metadata = metadata.remove(&row.id).unwrap_or_default();
    let result = one::result(app, id, row).await?;
    let result = result.as_ref().map(KeptEvent::data);
    let last_words = one::last_words(app, id, row).await?;
    let last_words = last_words.as_ref().map(KeptEvent::data);
    Ok(encode(row, &metadata, Detail::Single { result, last_words }))
}

fn json(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
