//! Runs that nobody works on, although they have not ended: those of a server that is no more, found at the start, and
//! those that a working server has had to let go. Every one is settled: ended as lost, or queued again in its place.
//! Nothing is run twice.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

use super::begin::{patience, waited_too_long};
use super::budget::set_aside;
use super::event::EventBody;
use super::log::{Capacity, RunLog, pump};
use super::of_key::Standing;
use super::queue::Share;
use super::request::{OnDisconnect, RunRequest, Unreadable};
use super::resolve::Why;
use super::seal::Unopened;
use super::secrets::RunSecrets;
use super::submit::Runs;
use super::traced::RunTrace;
use super::{Finished, RunError, RunErrorKind, RunId, RunState, seal};
use crate::store::StoreError;
use crate::store::recovery::Adopt;
use crate::store::runs::RunRow;
use crate::traces::place::ids;

/// Settled at the same time: they share commits.
const AT_ONCE: usize = 64;

/// What was found and settled.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Recovered {
    /// Runs that were lost.
    pub lost: usize,
    /// Runs that wait again.
    pub queued: usize,
    /// Runs that waited for a client that is gone, or that cannot be run any more.
    pub ended: usize,
}

/// What a server finds at its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Since {
    /// The store as the last server has left it.
    Restart,
    /// The store as it was when a backup was made; at what time, for people. What waited then may have been run since.
    Backup(String),
}

/// Why nobody works on a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// This server was started anew.
    Restart,
    /// This server could not reach its store for too long.
    LetGo,
    /// Another server has not been heard of for as long as its lease held.
    OtherServer,
    /// The store is that of a backup.
    Backup,
}

impl Runs {
    /// Settles what an earlier server left. To be called when none of its processes is alive and its transcripts are
    /// back. What waits again begins when the queue is [opened](Self::open).
    pub async fn recover(&self, since: &Since) -> Result<Recovered, StoreError> {
        let (store, owner) = (&self.shared().store, &self.shared().owner);
        let cause = if *since == Since::Restart { Cause::Restart } else { Cause::Backup };
        let mut recovered = Recovered::default();
        loop {
            // A page at a time. One that brings nothing holds only what cannot be settled, which the log tells.
            let lost = self.settle_as_lost(store.runs_to_settle(owner).await?, cause).await?;
            if lost == 0 {
                break;
            }
            recovered.lost += lost;
        }
        let queued = store.queued_to_adopt(owner).await?;
        if cause == Cause::Backup {
            recovered.lost += self.settle_as_lost(queued, cause).await?;
        } else {
            self.take_queued(queued, cause, &mut recovered).await?;
        }
        Ok(recovered)
    }

    /// The same for runs of this server that it has let go, and for those of other servers that are gone.
    pub async fn settle_strays(&self) -> Result<Recovered, StoreError> {
        let (store, owner) = (&self.shared().store, &self.shared().owner);
        let mut recovered = Recovered::default();
        let mut own = store.unfinished_of(owner).await?;
        own.retain(|row| RunId::parse(&row.id).is_some_and(|id| !self.live_runs().has(id)));
        for (rows, cause) in [(own, Cause::LetGo), (store.runs_of_lost_servers(owner).await?, Cause::OtherServer)] {
            let (queued, begun) = rows.into_iter().partition(|row| row.state == RunState::Queued.as_str());
            recovered.lost += self.settle_as_lost(begun, cause).await?;
            self.take_queued(queued, cause, &mut recovered).await?;
        }
        Ok(recovered)
    }

    async fn settle_as_lost(&self, rows: Vec<RunRow>, cause: Cause) -> Result<usize, StoreError> {
        let settled = stream::iter(rows).map(|row| async move {
            let end = self.lost(&row, cause).await;
            self.settle(row, end).await
        });
        let settled: Vec<bool> = settled.buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(settled.into_iter().filter(|done| *done).count())
    }

    /// One after the other: their order is their place.
    async fn take_queued(&self, rows: Vec<RunRow>, cause: Cause, recovered: &mut Recovered) -> Result<(), StoreError> {
        for row in rows {
            match self.queue_again(row, cause).await? {
                Taken::Queued => recovered.queued += 1,
                Taken::Ended => recovered.ended += 1,
                Taken::NotNow => {}
            }
        }
        Ok(())
    }

