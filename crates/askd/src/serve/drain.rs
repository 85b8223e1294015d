//! The end of a server's work: what runs may end within the grace, and the log says how far that is.

use std::time::Duration;

use tokio::time::{Instant, interval_at, sleep};

use crate::app::App;
use crate::runs::queue::Occupancy;

/// How often the log is told what is still at work.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// Runs that one line of the log names, the oldest first.
const NAMED: usize = 10;

/// Lets running runs end within the grace, then stops them. `before`: what worked and waited in the moment before; from then on
/// the queue empties by itself.
pub(super) async fn drain(app: &App, before: Option<Occupancy>) {
    let lifecycle = app.lifecycle();
    let (grace, begun) = (app.settings().stopping.shutdown_grace, Instant::now());
    let occupancy = before.unwrap_or_else(|| app.runs().occupancy());
    let (active, queued) = (occupancy.active, occupancy.queued);
    tracing::info!(active, queued, grace_ms = millis(grace), "draining: no new work is taken");
    let mut left = 0;
    tokio::select! {
        () = lifecycle.finished() => {}
        () = progress(app, begun + grace) => {}
        () = sleep(grace) => {
            left = app.runs().occupancy().active;
            let (runs, oldest_s) = at_work(app);
            tracing::warn!(active = left, runs, oldest_s, "the grace is over, running runs are stopped");
        }
        () = lifecycle.stopping().cancelled() => left = app.runs().occupancy().active,
    }
    lifecycle.stop();
    lifecycle.finished().await;
    // For the next start, or for another server of the same database.
    let waiting = app.runs().shared().store.count_queued(&app.runs().shared().owner).await.ok();
    tracing::info!(
        ended = active.saturating_sub(left),
        cancelled = left,
        queued = waiting,
        elapsed_ms = millis(begun.elapsed()),
        "drained: no run is left at work"
    );
}

/// Tells what is still at work, now and then, for ever.
async fn progress(app: &App, until: Instant) {
    let mut ticks = interval_at(Instant::now() + PROGRESS_EVERY, PROGRESS_EVERY);
    loop {
        ticks.tick().await;
        let (runs, oldest_s) = at_work(app);
        let active = app.runs().occupancy().active;
        let left_ms = millis(until.saturating_duration_since(Instant::now()));
        tracing::info!(active, runs, oldest_s, left_ms, "draining: waiting for runs to end");
    }
}

/// The ids of those that have worked for longest, and for how long the first of them has, in seconds.
fn at_work(app: &App) -> (String, u64) {
    let mut runs = app.runs().shared().watch.ages();
    runs.sort_by_key(|(_, age)| std::cmp::Reverse(*age));
    let oldest = runs.first().map_or(Duration::ZERO, |(_, age)| *age);
    let named: Vec<_> = runs.iter().take(NAMED).map(|(run, _)| run.to_string()).collect();
    let more = runs.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (format!("{}{more}", named.join(" ")), oldest.as_secs())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
