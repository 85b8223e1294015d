//! Whether the CLI can be started: what its starts, and looks at its file, have shown.
//!
//! Nobody asks the CLI all the time whether it is well: starting it costs half a second, and its own health commands burn a
//! login's token. Runs start it, and what they meet is counted here. But a run is a client's: its variables, servers, agents
//! and folders can keep the CLI from its first word, in more ways than a list would hold. So failures of runs only make
//! the server doubt, and then it tries a start of its own, with nothing of any client's in it. That start decides.
//!
//! ```text
//! working --so many starts of runs in a row fail---------------------> doubted: the server tries a start of its own
//! doubted --that fails too------------------------------------------> broken; else working, and the fault is the runs'
//! working --a look at a file that has changed finds that it fails-----> broken
//! broken  --a good look, or a run that begins-------------------------> working
//! ```

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use supervisor::spawn::SpawnError;
use tokio::sync::Notify;

/// What is wrong with the installation. The words are for everybody: they name no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The program, or its interpreter, is not there.
    Missing,
    /// It may not be executed.
    NotExecutable,
    /// No process can be started: no room for one, no descriptors, no launcher.
    NoProcess,
    /// It works, and the view that confines runs, which is that of the start, does not show it.
    OutOfView,
    /// The view that confines runs cannot be made any more.
    View,
    /// It ended, or was silent for too long, before its first word.
    Silent,
    /// It said why it cannot work here: a word of its own.
    Startup(&'static str),
    /// It does not say its version.
    NoVersion,
    /// It was replaced by one that is too old.
    TooOld,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "its program is missing",
            Self::NotExecutable => "its program may not be executed",
            Self::NoProcess => "no process can be started for it",
            Self::OutOfView => "its program is another one, in a place that runs do not see; restart the server",
            Self::View => "the isolation of runs no longer works",
            Self::Silent => "it ends before its first word",
            Self::Startup(reason) => return write!(f, "it says that it cannot start ({reason})"),
            Self::NoVersion => "it does not say its version",
            Self::TooOld => "its program was replaced by one that is too old",
        })
    }
}

/// The CLI's own reasons that are the installation's fault. Others are a run's (`cwd_unavailable`, `worktree_…`,
/// `session_held_by_background`, `initialize_…`), its key's (`managed_settings_…`) or the account's (`org_…`); what is not
/// known may be any of these.
const OF_INSTALLATION: [&str; 8] = [
    "bypass_root",
    "cli_version_too_old",
    "config_file_invalid",
    "provider_not_allowed",
    "proxy_invalid",
    "sandbox_required_unavailable",
    "shell_tool_missing",
    "temp_dir_unusable",
];

impl Fault {
    /// Of a `startup_failure_reason`; `None`: not the installation's fault, as far as is known.
    pub fn of_startup(reason: &str) -> Option<Self> {
        OF_INSTALLATION.into_iter().find(|known| *known == reason).map(Self::Startup)
    }

    /// Of a start that has failed; `None`: the fault of this one run.
    pub fn of_spawn(error: &SpawnError) -> Option<Self> {
        Some(match error {
            SpawnError::NotFound { .. } => Self::Missing,
            SpawnError::NotExecutable { .. } => Self::NotExecutable,
            SpawnError::View { .. } => Self::View,
            SpawnError::TooLong { .. } | SpawnError::SecretTooLong { .. } => return None,
            // The run's folder may have gone since it was looked at.
            SpawnError::Failed { text, .. } if text.contains("working directory") => return None,
            SpawnError::Leaked { error, .. } => return Self::of_spawn(error),
            SpawnError::HandOver { .. }
            | SpawnError::Failed { .. }
            | SpawnError::Launcher { .. }
            | SpawnError::Guardian { .. }
            | SpawnError::TooLate { .. }
            | SpawnError::Pipes(_) => Self::NoProcess,
        })
    }
}

/// What is known of the CLI.
#[derive(Debug, Default)]
pub struct CliHealth {
    state: Mutex<State>,
    doubted: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Starts of runs in a row that have failed, and how the last one did.
    failures: u32,
    /// When the last of anything bad was seen.
    bad: Option<Instant>,
    /// The log was told that the server is to look itself, and it has not looked since.
    is_doubted: bool,
    broken: Option<Broken>,
}

#[derive(Debug, Clone, Copy)]
struct Broken {
    fault: Fault,
    since: Instant,
}

/// What is to be said of a CLI that cannot be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trouble {
    /// What was seen last.
    pub fault: Fault,
    /// For how long it has been so.
    pub lasting: Duration,
}

impl CliHealth {
    /// What is wrong; `None`: nothing that is known. Cheap.
    pub fn trouble(&self) -> Option<Trouble> {
        self.state().broken.map(|Broken { fault, since, .. }| Trouble { fault, lasting: since.elapsed() })
    }

    /// The CLI has begun the work of a run, which was `started` then. What was seen since says more than an earlier start:
    /// a file that is gone now may have been there.
    pub fn has_begun(&self, started: Instant) {
        let mut state = self.state();
        if state.bad.is_some_and(|bad| started <= bad) {
            return;
        }
        if state.broken.is_some() {
            tracing::info!("the CLI starts again: a run has begun");
        }
        *state = State::default();
    }

