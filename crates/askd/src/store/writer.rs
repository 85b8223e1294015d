//! The one writer: what waits goes into one transaction and one commit.
//!
//! An operation is applied in a batch with what else is waiting. A statement that is wrong in itself costs the batch its
//! commit; then each operation is tried alone, so that only its own caller hears of it. A failure of the store is handed
//! to every caller of the batch together with its operation, and each decides whether to come again.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbErr};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::engine::Connection;
use super::error::Failure;
use super::health::Monitor;
use super::sql::statement;

/// Operations in one commit.
const MAX_BATCH: usize = 64;

/// Bytes in one commit; the operation that passes it is the last of its batch.
const MAX_BATCH_BYTES: usize = 4 << 20;

/// Operations that wait for the writer; further callers wait for a place.
pub(super) const WAITING: usize = 1024;

/// A failing store that nobody asks is tried this often, so that it is known when it works again.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// Something that changes the store, in a transaction that it may share with others.
pub trait Operation: Send + 'static {
    /// What the caller gets once it is committed.
    type Output: Send + 'static;

    /// Does it. May run more than once: a failed batch is rolled back and tried again, and a commit whose answer was lost
    /// may have happened.
    fn apply(&mut self, tx: &DatabaseTransaction) -> impl Future<Output = Result<Self::Output, DbErr>> + Send;

    /// Its size in bytes, which bounds a batch.
    fn weight(&self) -> usize {
        0
    }

    /// Whether it changes rows that other servers change too: a key's day, a session. In a database of several servers it
    /// has a transaction of its own then. Many in one would hold their rows in the order of their arrival, which another
    /// server's batch need not have, and the two would wait for each other. Within itself it takes such rows in the
    /// order: idempotency key, `budget_days`, `usage_days`, `usage_models`, session, `usage_sessions`.
    fn takes_shared_rows(&self) -> bool {
        false
    }
}

/// Changes nothing: whoever waits for it sees that the writer turns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nothing;

impl Operation for Nothing {
    type Output = ();

    async fn apply(&mut self, _: &DatabaseTransaction) -> Result<(), DbErr> {
        Ok(())
    }
}

/// What a caller gets: the output, or the operation back together with the reason.
pub(super) type Answer<O> = Result<<O as Operation>::Output, (Failure, O)>;

/// An operation of any type.
pub(super) type AnyJob = Box<dyn Job>;

/// An operation that waits for its commit.
pub(super) trait Job: Send {
    /// Whether somebody still waits for it.
    fn is_wanted(&self) -> bool;
    fn weight(&self) -> usize;
    fn takes_shared_rows(&self) -> bool;
    fn apply<'a>(
        &'a mut self,
        tx: &'a DatabaseTransaction,
    ) -> Pin<Box<dyn Future<Output = Result<(), DbErr>> + Send + 'a>>;
    /// Tells the caller; `Ok` only after the commit.
    fn answer(self: Box<Self>, result: Result<(), Failure>);
}

/// A [`Job`] with its operation and its caller.
pub(super) struct Waiting<O: Operation> {
    operation: O,
    output: Option<O::Output>,
    caller: oneshot::Sender<Answer<O>>,
}

impl<O: Operation> Waiting<O> {
    pub(super) fn job(operation: O) -> (AnyJob, oneshot::Receiver<Answer<O>>) {
        let (caller, answer) = oneshot::channel();
        (Box::new(Self { operation, output: None, caller }), answer)
    }
}

impl<O: Operation> Job for Waiting<O> {
    fn is_wanted(&self) -> bool {
        !self.caller.is_closed()
    }

    fn weight(&self) -> usize {
        self.operation.weight()
    }

    fn takes_shared_rows(&self) -> bool {
        self.operation.takes_shared_rows()
    }

    fn apply<'a>(
        &'a mut self,
        tx: &'a DatabaseTransaction,
    ) -> Pin<Box<dyn Future<Output = Result<(), DbErr>> + Send + 'a>> {
        Box::pin(async move {
            self.output = Some(self.operation.apply(tx).await?);
            Ok(())
        })
    }

    fn answer(self: Box<Self>, result: Result<(), Failure>) {
        let Self { operation, output, caller } = *self;
        let answer = match (result, output) {
            (Ok(()), Some(output)) => Ok(output),
            (Ok(()), None) => Err((Failure::unavailable("it was not tried"), operation)),
            (Err(failure), _) => Err((failure, operation)),
        };
        // The caller may have gone meanwhile; what is done is done.
        let _ = caller.send(answer);
    }
}

