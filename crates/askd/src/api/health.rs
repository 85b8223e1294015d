//! Whether the server is there, and whether it takes work: needs no key, asks nobody.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use serde_json::{Value, json};

use super::error::ApiError;
use super::query::Query;
use crate::app::App;
use crate::settings::show_size;
use crate::store::{Health, Problem};

/// Says that the server is there, and how busy it is.
pub(super) async fn health(State(app): State<Arc<App>>) -> Json<Value> {
    let occupancy = app.runs().occupancy();
    Json(json!({
        "status": "ok",
        "version": env!("CARGO_PKG_VERSION"),
        "concurrency": { "active": occupancy.active, "max": occupancy.max, "queued": occupancy.queued },
    }))
}

/// Says that the process answers.
pub(super) async fn live() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// Says whether a run that is submitted now would be taken in. Always with the checks when `verbose` is asked for.
pub(super) async fn ready(State(app): State<Arc<App>>, uri: Uri) -> Result<(StatusCode, Json<Value>), ApiError> {
    // Load balancers and monitors add parameters of their own, so others are let be.
    let verbose = Query::of(&uri)?.flag("verbose")?.unwrap_or(false);
    let draining = app.lifecycle().draining().is_cancelled();
    let shared = app.runs().shared();
    let (store, disk) = (store(&shared.store.health()), shared.free_disk.low());
    let ready = !draining && store.is_none() && disk.is_none();
    let mut answer = json!({ "status": if ready { "ready" } else { "not_ready" } });
    if verbose || !ready {
        let check = |trouble: Option<String>| match trouble {
            None => json!({ "ok": true }),
            Some(message) => json!({ "ok": false, "message": message }),
        };
        let disk = disk.map(|low| format!("less than {} is free (ASKD_MIN_FREE_DISK)", show_size(low.minimum)));
        answer["checks"] = json!({ "store": check(store), "disk": check(disk), "draining": draining });
    }
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, Json(answer)))
}

/// What is wrong with the store. The database's own words are for the log: here nobody has shown a key.
fn store(health: &Health) -> Option<String> {
    match health {
        Health::Working => None,
        Health::Failing { since, problem, .. } => {
            let what = match problem {
                Problem::Full => "is full",
                Problem::Unavailable => "is unavailable",
            };
            Some(format!("the store {what}, for {} s; the server's log says more", since.elapsed().as_secs()))
        }
        Health::Slow { lasting } => Some(format!("a commit takes {} s so far", lasting.as_secs())),
    }
}