    /// A run's start has failed, and the installation may be at fault. After `bound` of these in a row the server is to look
    /// itself ([`doubted`](Self::doubted)); 0: never.
    pub fn has_failed(&self, fault: Fault, bound: u32) {
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1);
        state.bad = Some(Instant::now());
        if state.broken.is_none() && bound > 0 && state.failures >= bound {
            // Clients can go on failing until the server looks.
            if !std::mem::replace(&mut state.is_doubted, true) {
                tracing::warn!(
                    failures = state.failures,
                    "starts of the CLI fail: {fault}. The server tries one itself, with nothing of any run's"
                );
            }
            state.failures = 0;
            self.doubted.notify_one();
        }
    }

    /// Waits until runs have given reason to doubt it.
    pub fn doubted(&self) -> impl Future<Output = ()> + Send {
        self.doubted.notified()
    }

    /// Whether it was found broken.
    pub fn is_broken(&self) -> bool {
        self.state().broken.is_some()
    }

    /// Somebody has looked at it, by a start with nothing of any run's in it, or has seen that there is no file to start.
    pub fn was_looked_at(&self, found: Result<(), Fault>) {
        let mut state = self.state();
        state.is_doubted = false;
        match (found, state.broken) {
            (Ok(()), None) => state.failures = 0,
            (Ok(()), Some(_)) => {
                tracing::info!("the CLI can be started again");
                *state = State::default();
            }
            (Err(fault), broken) => {
                let now = Instant::now();
                if broken.is_none() {
                    tracing::error!(
                        "the CLI cannot be started: {fault}. The server is not ready until it can; askd doctor says more"
                    );
                }
                state.bad = Some(now);
                state.broken = Some(Broken { fault, since: broken.map_or(now, |broken| broken.since) });
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: u32 = 3;

    /// Whether the server was asked to look since the last time.
    fn is_doubted(health: &CliHealth) -> bool {
        use futures_util::FutureExt as _;
        health.doubted().now_or_never().is_some()
    }

    #[test]
    fn so_many_starts_in_a_row_have_to_fail_and_then_the_servers_own_decides() {
        let health = CliHealth::default();
        health.has_failed(Fault::Silent, BOUND);
        health.has_failed(Fault::Silent, BOUND);
        health.has_begun(Instant::now());
        health.has_failed(Fault::Silent, BOUND);
        health.has_failed(Fault::Missing, BOUND);
        assert!(!is_doubted(&health));
        health.has_failed(Fault::View, BOUND);
        assert!(is_doubted(&health) && health.trouble().is_none(), "clients alone take no server out of service");
        health.was_looked_at(Ok(()));
        assert_eq!(health.trouble(), None);
        (0..BOUND).for_each(|_| health.has_failed(Fault::Silent, BOUND));
        assert!(is_doubted(&health));
        health.was_looked_at(Err(Fault::View));
        assert_eq!(health.trouble().unwrap().fault, Fault::View);
        health.has_failed(Fault::Silent, BOUND);
        assert_eq!(health.trouble().unwrap().fault, Fault::View, "what the server has seen itself is told");
        health.was_looked_at(Ok(()));
        assert_eq!(health.trouble(), None);
    }

    #[test]
    fn without_a_bound_starts_may_fail_and_a_file_that_is_gone_still_counts() {
        let health = CliHealth::default();
        (0..100).for_each(|_| health.has_failed(Fault::Silent, 0));
        assert!(!is_doubted(&health));
        health.was_looked_at(Err(Fault::Missing));
        assert_eq!(health.trouble().unwrap().fault, Fault::Missing);
    }

    #[test]
    fn a_run_of_before_says_nothing_of_what_was_seen_since() {
        let (health, before) = (CliHealth::default(), Instant::now());
        health.was_looked_at(Err(Fault::Missing));
        health.has_begun(before);
        assert!(health.is_broken());
        health.has_begun(Instant::now());
        assert!(!health.is_broken());
        health.has_failed(Fault::Silent, 2);
        health.has_begun(before);
        health.has_failed(Fault::Silent, 2);
        assert!(is_doubted(&health), "the row is not broken by a run that was there before it");
    }

    #[test]
    fn what_is_a_runs_own_fault_says_nothing_of_the_installation() {
        for reason in ["cwd_unavailable", "session_held_by_background", "org_disabled", "initialize_timeout", "new_one"]
        {
            assert_eq!(Fault::of_startup(reason), None, "{reason}");
        }
        assert_eq!(Fault::of_startup("bypass_root"), Some(Fault::Startup("bypass_root")));
        let program = || "claude".into();
        let failed = |text: &str| SpawnError::Failed { program: program(), errno: 2, text: text.to_owned() };
        assert_eq!(Fault::of_spawn(&failed("cannot enter the working directory: gone")), None);
        assert_eq!(Fault::of_spawn(&failed("cannot set the limits: no")), Some(Fault::NoProcess));
        assert_eq!(Fault::of_spawn(&SpawnError::TooLong { program: program() }), None);
        let missing = SpawnError::NotFound { program: program(), hint: "" };
        let leaked = SpawnError::Leaked { error: Box::new(missing), leaked: 1 };
        assert_eq!(Fault::of_spawn(&leaked), Some(Fault::Missing));
    }
}