/// Works until every sender is gone, then closes its connection.
pub(super) async fn write(mut waiting: mpsc::Receiver<AnyJob>, mut connection: Connection, monitor: Arc<Monitor>) {
    loop {
        let next = if monitor.is_failing() {
            let Ok(next) = timeout(PROBE_EVERY, waiting.recv()).await else {
                probe(&mut connection, &monitor).await;
                continue;
            };
            next
        } else {
            waiting.recv().await
        };
        let Some(first) = next else { break };
        let batch = gather(first, &mut waiting);
        if !batch.is_empty() {
            commit_all(batch, &mut connection, &monitor).await;
        }
    }
    connection.close().await;
}

/// The first operation and what else is waiting, without those that nobody waits for.
fn gather(first: AnyJob, waiting: &mut mpsc::Receiver<AnyJob>) -> Vec<AnyJob> {
    let mut batch = Vec::new();
    let mut bytes = 0;
    let mut next = Some(first);
    while let Some(job) = next {
        if job.is_wanted() {
            bytes += job.weight();
            batch.push(job);
        }
        if batch.len() >= MAX_BATCH || bytes >= MAX_BATCH_BYTES {
            break;
        }
        next = waiting.try_recv().ok();
    }
    batch
}

/// Commits what has come together, as far as possible in one transaction.
async fn commit_all(batch: Vec<AnyJob>, connection: &mut Connection, monitor: &Monitor) {
    let (alone, together): (Vec<_>, Vec<_>) =
        batch.into_iter().partition(|job| connection.is_shared() && job.takes_shared_rows());
    let broken = if together.is_empty() { None } else { commit(together, connection, monitor).await };
    one_by_one(alone, broken, connection, monitor).await;
}

/// Commits a batch, or what of it can be committed, and answers everybody. What is returned is a failure of the whole store.
async fn commit(mut batch: Vec<AnyJob>, connection: &mut Connection, monitor: &Monitor) -> Option<Failure> {
    let bytes = batch.iter().map(|job| job.weight()).sum();
    match attempt(&mut batch, connection, monitor).await {
        Ok(()) => {
            for job in batch {
                job.answer(Ok(()));
            }
            // Nobody waits for this but those who come next.
            connection.after_commit(bytes).await;
            None
        }
        Err(failure) if failure.is_of_the_whole_store() => {
            refuse(batch, &failure);
            Some(failure)
        }
        Err(failure) if batch.len() == 1 => {
            refuse(batch, &failure);
            None
        }
        // One of them is wrong: the others shall not suffer.
        Err(_) => one_by_one(batch, None, connection, monitor).await,
    }
}

/// Commits each for itself. A failure of the whole store is that of all which follow, and is returned.
async fn one_by_one(
    batch: Vec<AnyJob>,
    mut broken: Option<Failure>,
    connection: &mut Connection,
    monitor: &Monitor,
) -> Option<Failure> {
    for job in batch {
        if let Some(failure) = &broken {
            job.answer(Err(failure.clone()));
            continue;
        }
        let mut alone = vec![job];
        let result = attempt(&mut alone, connection, monitor).await;
        if let Err(failure) = &result {
            broken = failure.is_of_the_whole_store().then(|| failure.clone());
        }
        for job in alone {
            job.answer(result.clone());
        }
    }
    broken
}

fn refuse(batch: Vec<AnyJob>, failure: &Failure) {
    for job in batch {
        job.answer(Err(failure.clone()));
    }
}

/// One transaction. When this returns an error, nothing of it is committed, unless the connection broke in the middle
/// of the commit.
async fn attempt(batch: &mut [AnyJob], connection: &mut Connection, monitor: &Monitor) -> Result<(), Failure> {
    monitor.begin();
    let result = connection.transaction(batch).await;
    match &result {
        Ok(()) => {
            #[expect(clippy::cast_precision_loss, reason = "no more than MAX_BATCH")]
            monitor.metrics().store_batch.observe(batch.len() as f64);
            monitor.committed();
        }
        Err(failure) if batch.len() > 1 && !failure.is_of_the_whole_store() => monitor.parted(),
        Err(failure) => monitor.failed(failure),
    }
    result
}

/// Asks a failing store whether it works again.
async fn probe(connection: &mut Connection, monitor: &Monitor) {
    // Its answer shows in the store's health.
    let (job, _answer) = Waiting::job(Probe);
    let _ = attempt(&mut [job], connection, monitor).await;
}

/// Writes something that nobody reads.
struct Probe;

impl Operation for Probe {
    type Output = ();

    async fn apply(&mut self, tx: &DatabaseTransaction) -> Result<(), DbErr> {
        let sql = "UPDATE store SET probes = probes + 1";
        tx.execute_raw(statement(tx.get_database_backend(), sql, [])).await.map(|_| ())
    }
}
