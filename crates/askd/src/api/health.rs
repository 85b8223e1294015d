//! `GET /health`: needs no key, asks nobody.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::app::App;

/// Says that the server is there, and how busy it is.
pub(super) async fn health(State(app): State<Arc<App>>) -> Json<Value> {
    let occupancy = app.runs().occupancy();
    Json(json!({
        "status": "ok",
        "version": env!("CARGO_PKG_VERSION"),
        "concurrency": { "active": occupancy.active, "max": occupancy.max, "queued": occupancy.queued },
    }))
}
