//! The one way to run: a request goes in, a run that is in the store and a place to follow it from come out.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::budget::{Exhausted, set_aside, wish};
use super::chunk_cache::ChunkCache;
use super::event::{EventBody, QUEUED};
use super::follow::{FollowError, Follower};
use super::limits::too_little_disk;
use super::live::{Holder, Live, LiveRuns};
use super::queue::{Occupancy, Queue, QueueFull, SessionHold, Share, Ticket, Waiting};
use super::request::{OnDisconnect, RunRequest};
use super::resolve::{Refusal, Why, refuse};
use super::secrets::RunSecrets;
use super::shared::Shared;
use super::traced::RunTrace;
use super::uploads::{ContentError, check, place};
use super::warning::{Warning, WarningCode};
use super::{RunId, RunSpec, RunState, seal};
use crate::disk::free::Low;
use crate::keys::Key;
use crate::store::StoreError;
use crate::store::budget::Reserve;
use crate::store::chunk::ChunkBuilder;
use crate::store::runs::RunRow;
use crate::store::submit as stored;
use crate::store::uploads::Needed;
use crate::traces::place::Place;
use crate::usd::Usd;

/// Takes runs in, and finds those that are here. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Runs {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    queue: Queue,
    live: LiveRuns,
    chunks: ChunkCache,
}

/// A run in the hands of its task.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) id: RunId,
    pub(super) spec: RunSpec,
    pub(super) live: Arc<Live>,
    pub(super) on_disconnect: OnDisconnect,
    /// When it has waited too long for its turn.
    pub(super) turn_until: Instant,
    /// When it was submitted.
    pub(super) queued_since: Timestamp,
}

/// What a client submits.
#[derive(Debug, Clone)]
pub struct Submission {
    /// The route by which it came, for metrics.
    pub route: &'static str,
    /// What is asked.
    pub request: RunRequest,
    /// What of it nobody is shown.
    pub secrets: RunSecrets,
    /// What becomes of it when the client leaves.
    pub on_disconnect: OnDisconnect,
    /// The client's own notes, for filters.
    pub metadata: Vec<(String, String)>,
    /// The key that asks. Everything that the run makes belongs to it, and its policy holds the run.
    pub key: Arc<Key>,
    /// So that a request that is sent twice makes one run.
    pub idempotency: Option<Idempotency>,
    /// Where the request stands in a trace.
    pub trace: Option<Place>,
}

/// A client's promise that requests with this key are one and the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// The route, e.g. `POST /v1/runs`.
    pub route: &'static str,
    /// The value of `Idempotency-Key`.
    pub key: String,
    /// Of the request's body.
    pub body_hash: String,
}

/// How long an idempotency key is remembered.
pub const IDEMPOTENCY_MS: i64 = 24 * 60 * 60 * 1000;

/// A run that was taken in, now or by an earlier request with the same idempotency key.
#[derive(Debug)]
pub struct Submitted {
    /// Its id.
    pub id: RunId,
    /// The session that it starts or continues.
    pub session: Uuid,
    /// Whether an earlier request with the same idempotency key made it.
    pub replayed: bool,
    /// Where the run stands in a trace.
    pub trace: Option<Place>,
    /// Its live side, if it has one here.
    pub live: Option<Arc<Live>>,
    /// For a run whose client's leaving ends it: to be kept until the answer is complete.
    pub holder: Option<Holder>,
}

