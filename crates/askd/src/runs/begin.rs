//! Puts a run that is in the store into the hands of its tasks: one that works on it, one that keeps its log.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::live::{Cancel, Live};
use super::log::{Capacity, RunLog, pump};
use super::queue::Ticket;
use super::request::OnDisconnect;
use super::submit::{Run, Runs};
use super::traced::RunTrace;
use super::worker::Worker;
use super::{Finished, RunErrorKind, RunId, RunSpec};
use crate::settings::groups::Limits;

impl Runs {
    /// Puts a run that is in the store into the hands of its tasks.
    #[expect(clippy::too_many_arguments, reason = "the parts of a run come from two places that share nothing else")]
    pub(super) fn begin(
        &self,
        id: RunId,
        last_seq: u64,
        epoch: i64,
        mut spec: RunSpec,
        on_disconnect: OnDisconnect,
        queued_since: Timestamp,
        ticket: Ticket,
        trace: Arc<RunTrace>,
    ) -> Arc<Live> {
        let shared = self.shared();
        let output = &shared.settings.now().output;
        let capacity = Capacity { pending: output.pending_bytes, ring: output.ring_bytes };
        let log = RunLog::new(id, last_seq, capacity);
        log.be_traced(trace);
        // A child of the server's token: stopping the server cancels every run.
        let cancel = Cancel::new(shared.lifecycle.stopping().child_token());
        let live = Live::new(Arc::clone(&log), cancel);
        self.live_runs().insert(id, Arc::clone(&live));
        shared.lifecycle.spawn(self.clone().keep_log(Arc::clone(&live), epoch));
        let turn_until = self.turn_until(spec.queue_timeout, on_disconnect, queued_since);
        // It may be large, and is let go when the CLI is given it.
        let content = std::mem::take(&mut spec.content);
        let run = Arc::new(Run { id, spec, live: Arc::clone(&live), on_disconnect, turn_until, queued_since });
        let worker = Worker { shared: Arc::clone(shared), run, content, returning: OnceLock::new() };
        shared.lifecycle.spawn(worker.drive(ticket));
        live
    }

    fn turn_until(&self, asked: Option<Duration>, on_disconnect: OnDisconnect, queued_since: Timestamp) -> Instant {
        let (patience, _) = patience(&self.shared().settings.now().limits, asked, on_disconnect);
        let waited = self.shared().ambient.now().duration_since(queued_since).unsigned_abs();
        Instant::now() + patience.saturating_sub(waited)
    }

    /// When a stopping server no longer waits for its store: what is not stored by then may never be.
    pub(super) async fn given_up(&self) {
        let (lifecycle, settings) = (&self.shared().lifecycle, self.shared().settings.now());
        let stopping = &settings.stopping;
        lifecycle.stopping().cancelled().await;
        let all_rungs = stopping.soft + stopping.eof + stopping.term + stopping.kill;
        tokio::select! {
            () = sleep(all_rungs) => {}
            () = async { lifecycle.killing().cancelled().await; sleep(stopping.kill).await } => {}
        }
        sleep(settings.store.timeout).await;
    }

    /// Brings the run's events into the store until the last one is there.
    async fn keep_log(self, live: Arc<Live>, epoch: i64) {
        let (shared, id) = (self.shared(), live.log.run());
        // Also if this task should die: without its log the run must not go on.
        let _end = EndOfLog { runs: self.clone(), live: Arc::clone(&live) };
        let pumped = tokio::select! {
            pumped = pump::pump(&live.log, epoch, &shared.store) => pumped,
            // What is on its way to the store is not waited for: the run may be another server's.
            () = live.log.was_let_go() => Ok(pump::Pumped::LetGo),
            () = self.given_up() => Ok(pump::Pumped::LetGo),
        };
        match pumped {
            Ok(pump::Pumped::Complete | pump::Pumped::LetGo) => {}
            Ok(pump::Pumped::Stale) => tracing::error!(run = %id, "another server has this run; it is ended here"),
            Err(error) => tracing::error!(run = %id, %error, "the run's events cannot be stored; it is ended"),
        }
    }
}

/// How long a run may wait for its turn, and what says so. A client that waits is answered soon; a run that goes on alone has
/// time, also across restarts; `asked` is what the run itself asks for.
pub(super) fn patience(
    limits: &Limits,
    asked: Option<Duration>,
    on_disconnect: OnDisconnect,
) -> (Duration, &'static str) {
    let (most, setting) = match on_disconnect {
        OnDisconnect::Cancel => (limits.queue_timeout, "QUEUE_TIMEOUT"),
        OnDisconnect::Continue => (limits.run_queue_timeout, "ASKD_RUN_QUEUE_TIMEOUT"),
    };
    asked.filter(|asked| *asked <= most).map_or((most, setting), |asked| (asked, "queue_timeout_seconds"))
}

/// The end of a run that has waited that long.
pub(super) fn waited_too_long(limits: &Limits, asked: Option<Duration>, on_disconnect: OnDisconnect) -> Finished {
    let (patience, what) = patience(limits, asked, on_disconnect);
    Finished::failed(RunErrorKind::Busy, format!("the run waited for {patience:?} and got no turn ({what})"))
}

/// Ends what belongs to a log. After the run's last event that changes nothing.
struct EndOfLog {
    runs: Runs,
    live: Arc<Live>,
}

impl Drop for EndOfLog {
    fn drop(&mut self) {
        self.live.log.let_go();
        self.live.cancel();
        self.runs.live_runs().remove(self.live.log.run(), &self.live);
    }
}
