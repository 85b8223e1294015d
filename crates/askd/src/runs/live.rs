//! Runs that are in the hands of this server: what others may do with them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::RunId;
use super::content::Block;
use super::log::RunLog;

/// A run's task answers commands one by one, each at once; so many may wait.
pub(super) const COMMANDS_WAITING: usize = 16;

/// A run that waits or works here.
#[derive(Debug)]
pub struct Live {
    pub(super) log: Arc<RunLog>,
    pub(super) cancel: Cancel,
    /// Set when the talk with the CLI begins.
    pub(super) commands: OnceLock<mpsc::Sender<Command>>,
    /// How many clients hold the run; `None` once it is on its own.
    holders: Mutex<Option<usize>>,
}

/// Ends a run. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cancel {
    asked: CancellationToken,
    at_once: CancellationToken,
    /// Set when the reason is that a client left.
    left: CancellationToken,
    /// Why, if there is more to say than that somebody asked for it.
    reason: Arc<OnceLock<String>>,
}

/// Whether a command was taken.
pub type Taken = oneshot::Sender<Result<(), CommandError>>;

/// What the run's task is asked to do. It answers, or drops the sender when the run has ended.
#[derive(Debug)]
pub enum Command {
    /// End the current turn.
    Interrupt(Taken),
    /// Work on a further message.
    Input(Input, Taken),
}

/// A further message of the user.
#[derive(Debug, Clone)]
pub struct Input {
    /// Comes back in the CLI's `command_lifecycle` messages.
    pub uuid: Uuid,
    /// The text; empty if it is in `content`.
    pub message: String,
    /// The message in blocks, none of them a document or an upload.
    pub content: Vec<Block>,
    /// When the CLI takes it up.
    pub priority: Priority,
}

/// When the CLI takes a message up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Priority {
    /// At once; the current turn is interrupted for it.
    Now,
    /// With the next step of the current turn.
    #[default]
    Next,
    /// After the current turn.
    Later,
}

impl Priority {
    /// The words.
    pub const WORDS: [&str; 3] = ["now", "next", "later"];

    /// Its word, for clients and for the CLI.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::Next => "next",
            Self::Later => "later",
        }
    }

    /// What the word says.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Now, Self::Next, Self::Later].into_iter().find(|choice| choice.as_str() == word)
    }
}

/// Why a command was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The CLI has not been started yet.
    #[error("the run has not started yet")]
    NotStarted,
    /// Nothing more happens in it.
    #[error("the run has ended")]
    Ended,
    /// Too many commands wait for the run's task, or messages for the CLI.
    #[error("too many messages and commands wait for this run; try again later")]
    Busy,
    /// More than one run takes.
    #[error("this run has had as many messages and commands as a run takes; go on in a new run with its session_id")]
    TooMany,
}

impl Cancel {
    /// Cancelled with `asked`; killed by [`Self::kill`] only.
    pub(super) fn new(asked: CancellationToken) -> Self {
        Self { asked, at_once: CancellationToken::new(), left: CancellationToken::new(), reason: Arc::default() }
    }

    /// Asks for the end of the run.
    pub fn cancel(&self) {
        self.asked.cancel();
    }

    /// Asks for the end of the run, and says why.
    fn cancel_because(&self, why: &str) {
        if !self.asked.is_cancelled() {
            // Of two reasons the first counts.
            drop(self.reason.set(why.to_owned()));
        }
        self.asked.cancel();
    }

    /// Why it was ended, if somebody has said so.
    pub(super) fn reason(&self) -> Option<&str> {
        self.reason.get().map(String::as_str)
    }

    /// Ends it because its client has left.
    fn client_left(&self) {
        if !self.asked.is_cancelled() {
            self.left.cancel();
        }
        self.asked.cancel();
    }

    /// Whether that was the reason.
    pub(super) fn by_leaving(&self) -> bool {
        self.left.is_cancelled()
    }

    /// Ends it without asking.
    pub(super) fn kill(&self) {
        self.at_once.cancel();
        self.asked.cancel();
    }

    pub(super) fn token(&self) -> &CancellationToken {
        &self.asked
    }

    pub(super) async fn cancelled(&self) {
        self.asked.cancelled().await;
    }

