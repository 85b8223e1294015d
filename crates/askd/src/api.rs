//! The HTTP surface: one line a route.

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;

use crate::app::App;
use crate::settings::InForce;
use crate::settings::groups::DocsAccess;

pub mod again;
pub mod ask;
pub mod auth;
pub mod body;
pub mod caller;
pub mod conditions;
pub mod config;
mod counted;
pub mod dialect;
pub mod editor;
pub mod error;
pub mod fields;
pub mod front;
pub mod headers;
pub mod health;
pub mod idempotency;
pub mod metrics;
pub mod openapi;
pub mod options;
pub mod path;
pub mod query;
pub mod request_id;
pub mod scopes;
pub mod standing;
pub mod v1;

use openapi::routes::{Routes, routes};

/// All routes, with what every request passes through.
pub fn router(app: Arc<App>) -> Router {
    let front = Arc::new(front::Front::new(&app.runs().shared().settings));
    let (mut open, mut keyed) = (Router::from(open_routes()), Router::from(keyed_routes()));
    match app.settings().server.docs_access() {
        DocsAccess::Open => open = open.merge(Router::from(openapi::page::routes())),
        DocsAccess::Key => keyed = keyed.merge(Router::from(openapi::page::routes())),
        DocsAccess::Off => {}
    }
    let keyed = keyed.fallback(error::no_such_route);
    // The layer covers the fallback too: without a key nobody learns which routes there are.
    let keyed = keyed
        .method_not_allowed_fallback(error::no_such_method)
        .layer(from_fn(auth::require_scope))
        .layer(from_fn_with_state((Arc::clone(&app), Arc::clone(&front)), front::shares::limit))
        .layer(from_fn_with_state((Arc::clone(&app), Arc::clone(&front)), front::rate::limit))
        .layer(from_fn_with_state((Arc::clone(&app), Arc::clone(&front)), auth::require_key));
    let open = open.method_not_allowed_fallback(error::no_such_method);
    front::wrap(open.merge(keyed).with_state(Arc::clone(&app)), app, &front)
}

/// The routes of the address for the monitoring, which need no key. `settings` are those of the server with that address in the
/// place of its own.
pub fn monitoring(app: Arc<App>, settings: &InForce) -> Router {
    let front = Arc::new(front::Front::new(settings));
    let routes = Router::new()
        .route("/metrics", get(metrics::read))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/startupz", get(health::started))
        .fallback(error::no_such_route)
        .method_not_allowed_fallback(error::no_such_method);
    front::wrap(routes.with_state(Arc::clone(&app)), app, &front)
}

/// The routes that need no key.
fn open_routes() -> Routes {
    Routes::default()
        .routes(routes!(health::health))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::started))
}

/// The routes that need a key. A route cannot be here without its entry in the OpenAPI file.
fn keyed_routes() -> Routes {
    Routes::default()
        .routes(routes!(ask::ask))
        .merge(config::routes())
        .merge(v1::routes())
        .routes(routes!(metrics::read))
}
