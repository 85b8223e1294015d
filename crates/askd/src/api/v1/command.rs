//! What is common to the POSTs that ask something of a run and make none.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::super::caller::Caller;
use super::super::error::ApiError;
use super::super::error::code::ErrorCode;
use super::super::headers::mark_replayed;
use super::find;
use crate::app::App;
use crate::audit::{Action, Event};
use crate::keys::Key;
use crate::runs::live::Live;
use crate::runs::submit::Idempotency;
use crate::runs::{RunId, RunState};
use crate::store::StoreError;
use crate::store::command::{ClaimCommand, Claimed, Forget};

/// The live side of a run, for a command that only a run in progress can take.
pub(super) async fn live(app: &App, key: &Key, id: RunId) -> Result<Arc<Live>, ApiError> {
    // Before the look at the row: a run of this server is live until its end is stored.
    let live = app.runs().live(id);
    let (_, row) = find(app, key, &id.to_string()).await?;
    if RunState::from_word(&row.state).is_none_or(RunState::is_final) {
        return Err(ApiError::conflict("the run has ended"));
    }
    live.ok_or_else(elsewhere)
}

/// How long an answer waits for what is noted of it.
const NOTE_PATIENCE: Duration = Duration::from_secs(1);

/// Notes who did something to a run. What was done stays done when it cannot be noted, and a store that stalls keeps nobody
/// waiting for long: a run is ended most urgently when something is wrong.
pub(super) async fn note(app: &Arc<App>, caller: &Caller, action: Action, run: RunId) {
    let event = Event { action, subject: Some(run.to_string()), detail: json!({}) };
    let (app_there, actor) = (Arc::clone(app), caller.actor());
    let (sender, noted) = oneshot::channel::<()>();
    app.lifecycle().spawn(async move {
        if let Err(error) = app_there.runs().shared().audit.record(&actor, event).await {
            tracing::error!(%run, key = actor.key_id, %error, "what was done to a run cannot be noted in the audit");
        }
        drop(sender);
    });
    // It ends when the sender is dropped, and says nothing else.
    drop(timeout(NOTE_PATIENCE, noted).await);
}

/// A run that has not ended and is not here.
pub(super) fn elsewhere() -> ApiError {
    ApiError::conflict("the run is in the hands of another server: ask that one, or try again when it has settled")
}

/// An answer that may have been given before.
pub(super) struct Answered {
    pub(super) text: String,
    pub(super) replayed: bool,
}

impl Answered {
    pub(super) fn into_response(self, status: StatusCode) -> Response {
        let mut response = super::json(status, self.text);
        mark_replayed(response.headers_mut(), self.replayed);
        response
    }
}

/// Does something once for an idempotency key, or just does it; `answer` is what is said afterwards. In a task of its
/// own: a client that leaves must not leave a key behind that claims what was not done.
pub(super) async fn once(
    app: &Arc<App>,
    key_id: &str,
    promise: Option<Idempotency>,
    run: RunId,
    answer: String,
    act: impl Future<Output = Result<(), ApiError>> + Send + 'static,
) -> Result<Answered, ApiError> {
    let (sender, done) = oneshot::channel();
    let (app_there, key_id) = (Arc::clone(app), key_id.to_owned());
    app.lifecycle().spawn(async move {
        let app = app_there;
        let Some(promise) = promise else {
            // Nobody may wait for it any more.
            drop(sender.send(act.await.map(|()| Answered { text: answer, replayed: false })));
            return;
        };
        let claim = claim(&app, &key_id, &promise, run, answer);
        let answered = claim_and_act(&app, claim.clone(), act).await;
        if answered.is_ok() {
            drop(sender.send(answered));
            return;
        }
        // What was refused may be asked again with the same key, usually as soon as the client hears of it. A store that
        // stalls keeps nobody waiting.
        let mut forgetting = pin!(forget(&app, claim));
        let forgotten = timeout(app.settings().store.timeout, &mut forgetting).await;
        drop(sender.send(answered));
        if forgotten.is_err() {
            forgetting.await;
        }
    });
    let mistake = || ApiError::new(ErrorCode::InternalError, "the server made a mistake; its log has the details");
    done.await.unwrap_or_else(|_| Err(mistake()))
}

fn claim(app: &App, key_id: &str, promise: &Idempotency, run: RunId, answer: String) -> ClaimCommand {
    let created_at = app.runs().shared().ambient.now().as_millisecond();
    ClaimCommand { claim: app.runs().claim(promise, key_id), run_id: run.to_string(), answer, created_at }
}

async fn claim_and_act(
    app: &App,
    claim: ClaimCommand,
    act: impl Future<Output = Result<(), ApiError>> + Send,
) -> Result<Answered, ApiError> {
    let text = claim.answer.clone();
    match app.runs().shared().store.write(claim).await? {
        Claimed::New => act.await.map(|()| Answered { text, replayed: false }),
        Claimed::Same { answer } => Ok(Answered { text: answer, replayed: true }),
        Claimed::Mismatch => {
            let message = "this Idempotency-Key was used for another request; use a new key for a new request";
            let error = ApiError::request(message).with_status(StatusCode::UNPROCESSABLE_ENTITY);
            Err(error.with_param("Idempotency-Key"))
        }
    }
}

/// Gives the key back, if it was claimed: a claim whose answer came too late may be there as well. However long the store
/// takes, but for a server that stops.
async fn forget(app: &App, claim: ClaimCommand) {
    let run = claim.run_id.clone();
    let stopped = async {
        app.lifecycle().stopping().cancelled().await;
        sleep(app.settings().store.timeout).await;
    };
    let forgotten = tokio::select! {
        forgotten = app.runs().shared().store.write_patiently(Forget(claim)) => forgotten,
        () = stopped => Err(StoreError::Late),
    };
    if let Err(error) = forgotten {
        tracing::warn!(run, %error, "an idempotency key of a refused request is kept");
    }
}