    pub(super) async fn killed(&self) {
        self.at_once.cancelled().await;
    }
}

impl Live {
    pub(super) fn new(log: Arc<RunLog>, cancel: Cancel) -> Arc<Self> {
        Arc::new(Self { log, cancel, commands: OnceLock::new(), holders: Mutex::new(Some(0)) })
    }

    /// Its log.
    pub fn log(&self) -> &Arc<RunLog> {
        &self.log
    }

    /// Ends it.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Ends it, and says why in its last event.
    pub fn cancel_because(&self, why: &str) {
        self.cancel.cancel_because(why);
    }

    /// Hands a command to the run's task, and waits until it is taken.
    pub async fn command(&self, command: impl FnOnce(Taken) -> Command) -> Result<(), CommandError> {
        if self.log.has_ended() {
            return Err(CommandError::Ended);
        }
        let commands = self.commands.get().ok_or(CommandError::NotStarted)?;
        let (answer, answered) = oneshot::channel();
        commands.try_send(command(answer)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => CommandError::Busy,
            mpsc::error::TrySendError::Closed(_) => CommandError::Ended,
        })?;
        answered.await.unwrap_or(Err(CommandError::Ended))
    }

    /// Holds the run for a client whose leaving is to end it.
    pub(super) fn hold(self: &Arc<Self>) -> Holder {
        if let Some(count) = self.holders().as_mut() {
            *count += 1;
        }
        Holder(Arc::clone(self))
    }

    fn holders(&self) -> MutexGuard<'_, Option<usize>> {
        // No code that can panic runs under the lock.
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client that waits for a run, of the kind whose leaving ends it. When the last one is dropped the run is cancelled.
/// After the end of the run that does nothing.
#[derive(Debug)]
pub struct Holder(Arc<Live>);

impl Holder {
    /// The client has got what it asked for although the run goes on: from now on it goes on alone.
    pub fn release(self) {
        *self.0.holders() = None;
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let mut holders = self.0.holders();
        let Some(count) = holders.as_mut() else { return };
        *count = count.saturating_sub(1);
        if *count == 0 {
            drop(holders);
            self.0.cancel.client_left();
        }
    }
}

/// All runs that this server has in its hands.
#[derive(Debug, Default)]
pub(super) struct LiveRuns(Mutex<HashMap<RunId, Place>>);

/// How far a run is in them.
#[derive(Debug)]
enum Place {
    /// Its row may be in the store, its tasks are not there yet.
    Entering,
    Live(Arc<Live>),
}

impl LiveRuns {
    pub(super) fn get(&self, run: RunId) -> Option<Arc<Live>> {
        match self.lock().get(&run) {
            Some(Place::Live(live)) => Some(Arc::clone(live)),
            Some(Place::Entering) | None => None,
        }
    }

    /// Whether somebody here takes care of the run.
    pub(super) fn has(&self, run: RunId) -> bool {
        self.lock().contains_key(&run)
    }

    /// Announces a run, before its row is written or taken over: nobody else is to take it for one that was left.
    pub(super) fn enter(&self, run: RunId) {
        self.lock().entry(run).or_insert(Place::Entering);
    }

    /// Takes the announcement back, if the run has not come to life.
    pub(super) fn leave(&self, run: RunId) {
        let mut runs = self.lock();
        if matches!(runs.get(&run), Some(Place::Entering)) {
            runs.remove(&run);
        }
    }

    pub(super) fn insert(&self, run: RunId, live: Arc<Live>) {
        self.lock().insert(run, Place::Live(live));
    }

    /// Removes this one; the run may have come to life again meanwhile.
    pub(super) fn remove(&self, run: RunId, live: &Arc<Live>) {
        let mut runs = self.lock();
        if matches!(runs.get(&run), Some(Place::Live(there)) if Arc::ptr_eq(there, live)) {
            runs.remove(&run);
        }
    }

    pub(super) fn all(&self) -> Vec<Arc<Live>> {
        let live = |place: &Place| match place {
            Place::Live(live) => Some(Arc::clone(live)),
            Place::Entering => None,
        };
        self.lock().values().filter_map(live).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RunId, Place>> {
        // No code that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
