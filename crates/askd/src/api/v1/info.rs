//! `GET /v1/info`: which server this is, which CLI it has, what that can do, and what a request may ask for.
//!
//! For every key, so it tells what any caller could find out by trying: no paths, no hosts, nothing of other keys. What the
//! policy of a key adds to it says `GET /v1/keys/self`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use claude::effort::Effort;
use claude::permission_mode::PermissionMode;
use claude::profile::Profile;
use claude::version::capabilities::{Capabilities, Feature};
use claude::version::{MINIMUM, TESTED, Version};
use serde_json::{Map, Value, json};

use super::super::caller::Caller;
use super::super::error::ApiError;
use super::super::{options, query};
use super::create::MAX_METADATA;
use super::json;
use crate::api::openapi::told;
use crate::app::App;
use crate::keys::priority::Priority;
use crate::settings::Settings;

#[utoipa::path(
    get, path = "/v1/info", operation_id = "get_info", tag = "system",
    summary = "Read what a request may ask for",
    description = "Which server this is, which CLI it has, what that can do, and the bounds of requests.",
    responses((status = 200, description = "What there is.", body = told::Info)),
)]
pub(super) async fn info(State(app): State<Arc<App>>, _: Caller, uri: Uri) -> Result<Response, ApiError> {
    query::none(&uri)?;
    let (shared, settings) = (app.runs().shared(), app.settings());
    let info = json!({
        "type": "info",
        "version": env!("CARGO_PKG_VERSION"),
        "cli": cli(shared.cli.version),
        "models": { "allowed": settings.models.names(), "default": settings.models.default },
        "permission_modes": { "allowed": modes(&settings), "default": settings.permissions.default_mode.as_str() },
        "profiles": Profile::WORDS,
        "efforts": Effort::WORDS,
        "priorities": Priority::WORDS,
        // More of it: `GET /v1/isolation`.
        "isolation": { "layer": shared.isolation.layer() },
        "features": { "sealed_secrets": settings.store.secret_key.is_some(), "legacy_lenient": settings.server.legacy_lenient },
        "limits": limits(&settings),
    });
    Ok(json(StatusCode::OK, info.to_string()))
}

fn cli(version: Version) -> Value {
    let can = Capabilities::of(version);
    let capabilities: Map<String, Value> =
        Feature::ALL.into_iter().map(|feature| (feature.as_str().to_owned(), can.has(feature).into())).collect();
    json!({
        "version": version.to_string(),
        "status": version.standing().as_str(),
        "tested": TESTED.to_string(),
        "minimum": MINIMUM.to_string(),
        "capabilities": capabilities,
    })
}

fn modes(settings: &Settings) -> Vec<&'static str> {
    let is_allowed =
        |mode: &PermissionMode| *mode != PermissionMode::BypassPermissions || settings.permissions.allow_bypass;
    PermissionMode::ALL.into_iter().filter(is_allowed).map(PermissionMode::as_str).collect()
}

/// Sizes in bytes, durations in seconds, texts in characters.
fn limits(settings: &Settings) -> Value {
    let Settings { server, limits, deadlines, uploads, .. } = settings;
    let mut all = json!({
        "body_bytes": server.max_body,
        "config_body_bytes": server.max_config_body,
        "content_bytes": uploads.max_content,
        "upload_bytes": uploads.max_size,
        "metadata": MAX_METADATA,
        "wait_seconds": server.max_wait.as_secs(),
        "timeout_seconds": { "default": deadlines.process_timeout.as_secs(), "max": deadlines.max_run_time.as_secs() },
        "idle_timeout_seconds": { "default": deadlines.idle.as_secs(), "max": deadlines.max_run_time.as_secs() },
        "queue_timeout_seconds": {
            "waiting": limits.queue_timeout.as_secs(), "detached": limits.run_queue_timeout.as_secs(),
        },
    });
    for (name, most) in options::BOUNDS {
        all[name] = most.into();
    }
    all
}
