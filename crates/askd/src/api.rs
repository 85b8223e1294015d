//! The HTTP surface: one line a route.

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::app::App;

pub mod ask;
pub mod auth;
pub mod body;
pub mod error;
pub mod front;
pub mod health;
pub mod request_id;

/// All routes, with what every request passes through.
pub fn router(app: Arc<App>) -> Router {
    let open = Router::new().route("/health", get(health::health));
    let keyed = Router::new()
        .route("/ask", post(ask::ask))
        .route_layer(axum::middleware::from_fn_with_state(Arc::clone(&app), auth::require_key));
    let routes = open
        .merge(keyed)
        .fallback(error::no_such_route)
        .method_not_allowed_fallback(error::no_such_method)
        .with_state(app);
    front::wrap(routes)
}
