//! What a running server does now and then, and at its end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use super::janitor;
use crate::app::App;
use crate::aside::Gate;
use crate::runs::recover::Recovered;
use crate::runs::submit;
use crate::store::lease::Renew;
use crate::store::prune::{Pruned, Retention};

/// How often what is old is looked for.
const PRUNE_EVERY: Duration = Duration::from_hours(1);

/// Removes old sessions, runs and events, and what was left behind, for ever.
pub(super) async fn prune(app: &Arc<App>) {
    loop {
        prune_sessions(app).await;
        janitor::clear(app).await;
        prune_store(app).await;
        tokio::time::sleep(PRUNE_EVERY).await;
    }
}

async fn prune_sessions(app: &Arc<App>) {
    let app_there = Arc::clone(app);
    let pruned = tokio::task::spawn_blocking(move || {
        let (runs, paths) = (app_there.runs(), &app_there.settings().paths);
        let shared = runs.shared();
        let in_use = |session| runs.has_session_in_use(session);
        let old = shared.sessions.prune(shared.ambient.now().into(), paths.session_retention, in_use)?;
        Ok::<_, io::Error>((old, shared.sessions.prune_to_size(paths.sessions_max_size, in_use)?))
    });
    match pruned.await {
        Ok(Ok((0, 0))) => {}
        Ok(Ok((old, beyond))) => tracing::info!(
            old,
            beyond,
            "removed sessions: older than ASKD_SESSION_RETENTION, and beyond ASKD_SESSIONS_MAX_SIZE"
        ),
        Ok(Err(error)) => tracing::warn!(%error, "cannot remove old sessions"),
        Err(error) => tracing::error!(%error, "removing old sessions failed"),
    }
}

/// How long a key that counts no more is kept at most: there is room for so many, and the audit keeps what became of it.
const KEYS_KEPT: Duration = Duration::from_hours(30 * 24);

async fn prune_store(app: &App) {
    let shared = app.runs().shared();
    let (now, store) = (shared.ambient.now().as_millisecond(), &app.settings().store);
    let before = |retention: Duration| now - i64::try_from(retention.as_millis()).unwrap_or(i64::MAX / 2);
    let retention = Retention {
        runs_before: before(store.run_retention),
        events_before: before(store.event_retention),
        keys_before: now - submit::IDEMPOTENCY_MS,
        sessions_before: before(app.settings().paths.session_retention),
        config_before: before(app.settings().configuration.audit_retention),
        config_versions: app.settings().configuration.versions,
        audit_before: before(app.settings().configuration.audit_retention),
        api_keys_before: before(app.settings().configuration.audit_retention.min(KEYS_KEPT)),
        now,
    };
    match shared.store.prune(&retention).await {
        Ok(pruned) if pruned == Pruned::default() => {}
        Ok(Pruned { runs, events, uploads, .. }) => {
            tracing::info!(
                runs,
                events,
                uploads,
                "removed runs older than ASKD_RUN_RETENTION, events older than ASKD_EVENT_RETENTION, uploads that are over"
            );
        }
        Err(error) => tracing::warn!(%error, "cannot remove old runs"),
    }
}

/// How often it is stored when keys were last used: to the minute is what is promised.
const KEEP_EVERY: Duration = Duration::from_mins(1);

/// Stores, for ever, when keys were last used, and how many refusals the audit has only counted.
pub(super) async fn keep_uses(app: &App) {
    let shared = app.runs().shared();
    loop {
        tokio::time::sleep(KEEP_EVERY).await;
        shared.keys.keep_uses().await;
        shared.audit.settle(false).await;
    }
}

/// The same for the last time.
pub(super) async fn keep_last_uses(app: &App) {
    let shared = app.runs().shared();
    let kept = async { tokio::join!(shared.keys.keep_uses(), shared.audit.settle(true)) };
    if tokio::time::timeout(app.settings().store.timeout, kept).await.is_err() {
        tracing::warn!("when keys were last used, and what was refused, could not all be stored");
    }
}

/// Watches over what runs use up, for ever, and to the end of the last one, and over what they leave free.
pub(super) async fn watch_runs(app: &Arc<App>) {
    let settings = app.settings();
    tokio::join!(app.runs().shared().watch.keep(&settings.run_limits), watch_disk(app));
}

/// On a thread of its own: a mount that hangs is to cost that one thread, and no end of the server waits for it.
static DISK: Gate = Gate::new(1, Duration::from_secs(10), 1 << 20);

/// How often the free disk is looked at.
const DISK_EVERY: Duration = Duration::from_secs(1);

async fn watch_disk(app: &Arc<App>) {
    loop {
        let there = Arc::clone(app);
        if let Err(unfinished) = DISK.run(move || there.runs().shared().free_disk.look()).await {
            tracing::error!(?unfinished, "cannot look at the disk of ASKD_DATA_DIR; if it is a mount, does it answer?");
        }
        tokio::time::sleep(DISK_EVERY).await;
    }
}

/// Tells the other servers of a shared store, for ever, that this one is alive. If it cannot, its runs end in time: after
/// the lease another server may count them as lost.
pub(super) async fn renew_leases(app: &App) {
    let shared = app.runs().shared();
    let lease = app.settings().store.lease;
    if !shared.store.is_shared() {
        return std::future::pending().await;
    }
    let lease_ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
    let holds = lease.saturating_sub(lease / LEASE_MARGIN);
    let mut renewed = Instant::now();
    loop {
        // Measured from before the question: the store counts from some moment after it.
        let asked = Instant::now();
        let renew = Renew { owner: shared.owner.clone(), lease_ms };
        let in_time = renewed + holds;
        match timeout_at(in_time, shared.store.write(renew)).await {
            Ok(Ok(_)) => renewed = asked,
            Ok(Err(error)) => tracing::warn!(%error, "cannot renew the leases of this server's runs"),
            Err(_) => {}
        }
        if Instant::now() >= in_time {
            tracing::error!("the store could not be reached for nearly as long as a lease holds: runs are ended");
            app.runs().let_all_go();
            renewed = Instant::now();
        }
        // Not beyond the moment at which runs are to be ended.
        let next = Instant::now() + lease / RENEWALS;
        sleep_until(next.min(renewed + holds)).await;
    }
}

/// Settles runs that nobody works on, for ever: own ones that had to be let go, and those of servers that are gone.
pub(super) async fn settle_strays(app: &App) {
    let pause = STRAYS_EVERY.min(app.settings().store.lease / RENEWALS);
    loop {
        tokio::time::sleep(pause).await;
        match app.runs().settle_strays().await {
            Ok(settled) if settled == Recovered::default() => {}
            Ok(Recovered { lost, queued, ended }) => {
                tracing::warn!(lost, queued, ended, "settled runs that nobody worked on");
            }
            // The store's own log says more, and once.
            Err(error) => tracing::debug!(%error, "cannot look for runs that nobody works on"),
        }
    }
}

/// How often runs that nobody works on are looked for.
const STRAYS_EVERY: Duration = Duration::from_secs(10);
/// How many renewals fit into a lease.
const RENEWALS: u32 = 4;
/// The part of a lease that is kept for ending runs.
const LEASE_MARGIN: u32 = 4;

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