    async fn lost(&self, row: &RunRow, cause: Cause) -> Finished {
        let session = &row.session_id;
        let resumable = match session.parse() {
            Ok(session) => self.known_session(session).await.is_ok(),
            Err(_) => false,
        };
        let go_on = if resumable {
            format!(
                "its session was kept up to the last line that the CLI had written: submit a run with \
                 \"session_id\": \"{session}\" to go on from there"
            )
        } else if cause == Cause::OtherServer {
            format!("its session {session}, as far as it came, is in the data folder of the server that had it")
        } else {
            "its session had not begun to be kept: submit the request again".into()
        };
        let what = match cause {
            Cause::Restart | Cause::OtherServer => "the server that held this run died",
            Cause::LetGo => "the server could not reach its store and had to let this run go",
            Cause::Backup => {
                "the server was restored from a backup in which this run had not ended; it may have gone on since"
            }
        };
        let message = format!("{what}; the events up to then are kept, and it is not run again");
        let hint = Some(format!("{go_on}; what it did to files was not undone"));
        let error = RunError { hint, ..RunError::new(RunErrorKind::Lost, message) };
        Finished { state: RunState::Lost, error: Some(error) }
    }

    async fn queue_again(&self, row: RunRow, cause: Cause) -> Result<Taken, StoreError> {
        if row.on_disconnect == OnDisconnect::Cancel.as_str() {
            let what = match cause {
                Cause::Restart | Cause::Backup => "the server was restarted",
                Cause::LetGo => "the server could not reach its store",
                Cause::OtherServer => "the server that held this run died",
            };
            let message = format!("{what} while the run waited, and its client is gone");
            return self.end(row, Finished::cancelled(RunErrorKind::Cancelled, message)).await;
        }
        let (id, session) = (RunId::parse(&row.id), row.session_id.parse());
        let request = RunRequest::from_stored(&row.request);
        let asked = request.as_ref().ok().and_then(|request| request.queue_timeout_seconds).map(Duration::from_secs);
        let is_too_late = self.has_waited_too_long(&row, asked);
        if request == Err(Unreadable::Newer) && !is_too_late {
            tracing::warn!(run = row.id, "a run that a newer server has queued is left to servers of its version");
            return Ok(Taken::NotNow);
        }
        let (Some(id), Ok(session), Ok(request)) = (id, session, request) else {
            let message = "the run was queued by another version of the server, whose notes this one cannot read";
            return self.end(row, Finished::failed(RunErrorKind::Invalid, message)).await;
        };
        let key = match self.standing(&row.key_id).await? {
            Standing::Counts(key) => key,
            Standing::Unreadable(_) if !is_too_late => {
                let key = row.key_id;
                tracing::warn!(run = %id, key, "a run of a key that this server cannot read is left to other servers");
                return Ok(Taken::NotNow);
            }
            Standing::Over(end) | Standing::Unreadable(end) => return self.end(row, end).await,
        };
        let secrets = match self.opened(id, &request).await? {
            Ok(secrets) => secrets,
            // The server that it came from may have the key.
            Err(why) if may_pass(Why::Value, cause) && !is_too_late => {
                tracing::warn!(run = %id, %why, "the secrets of a waiting run cannot be opened here");
                return Ok(Taken::NotNow);
            }
            Err(why) => {
                let message =
                    format!("the run was not begun: its variables and MCP servers cannot be used, since {why}");
                return self.end(row, Finished::failed(RunErrorKind::Invalid, message)).await;
            }
        };
        let mut spec = match Box::pin(self.resolve(&key, &request, &secrets, session)).await {
            Ok(spec) => spec,
            Err(refusal) if may_pass(refusal.why, cause) && !is_too_late => {
                tracing::warn!(run = %id, %refusal, "a waiting run cannot be taken up now");
                return Ok(Taken::NotNow);
            }
            Err(refusal) => {
                let when = if cause == Cause::Restart { "after the restart" } else { "when it was taken up again" };
                let message = format!("{when} the run could no longer be started: {refusal}");
                return self.end(row, Finished::failed(RunErrorKind::Invalid, message)).await;
            }
        };
        if is_too_late {
            // The queue might have a place for it at once.
            let limits = &self.shared().settings.now().limits;
            return self.end(row, waited_too_long(limits, asked, OnDisconnect::Continue)).await;
        }
        self.live_runs().enter(id);
        let adopted = self.adopt(&row).await;
        let Ok(Some(epoch)) = adopted else {
            self.live_runs().leave(id);
            return adopted.map(|_| Taken::NotNow);
        };
        let since = Timestamp::from_millisecond(row.created_at).unwrap_or_else(|_| self.shared().ambient.now());
        set_aside(&mut spec, row.reserved_micros, self.shared().settings.now().limits.budget_margin);
        let share = Share::of(&spec.key, request.priority);
        let ticket = self.queue().enter_again(spec.session.id(), share, since);
        let trace = RunTrace::of_stored(&self.shared().traces, &row, id, Some(&spec), since);
        let live = self.begin(id, row.last_seq, epoch, spec, OnDisconnect::Continue, since, ticket, trace);
        live.log.recall_warnings(row.warnings.as_deref().unwrap_or("[]"));
        Ok(Taken::Queued)
    }

