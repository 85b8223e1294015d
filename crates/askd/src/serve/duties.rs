//! What a running server does now and then, and at its end.

use std::sync::Arc;
use std::time::Duration;

use crate::app::App;

/// How often old sessions are looked for.
const PRUNE_EVERY: Duration = Duration::from_hours(6);

/// Removes old sessions, for ever.
pub(super) async fn prune_sessions(app: &Arc<App>) {
    loop {
        let app_there = Arc::clone(app);
        let pruned = tokio::task::spawn_blocking(move || {
            let (runs, retention) = (app_there.runs(), app_there.settings().paths.session_retention);
            let shared = runs.shared();
            shared.sessions.prune(shared.ambient.now().into(), retention, |session| runs.has_session_in_use(session))
        });
        match pruned.await {
            Ok(Ok(0)) => {}
            Ok(Ok(sessions)) => tracing::info!(sessions, "removed sessions that are older than ASKD_SESSION_RETENTION"),
            Ok(Err(error)) => tracing::warn!(%error, "cannot remove old sessions"),
            Err(error) => tracing::error!(%error, "removing old sessions failed"),
        }
        tokio::time::sleep(PRUNE_EVERY).await;
    }
}

/// How often dead children that are no guardians are looked for.
const REAP_EVERY: Duration = Duration::from_secs(30);

/// Reaps them, for ever: the first process of a container is the parent of every orphan in it.
pub(super) async fn reap_orphans() {
    loop {
        tokio::time::sleep(REAP_EVERY).await;
        match tokio::task::spawn_blocking(supervisor::orphans::reap_dead).await {
            Ok(Ok(reaped)) => tracing::debug!(reaped, "reaped orphans"),
            Ok(Err(error)) => tracing::warn!(%error, "cannot reap orphans"),
            Err(error) => tracing::error!(%error, "reaping orphans failed"),
        }
    }
}

/// Lets running runs end within the grace, then stops them.
pub(super) async fn drain(app: &App) {
    let lifecycle = app.lifecycle();
    let grace = app.settings().stopping.shutdown_grace;
    let active = app.runs().occupancy().active;
    tracing::info!(
        active,
        grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX),
        "draining: no new work is taken"
    );
    tokio::select! {
        () = lifecycle.finished() => return,
        () = tokio::time::sleep(grace) => tracing::warn!("the grace is over, running runs are stopped"),
        () = lifecycle.stopping().cancelled() => {}
    }
    lifecycle.stop();
    lifecycle.finished().await;
}
