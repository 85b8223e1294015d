//! What becomes of the runs of a server that is no more. Before the first request is taken, every one of them is settled:
//! ended as lost, or queued again in its place. Nothing is run twice.

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

use super::event::EventBody;
use super::log::{Capacity, RunLog, pump};
use super::request::{OnDisconnect, RunRequest};
use super::submit::Runs;
use super::{Finished, RunError, RunErrorKind, RunId, RunState};
use crate::store::StoreError;
use crate::store::recovery::Adopt;
use crate::store::runs::RunRow;

/// Settled at the same time: they share commits.
const AT_ONCE: usize = 64;

/// What a start has found.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Recovered {
    /// Runs that were lost.
    pub lost: usize,
    /// Runs that wait again.
    pub queued: usize,
    /// Runs that waited for a client that is gone, or that cannot be run any more.
    pub ended: usize,
}

impl Runs {
    /// Settles what an earlier server left. To be called when none of its processes is alive and its transcripts are
    /// back.
    pub async fn recover(&self) -> Result<Recovered, StoreError> {
        let (store, owner) = (&self.shared().store, &self.shared().owner);
        let mut recovered = Recovered::default();
        loop {
            let begun = store.runs_to_settle(owner).await?;
            if begun.is_empty() {
                break;
            }
            recovered.lost += self.settle_as_lost(begun).await?;
        }
        self.take_queued(store.queued_to_adopt(owner).await?, &mut recovered).await?;
        Ok(recovered)
    }

    /// The same for the runs of other servers that have not been heard of for as long as their lease held.
    pub async fn take_over(&self) -> Result<Recovered, StoreError> {
        let found = self.shared().store.runs_of_lost_servers(&self.shared().owner).await?;
        let (queued, begun) = found.into_iter().partition(|row| row.state == RunState::Queued.as_str());
        let mut recovered = Recovered { lost: self.settle_as_lost(begun).await?, ..Recovered::default() };
        self.take_queued(queued, &mut recovered).await?;
        Ok(recovered)
    }

    async fn settle_as_lost(&self, rows: Vec<RunRow>) -> Result<usize, StoreError> {
        let settled = stream::iter(rows).map(|row| async move {
            let end = self.lost(&row);
            self.settle(row, end).await
        });
        let settled: Vec<bool> = settled.buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(settled.into_iter().filter(|done| *done).count())
    }

    /// One after the other: their order is their place.
    async fn take_queued(&self, rows: Vec<RunRow>, recovered: &mut Recovered) -> Result<(), StoreError> {
        for row in rows {
            if self.queue_again(row).await? {
                recovered.queued += 1;
            } else {
                recovered.ended += 1;
            }
        }
        Ok(())
    }

    fn lost(&self, row: &RunRow) -> Finished {
        let session = &row.session_id;
        let resumable = session.parse().is_ok_and(|session| self.shared().sessions.exists(session));
        let hint = if resumable {
            format!(
                "its session was kept up to the last line that the CLI had written: submit a run with \
                 \"session_id\": \"{session}\" to go on from there; what it did to files was not undone"
            )
        } else {
            "its session had not begun to be kept: submit the request again; what it did to files was not undone".into()
        };
        let message = "the server that held this run died; the events up to then are kept, and it is not run again";
        let error = RunError { hint: Some(hint), ..RunError::new(RunErrorKind::Lost, message) };
        Finished { state: RunState::Lost, error: Some(error) }
    }

    /// Whether the run waits again; otherwise it was ended.
    async fn queue_again(&self, row: RunRow) -> Result<bool, StoreError> {
        if row.on_disconnect == OnDisconnect::Cancel.as_str() {
            let message = "the server was restarted while the run waited, and its client is gone";
            self.settle(row, Finished::cancelled(RunErrorKind::Cancelled, message)).await?;
            return Ok(false);
        }
        let (id, session) = (RunId::parse(&row.id), row.session_id.parse());
        let (Some(id), Ok(session), Ok(request)) = (id, session, serde_json::from_str::<RunRequest>(&row.request))
        else {
            let message = "the run was queued by another version of the server, whose notes this one cannot read";
            self.settle(row, Finished::failed(RunErrorKind::Invalid, message)).await?;
            return Ok(false);
        };
        let spec = match self.resolve(&request, session).await {
            Ok(spec) => spec,
            Err(refusal) => {
                let message = format!("after the restart the run could no longer be started: {refusal}");
                self.settle(row, Finished::failed(RunErrorKind::Invalid, message)).await?;
                return Ok(false);
            }
        };
        let Some(epoch) = self.adopt(&row).await? else { return Ok(false) };
        let since = Timestamp::from_millisecond(row.created_at).unwrap_or_else(|_| self.shared().ambient.now());
        let ticket = self.queue().enter_again(spec.session.id());
        self.begin(id, row.last_seq, epoch, spec, OnDisconnect::Continue, since, ticket);
        Ok(true)
    }

    /// Ends a run that nobody works on; `false` if another server was faster.
    async fn settle(&self, row: RunRow, end: Finished) -> Result<bool, StoreError> {
        let (Some(id), Some(epoch)) = (RunId::parse(&row.id), self.adopt(&row).await?) else { return Ok(false) };
        tracing::warn!(run = %id, state = end.state.as_str(), "settled a run of an earlier server");
        let log = RunLog::new(id, row.last_seq, Capacity { pending: 0, ring: 0 });
        log.append_now(self.shared().ambient.now(), &EventBody::Finished(end));
        pump::pump(&log, epoch, &self.shared().store).await.map(|pumped| pumped == pump::Pumped::Complete)
    }

    async fn adopt(&self, row: &RunRow) -> Result<Option<i64>, StoreError> {
        let owner = self.shared().owner.clone();
        let adopt = Adopt { run_id: row.id.clone(), old_epoch: row.epoch, owner, lease_ms: self.lease_ms() };
        Ok(self.shared().store.write_patiently(adopt).await?.then_some(row.epoch + 1))
    }
}