    /// The secrets of a run that waits, if it has some.
    async fn opened(&self, id: RunId, request: &RunRequest) -> Result<Result<RunSecrets, Unopened>, StoreError> {
        if request.env.is_empty() && request.mcp_servers.is_empty() {
            return Ok(Ok(RunSecrets::default()));
        }
        let sealed = self.shared().store.run_secrets(&id.to_string()).await?;
        let settings = self.shared().settings.now();
        let key = settings.store.secret_key.as_ref();
        Ok(sealed.ok_or(Unopened::Gone).and_then(|sealed| seal::open(key, id, &sealed)))
    }

    /// Whether a run that asks for no more than that has waited longer than it may.
    fn has_waited_too_long(&self, row: &RunRow, asked: Option<Duration>) -> bool {
        let waited = self.shared().ambient.now().as_millisecond().saturating_sub(row.created_at);
        let (patience, _) = patience(&self.shared().settings.now().limits, asked, OnDisconnect::Continue);
        u128::try_from(waited).unwrap_or(0) > patience.as_millis()
    }

    async fn end(&self, row: RunRow, end: Finished) -> Result<Taken, StoreError> {
        Ok(if self.settle(row, end).await? { Taken::Ended } else { Taken::NotNow })
    }

    /// Ends a run that nobody works on; `false` if it changed meanwhile.
    async fn settle(&self, row: RunRow, end: Finished) -> Result<bool, StoreError> {
        let Some(id) = RunId::parse(&row.id) else {
            tracing::error!(run = row.id, "a run in the store has an id that is none of askd's");
            return Ok(false);
        };
        let Some(epoch) = self.adopt(&row).await? else { return Ok(false) };
        let error = end.error.as_ref().map(|error| error.kind.as_str());
        let now = self.shared().ambient.now();
        let trace = RunTrace::of_stored(&self.shared().traces, &row, id, None, now);
        let (trace_id, span_id) = ids(trace.place());
        let state = end.state.as_str();
        tracing::warn!(run = %id, state, error, trace_id, span_id, "run ended: nobody worked on it");
        let log = RunLog::new(id, row.last_seq, Capacity { pending: 0, ring: 0 });
        log.be_traced(trace);
        log.append_now(now, &EventBody::Finished(end.into()));
        pump::pump(&log, epoch, &self.shared().store).await.map(|pumped| pumped == pump::Pumped::Complete)
    }

    async fn adopt(&self, row: &RunRow) -> Result<Option<i64>, StoreError> {
        let adopt = Adopt {
            run_id: row.id.clone(),
            old_epoch: row.epoch,
            last_seq: row.last_seq,
            owner: self.shared().owner.clone(),
            lease_ms: self.lease_ms(),
        };
        Ok(self.shared().store.write_patiently(adopt).await?.then_some(row.epoch + 1))
    }
}

/// Whether it may go better later, or on the server that the run came from.
fn may_pass(why: Why, cause: Cause) -> bool {
    matches!(why, Why::Busy | Why::Store | Why::Server) || cause == Cause::OtherServer
}

/// What became of a run that waited.
enum Taken {
    /// It waits again.
    Queued,
    /// It was ended.
    Ended,
    /// It stays as it is.
    NotNow,
}
