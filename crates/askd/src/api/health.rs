//! Whether the server is there, and whether it takes work: needs no key, asks nobody.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use serde_json::{Value, json};

use super::error::ApiError;
use super::query::Query;
use crate::app::App;
use crate::disk::free::Space;
use crate::runs::limits::too_little_disk;
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
    let (store, disk) = (store(&shared.store.health()), disk(&shared.free_disk.space()));
    let ready = !draining && store.is_none() && disk.as_ref().is_none_or(|disk| disk.takes_runs);
    let mut answer = json!({ "status": if ready { "ready" } else { "not_ready" } });
    if verbose || !ready {
        let check = |trouble: Option<String>| match trouble {
            None => json!({ "ok": true }),
            Some(message) => json!({ "ok": false, "message": message }),
        };
        let disk = match disk {
            None => json!({ "ok": true }),
            Some(Disk { takes_runs, message }) => json!({ "ok": takes_runs, "message": message }),
        };
        answer["checks"] = json!({ "store": check(store), "disk": disk, "draining": draining });
    }
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, Json(answer)))
}

/// What is to be said of the disk.
struct Disk {
    takes_runs: bool,
    message: String,
}

/// One that does not answer is no reason to refuse: what is wrong with it will be said by whoever writes there.
fn disk(space: &Space) -> Option<Disk> {
    match space {
        Space::Enough => None,
        Space::Low(low) => Some(Disk { takes_runs: false, message: too_little_disk(low) }),
        Space::Unknown(since) => {
            let message = format!("unknown: the disk of ASKD_DATA_DIR has not answered for {} s", since.as_secs());
            Some(Disk { takes_runs: true, message })
        }
    }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_disk_that_does_not_answer_is_told_and_refuses_nothing() {
        let told = disk(&Space::Unknown(Duration::from_secs(12))).unwrap();
        assert!(told.takes_runs && told.message.contains("unknown") && told.message.contains("12 s"));
        assert!(disk(&Space::Enough).is_none());
    }
}
