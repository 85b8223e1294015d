//! The HTTP surface: one line a route.

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};

use crate::app::App;

pub mod again;
pub mod ask;
pub mod auth;
pub mod body;
pub mod caller;
pub mod conditions;
pub mod config;
pub mod dialect;
pub mod editor;
pub mod error;
pub mod fields;
pub mod front;
pub mod headers;
pub mod health;
pub mod idempotency;
pub mod options;
pub mod path;
pub mod query;
pub mod request_id;
pub mod scopes;
pub mod standing;
pub mod v1;

/// All routes, with what every request passes through.
pub fn router(app: Arc<App>) -> Router {
    let front = Arc::new(front::Front::new(app.settings()));
    let open = Router::new()
        .route("/health", get(health::health))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready));
    let keyed = Router::new().route("/ask", post(ask::ask)).merge(config::routes()).merge(v1::routes());
    let keyed = keyed.fallback(error::no_such_route);
    // The layer covers the fallback too: without a key nobody learns which routes there are.
    let keyed = keyed
        .method_not_allowed_fallback(error::no_such_method)
        .layer(from_fn(auth::require_scope))
        .layer(from_fn_with_state(Arc::clone(&front), front::shares::limit))
        .layer(from_fn_with_state((Arc::clone(&app), Arc::clone(&front)), front::rate::limit))
        .layer(from_fn_with_state((Arc::clone(&app), Arc::clone(&front)), auth::require_key));
    let open = open.method_not_allowed_fallback(error::no_such_method);
    front::wrap(open.merge(keyed).with_state(Arc::clone(&app)), app, &front)
}
