//! A running child as the server sees it.

use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::unix::pipe;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::guardian::{KILL, TERM};
use crate::identity::{Identity, Marker, ProcessId};
use crate::ladder::Rung;
use crate::leftovers;
use crate::orphans::Registered;
pub use crate::reports::Exit;
use crate::reports::Report;
use crate::spawn::Graces;

/// How much longer than the kill grace a guardian may take before it is taken for stuck and killed itself.
pub(crate) const GUARDIAN_MARGIN: Duration = Duration::from_secs(1);

/// The end of a whole tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone {
    /// How the main child ended.
    pub exit: Exit,
    /// How many descendants were alive when the main child ended by itself. In a view of bubblewrap they end with it, and
    /// are not counted.
    pub leftover: usize,
    /// How many processes could not be killed.
    pub leaked: usize,
}

/// A child and its tree. Dropping it closes the lifeline, whereupon the guardian kills the tree.
#[derive(Debug)]
pub struct Process {
    identity: Identity,
    pub(crate) graces: Graces,
    lifeline: Arc<OwnedFd>,
    pub(crate) escalation: watch::Sender<Option<Rung>>,
    state: watch::Receiver<State>,
    /// Tells the watching task to kill the guardian; dropped with the handle.
    pub(crate) wish: watch::Sender<Wish>,
}

/// What the watching task is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Watch,
    KillGuardian,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct State {
    pub(crate) exit: Option<Exit>,
    leftover: usize,
    pub(crate) gone: Option<Gone>,
}

/// What the watching task owns.
pub(crate) struct Watched {
    pub(crate) guardian: tokio::process::Child,
    pub(crate) registered: Registered,
    pub(crate) status: pipe::Receiver,
    pub(crate) marker: Marker,
    pub(crate) graces: Graces,
}

/// Why there is no process.
#[derive(Debug)]
pub(crate) struct NotStarted {
    pub(crate) why: Why,
    /// How many processes of the attempt could not be killed.
    pub(crate) leaked: usize,
}

/// What has become of a start that has failed.
#[derive(Debug)]
pub(crate) enum Why {
    /// The guardian's report.
    Reported { errno: i32, text: String },
    /// The guardian has ended without one.
    Silent,
    /// The guardian took too long, and has been killed.
    TooLate,
}

impl Process {
    /// Watches over a guardian from its birth on; returns when it has started the child. `patience` is for a guardian that
    /// does not even report that it took too long.
    pub(crate) async fn watch(
        watched: Watched,
        lifeline: Arc<OwnedFd>,
        patience: Duration,
    ) -> Result<Self, NotStarted> {
        let guardian = watched.guardian.id().and_then(ProcessId::of);
        let (graces, marker) = (watched.graces, watched.marker.value.clone());
        let (sender, state) = watch::channel(State::default());
        let (wish, wishes) = watch::channel(Wish::Watch);
        let (started_sender, mut started) = oneshot::channel();
        #[expect(clippy::disallowed_methods, reason = "ends by itself with the guardian, which it also reaps")]
        tokio::spawn(follow(watched, sender, wishes, started_sender));
        let silent = NotStarted { why: Why::Silent, leaked: 0 };
        let outcome = if let Ok(outcome) = timeout(patience, &mut started).await {
            outcome
        } else {
            wish.send_replace(Wish::KillGuardian);
            // Bounded: what cannot be killed is not waited for.
            let end = timeout(graces.kill + GUARDIAN_MARGIN, started)
                .await
                .unwrap_or(Ok(Err(NotStarted { why: Why::TooLate, leaked: 1 })));
            match end {
                Ok(Err(NotStarted { why: Why::Silent, leaked })) => Ok(Err(NotStarted { why: Why::TooLate, leaked })),
                end => end,
            }
        };
        let Ok(child) = outcome else { return Err(silent) };
        let (child, Some(guardian)) = (child?, guardian) else { return Err(silent) };
        let identity = Identity { guardian, child, marker };
        Ok(Self { identity, graces, lifeline, escalation: watch::Sender::new(None), state, wish })
    }