/// A run that was not taken in. The texts are for the caller.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The request does not fit this server.
    #[error("{0}")]
    Refused(Refusal),
    /// Its message cannot have these pictures and documents.
    #[error("{0}")]
    Content(ContentError),
    /// No room to wait.
    #[error("{0}; a turn is to be expected in about {wait}", wait = seconds(.0.wait()))]
    QueueFull(#[from] QueueFull),
    /// Its key has spent what it may spend in a day.
    #[error("the run was not taken in: {0}")]
    Budget(Exhausted),
    /// The server takes no new work.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// A run would need disk, and there is hardly any.
    #[error("the run was not taken in: on the server's disk {}; try again later", too_little_disk(.0))]
    DiskLow(Low),
    /// The idempotency key was used for another request.
    #[error("this Idempotency-Key was used for a request with another body; use a new key for a new request")]
    KeyReused,
    /// The store does not take it.
    #[error("the run was not taken in: {0}; try again later (an Idempotency-Key makes that safe)")]
    Store(#[from] StoreError),
    /// A mistake of ours.
    #[error("the server made a mistake; its log has the details")]
    Mistake,
}

/// A wait as people read it.
fn seconds(wait: Duration) -> String {
    format!("{} s", wait.as_secs().max(1))
}

impl Runs {
    /// A queue in front of what runs need.
    pub fn new(shared: Shared) -> Self {
        let limits = &shared.settings.now().limits;
        let queue = Queue::new(limits.max_concurrent, limits.queue_length);
        // What is taken up again at the start begins when the server does.
        queue.hold_back();
        let inner = Inner { shared: Arc::new(shared), queue, live: LiveRuns::default(), chunks: ChunkCache::default() };
        Self { inner: Arc::new(inner) }
    }

    /// What every run needs.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    /// Lets as many run and wait as the settings say now, which a reload has changed.
    pub fn resize_queue(&self) {
        let limits = &self.shared().settings.now().limits;
        self.queue().resize(limits.max_concurrent, limits.queue_length);
    }

    /// Lets runs begin.
    pub fn open(&self) {
        self.queue().open();
    }

    /// How full the queue is.
    pub fn occupancy(&self) -> Occupancy {
        self.inner.queue.occupancy()
    }

    /// Who waits for a turn. It looks at each of them.
    pub fn waiting(&self) -> Waiting {
        self.inner.queue.waiting()
    }

    /// Whether a run of the session works or waits.
    pub fn has_session_in_use(&self, session: Uuid) -> bool {
        self.inner.queue.knows(session)
    }

    /// Keeps everybody from a session that no run works with or waits for; `None` if one does. Runs that ask for it
    /// meanwhile wait.
    pub fn hold_session(&self, session: Uuid) -> Option<SessionHold> {
        self.inner.queue.hold(session)
    }

    /// The live side of a run that is in the hands of this server.
    pub fn live(&self, run: RunId) -> Option<Arc<Live>> {
        self.inner.live.get(run)
    }

    /// How long this server keeps a run without a word, in milliseconds.
    pub(super) fn lease_ms(&self) -> u64 {
        u64::try_from(self.shared().settings.now().store.lease.as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn queue(&self) -> &Queue {
        &self.inner.queue
    }

    /// Ends all runs of this server at once and writes nothing more for them: they may be another server's by now.
    pub fn let_all_go(&self) {
        for live in self.inner.live.all() {
            live.log.let_go();
            live.cancel.kill();
        }
    }

    pub(super) fn live_runs(&self) -> &LiveRuns {
        &self.inner.live
    }

    pub(super) fn chunks(&self) -> &ChunkCache {
        &self.inner.chunks
    }

    /// Takes a run in: once this has returned it is in the store, and will be worked on or say why not.
    pub async fn submit(&self, submission: Submission) -> Result<Submitted, SubmitError> {
        let shared = self.shared();
        if shared.lifecycle.draining().is_cancelled() {
            return Err(SubmitError::ShuttingDown);
        }
        if let Some(earlier) = self.submitted_before(&submission).await? {
            return Ok(earlier);
        }
        if let Some(low) = shared.free_disk.low() {
            return Err(SubmitError::DiskLow(low));
        }
        let new_session = shared.ambient.uuid();
        let spec = self
            .resolve(&submission.key, &submission.request, &submission.secrets, new_session)
            .await
            .map_err(SubmitError::Refused)?;
        self.can_keep(&submission).map_err(SubmitError::Refused)?;
        let needed = check(shared, &submission.key, &submission.request.content).await?;
        let needed = needed.map_err(SubmitError::Content)?;
        let share = Share::of(&submission.key, submission.request.priority);
        let ticket = self.queue().enter(spec.session.id(), share, shared.ambient.now())?;
        // In a task of its own: a client that leaves must not leave a row behind that nobody drives.
        let (answer, answered) = oneshot::channel();
        let runs = self.clone();
        shared.lifecycle.spawn(async move {
            // An answer that nobody takes is dropped with its holder, which cancels the run if that was asked for.
            drop(answer.send(runs.take_in(submission, needed, spec, ticket).await));
        });
        answered.await.unwrap_or(Err(SubmitError::Mistake))
    }

    /// Follows a run that was just submitted, from its first event or from where the client says it was.
    pub async fn follow_submitted(&self, submitted: &Submitted, after: u64) -> Result<Follower, FollowError> {
        match &submitted.live {
            // The log may have let go of nothing yet, and the store is not asked for what is in memory.
            Some(live) if after == 0 => Ok(self.follow_log(&live.log, 0)),
            _ => self.follow(submitted.id, after).await,
        }
    }

    /// The run that an earlier request with the same idempotency key has made.
    async fn submitted_before(&self, submission: &Submission) -> Result<Option<Submitted>, SubmitError> {
        let Some(idempotency) = &submission.idempotency else { return Ok(None) };
        let claim = self.claim(idempotency, submission.key.id.as_str());
        match self.shared().store.idempotent_run(&claim).await? {
            None => Ok(None),
            Some(stored::Submitted::Same { run_id }) => self.same(&run_id).await.map(Some),
            Some(_) => Err(SubmitError::KeyReused),
        }
    }

    /// The promise as the store keeps it.
    pub fn claim(&self, idempotency: &Idempotency, key_id: &str) -> stored::IdempotencyClaim {
        let now = self.shared().ambient.now().as_millisecond();
        stored::IdempotencyClaim {
            key_id: key_id.to_owned(),
            route: idempotency.route.to_owned(),
            key: idempotency.key.clone(),
            body_hash: idempotency.body_hash.clone(),
            expires_before: now - IDEMPOTENCY_MS,
        }
    }

    async fn same(&self, run_id: &str) -> Result<Submitted, SubmitError> {
        let id = RunId::parse(run_id).ok_or(SubmitError::Mistake)?;
        let (row, live) = self.confirmed(id).await?.ok_or(SubmitError::Store(StoreError::Late))?;
        let session = row.session_id.parse().map_err(|_| SubmitError::Mistake)?;
        // As the first request said: it was for that one to say.
        let holds = row.on_disconnect == OnDisconnect::Cancel.as_str();
        let holder = live.as_ref().filter(|_| holds).map(Live::hold);
        let trace = row.trace_context.as_deref().and_then(Place::from_json);
        Ok(Submitted { id, session, replayed: true, trace, live, holder })
    }

    /// A run that an earlier request has stored. One that waits here and has no tasks is just coming to life, or it is
    /// about to be withdrawn: that must not be confirmed. `None` if it stays so, or is gone.
    async fn confirmed(&self, id: RunId) -> Result<Option<(RunRow, Option<Arc<Live>>)>, StoreError> {
        for _ in 0..LOOKS {
            let live = self.live(id);
            let Some(row) = self.shared().store.run(&id.to_string()).await? else { return Ok(None) };
            let waits = row.state == RunState::Queued.as_str() && row.owner == self.shared().owner;
            if live.is_some() || !waits {
                return Ok(Some((row, live)));
            }
            sleep(LOOK_AGAIN).await;
        }
        Ok(None)
    }

    /// Secrets of a run that goes on without its client have to be kept until it begins.
    fn can_keep(&self, submission: &Submission) -> Result<(), Refusal> {
        let Submission { secrets, on_disconnect, .. } = submission;
        if !survives(secrets, *on_disconnect) || self.shared().settings.now().store.secret_key.is_some() {
            return Ok(());
        }
        let what = "cannot be given to a run that goes on without its client: its values are kept sealed until it begins, and \
            the server has no key for that; either the operator sets ASKD_SECRET_KEY, or the request says \"on_disconnect\": \
            \"cancel\" and waits for the run (?wait=SECONDS, or Accept: text/event-stream)";
        Err(refuse(secrets.field(), Why::Value, what))
    }

    /// Stores the run and starts its tasks.
    async fn take_in(
        &self,
        submission: Submission,
        needed: Needed,
        mut spec: RunSpec,
        ticket: Ticket,
    ) -> Result<Submitted, SubmitError> {
        let shared = self.shared();
        let (now, id) = (shared.ambient.now(), RunId(shared.ambient.ordered_uuid()));
        let Submission { on_disconnect, route, .. } = submission;
        let wish = wish(&spec, &submission.request, self.margin());
        let mut new = self.row(&submission, needed, &spec, id, now, wish.clone()).ok_or(SubmitError::Mistake)?;
        let run_trace = RunTrace::of_new(&shared.traces, submission.trace.as_ref(), id, &spec, now);
        let trace = run_trace.place().cloned();
        new.run.trace_context = trace.as_ref().map(Place::to_json);
        let mut less = None;
        self.live_runs().enter(id);
        match shared.store.write(new).await {
            Ok(stored::Submitted::New) => set_aside(&mut spec, wish.map(|wish| wish.amount), self.margin()),
            Ok(stored::Submitted::NewWithLess { reserved }) => {
                set_aside(&mut spec, Some(reserved), self.margin());
                less = spec.budget;
            }
            Ok(other) => {
                self.live_runs().leave(id);
                return match (other, wish) {
                    (stored::Submitted::Same { run_id }, _) => self.same(&run_id).await,
                    (stored::Submitted::Exhausted(found), Some(wish)) => {
                        let asked = (submission.request.max_budget_usd, self.margin());
                        let turn = ticket.expected_wait();
                        Err(SubmitError::Budget(Exhausted::new(found, &wish, asked, turn, now)))
                    }
                    (stored::Submitted::NoUpload { upload_id: id }, _) => {
                        let block = place(&submission.request.content, &id);
                        Err(SubmitError::Content(ContentError::NoUpload { block, id, is_of_others: false }))
                    }
                    _ => Err(SubmitError::KeyReused),
                };
            }
            Err(error) => {
                self.withdraw(id);
                return Err(error.into());
            }
        }
        // Here and not where the client is answered: it may have left.
        shared.metrics.runs_submitted.of([route]).inc();
        let session = spec.session.id();
        let live = self.begin(id, 1, FIRST_EPOCH, spec, on_disconnect, now, ticket, run_trace);
        if let Some(less) = less {
            let message =
                format!("no more is left of what this key may spend today: the run may cost {less} US dollars");
            live.log.append_now(shared.ambient.now(), &EventBody::Warning(Warning::new(WarningCode::Budget, message)));
        }
        let holder = (on_disconnect == OnDisconnect::Cancel).then(|| live.hold());
        Ok(Submitted { id, session, replayed: false, trace, live: Some(live), holder })
    }

    /// What one more call of the model may cost.
    fn margin(&self) -> Usd {
        self.shared().settings.now().limits.budget_margin
    }

    fn row(
        &self,
        submission: &Submission,
        uploads: Needed,
        spec: &RunSpec,
        id: RunId,
        now: Timestamp,
        reserve: Option<Reserve>,
    ) -> Option<stored::Submit> {
        let mut first = ChunkBuilder::new(1);
        first.push(now.as_millisecond(), QUEUED, "{}");
        let first = first.finish();
        let settings = self.shared().settings.now();
        let key = settings.store.secret_key.as_ref();
        let secrets = match key.filter(|_| survives(&submission.secrets, submission.on_disconnect)) {
            Some(key) => Some(seal::seal(key, id, &submission.secrets)?),
            None => None,
        };
        Some(stored::Submit {
            run: stored::NewRun {
                id: id.to_string(),
                key_id: submission.key.id.to_string(),
                session_id: spec.session.id().to_string(),
                workspace: spec.ground.folder.workspace().map(str::to_owned),
                state: RunState::Queued.as_str(),
                epoch: FIRST_EPOCH,
                owner: self.shared().owner.clone(),
                lease_ms: self.lease_ms(),
                on_disconnect: submission.on_disconnect.as_str(),
                request: submission.request.to_stored()?,
                listed: Some(submission.request.for_lists().to_stored()?),
                trace_context: None,
                log_bytes: first.size() as u64,
                created_at: now.as_millisecond(),
            },
            metadata: submission.metadata.clone(),
            first_chunk: first.compress(),
            idempotency: submission.idempotency.as_ref().map(|given| self.claim(given, submission.key.id.as_str())),
            reserve,
            uploads,
            secrets,
        })
    }

    /// A run whose row may be in the store although its client was told that it is not: takes the row away.
    fn withdraw(&self, id: RunId) {
        let (runs, run_id) = (self.clone(), id.to_string());
        self.shared().lifecycle.spawn(async move {
            let shared = runs.shared();
            let withdrawn = tokio::select! {
                withdrawn = shared.store.write_patiently(stored::Withdraw { run_id }) => withdrawn,
                () = runs.given_up() => Err(StoreError::Late),
            };
            if let Err(error) = withdrawn {
                // Its client was told to come again.
                tracing::error!(run = %id, %error, "cannot withdraw a run that was not taken in; it may be run later");
            }
            runs.live_runs().leave(id);
        });
    }
}

/// Whether there are secrets that have to survive a restart. A run that ends with its client is never begun after one, and
/// has them in memory only.
fn survives(secrets: &RunSecrets, on_disconnect: OnDisconnect) -> bool {
    !secrets.is_empty() && on_disconnect == OnDisconnect::Continue
}

/// How often a run that is just coming to life is looked at, and with what pauses.
const LOOKS: u32 = 20;
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The epoch of a run in the hands of the server that took it in.
const FIRST_EPOCH: i64 = 1;