    /// How to recognise the run's processes later.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Waits until the main child has ended. Cancel-safe.
    pub async fn wait_exit(&self) -> Exit {
        let mut state = self.state.clone();
        match state.wait_for(|state| state.exit.is_some() || state.gone.is_some()).await {
            Ok(state) => state.exit.unwrap_or(Exit::Unknown),
            Err(_) => Exit::Unknown,
        }
    }

    /// Waits until the whole tree has ended, and its guardian too. Cancel-safe.
    ///
    /// This asks nothing to end: what the main child leaves behind is ended by the guardian, but the main child itself
    /// may run for ever.
    pub async fn wait_gone(&self) -> Gone {
        let mut state = self.state.clone();
        let gone = state.wait_for(|state| state.gone.is_some()).await.ok().and_then(|state| state.gone);
        match gone {
            Some(gone) => gone,
            // The runtime is shutting down and has dropped the watching task: nobody can know.
            None => pending().await,
        }
    }

    /// A handle for others to hurry a stop along.
    pub fn escalator(&self) -> Escalator {
        Escalator { lifeline: Arc::downgrade(&self.lifeline), escalation: self.escalation.clone() }
    }

    /// SIGTERM to every process of the tree.
    pub(crate) fn term(&self) {
        send(&self.lifeline, TERM);
    }

    /// Kills the tree.
    pub(crate) fn kill(&self) {
        send(&self.lifeline, KILL);
    }
}

/// Hurries a [stop](Process::stop) along from another task, or forces one that nobody has asked for. It does not keep
/// the child alive.
#[derive(Clone, Debug)]
pub struct Escalator {
    lifeline: Weak<OwnedFd>,
    escalation: watch::Sender<Option<Rung>>,
}

impl Escalator {
    /// At least `rung` is to be climbed, now. [`Rung::Term`] and [`Rung::Kill`] take effect even if no stop is under way.
    pub fn escalate(&self, rung: Rung) {
        if let Some(lifeline) = self.lifeline.upgrade() {
            match rung {
                Rung::Soft | Rung::CloseStdin => {}
                // A stop under way sends it itself; many programs take a second SIGTERM for impatience.
                Rung::Term if self.escalation.receiver_count() > 0 => {}
                Rung::Term => send(&lifeline, TERM),
                Rung::Kill => send(&lifeline, KILL),
            }
        }
        self.escalation.send_if_modified(|current| {
            let higher = *current < Some(rung);
            *current = (*current).max(Some(rung));
            higher
        });
    }
}

fn send(lifeline: &OwnedFd, command: u8) {
    if let Err(error) = rustix::io::write(lifeline, &[command]) {
        // It has ended, or is about to be killed; either way the watching task takes care of the rest.
        tracing::debug!(%error, "a guardian no longer listens");
    }
}

/// Reads the guardian's reports, reaps it, and cleans up after it if it was killed.
async fn follow(
    mut watched: Watched,
    sender: watch::Sender<State>,
    wishes: watch::Receiver<Wish>,
    started: oneshot::Sender<Result<ProcessId, NotStarted>>,
) {
    let mut started = Some(started);
    let mut leaked = None;
    let mut lines = BufReader::new(watched.status).lines();
    let patience = watched.graces.kill + GUARDIAN_MARGIN;
    let mut overdue = std::pin::pin!(overdue(wishes, patience));
    let mut condemned = false;
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line,
            () = &mut overdue, if !condemned => {
                condemned = true;
                drop(watched.guardian.start_kill());
                continue;
            }
        };
        let Ok(Some(line)) = line else { break };
        match Report::parse(&line) {
            Some(Report::Started(child)) => drop(started.take().map(|started| started.send(Ok(child)))),
            Some(Report::Failed { errno, text }) => {
                // Once the child runs, a failure is an early death of the guardian, and its tree is still to be ended.
                if let Some(started) = started.take() {
                    // It was said before, if there is anything.
                    let leaked = *leaked.get_or_insert(0);
                    drop(started.send(Err(NotStarted { why: Why::Reported { errno, text }, leaked })));
                }
            }
            Some(Report::Ended(exit)) => sender.send_modify(|state| state.exit = Some(exit)),
            Some(Report::Leftover(count)) => sender.send_modify(|state| state.leftover = count),
            Some(Report::Leaked(count)) => leaked = Some(count),
            Some(Report::Gone) => leaked = Some(0),
            Some(Report::Entered) | None => tracing::warn!(line, "a guardian reported something unknown"),
        }
    }
    // Whatever closed the status pipe, the guardian has nothing left to do; it must not be waited for in vain.
    if leaked.is_none() {
        if started.is_some() {
            // It may be about to say on its standard error why it starts nothing.
            drop(timeout(GUARDIAN_MARGIN, watched.guardian.wait()).await);
        }
        drop(watched.guardian.start_kill());
    }
    if let Err(error) = watched.guardian.wait().await {
        tracing::warn!(%error, "cannot reap a guardian");
    }
    drop(watched.registered);
    let leaked = if let Some(leaked) = leaked {
        leaked
    } else {
        tracing::warn!(marker = watched.marker.value, "a guardian ended before its tree; cleaning up after it");
        clean_up(&watched.marker, watched.graces.kill).await
    };
    if let Some(started) = started {
        drop(started.send(Err(NotStarted { why: Why::Silent, leaked })));
    }
    sender.send_modify(|state| {
        let exit = state.exit.unwrap_or(Exit::Unknown);
        state.gone = Some(Gone { exit, leftover: state.leftover, leaked });
    });
}

/// Completes when the guardian is to be killed: at once by wish, or some time after its lifeline has been closed.
async fn overdue(mut wishes: watch::Receiver<Wish>, patience: Duration) {
    if wishes.wait_for(|wish| *wish == Wish::KillGuardian).await.is_err() {
        sleep(patience).await;
    }
}

/// Kills what a killed guardian has left: by marker, and by having become our child. Returns how many remain.
async fn clean_up(marker: &Marker, patience: Duration) -> usize {
    let until = Instant::now() + patience;
    loop {
        let carrying = leftovers::kill_marked(marker.name, |value| value == marker.value.as_bytes());
        let remaining =
            carrying.and_then(|count| Ok(count + crate::orphans::reap()?)).unwrap_or_else(|error: io::Error| {
                tracing::warn!(%error, "cannot look for leftovers");
                0
            });
        if remaining == 0 || Instant::now() >= until {
            return remaining;
        }
        sleep(Duration::from_millis(10)).await;
    }
}

#[cfg(test)]
mod tests {
    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;
    use crate::orphans;

    /// What becomes of a start whose guardian writes this, and ends.
    async fn outcome(reports: &str) -> NotStarted {
        #[expect(clippy::disallowed_methods, reason = "in the place of a guardian")]
        let mut command = tokio::process::Command::new("true");
        let (guardian, registered) = orphans::spawn_guardian(&mut command).unwrap();
        let (status, written) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        rustix::io::write(&written, reports.as_bytes()).unwrap();
        drop(written);
        let status = pipe::Receiver::from_owned_fd(status).unwrap();
        let (_, lifeline) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let marker = Marker { name: "SUPERVISOR_UNIT_TEST", value: "nobody has this".to_owned() };
        let graces = Graces { kill: Duration::from_secs(20), ..Graces::default() };
        let watched = Watched { guardian, registered, status, marker, graces };
        Process::watch(watched, Arc::new(lifeline), Duration::from_mins(1)).await.unwrap_err()
    }

    #[tokio::test]
    async fn a_failed_start_says_how_many_processes_it_has_left() {
        let failed = outcome("leaked 3\nfailed 5 cannot make the view: slow\n").await;
        assert!(matches!(failed.why, Why::Reported { errno: 5, .. }), "{failed:?}");
        assert_eq!(failed.leaked, 3);
        assert_eq!(outcome("failed 5 cannot make the view: slow\n").await.leaked, 0);
        let failed = outcome("").await;
        assert!(matches!(failed.why, Why::Silent), "{failed:?}");
    }
}
