//! From a slot to a running process.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use claude::command::Session;
use claude::outcome::{Deadline, Ending};
use claude::progress::Progress;
use serde_json::{Map, Value};
use supervisor::cgroup::RunCgroup;
use supervisor::records::RunRecord;
use supervisor::spawn::{Child, Graces, Launch, Limits, SpawnError, spawn};

use super::super::content::Block;
use super::super::conversation::message::{Message, message};
use super::super::event::EventBody;
use super::super::limits::resources;
use super::super::prepare::{PrepareError, Prepared, prepare};
use super::super::redact::Redactor;
use super::super::server_secrets::of_operator;
use super::super::watch::MemoryKeeper;
use super::super::{Finished, RunError, RunErrorKind, RunState};
use super::Worker;
use crate::cli::health::Fault;
use crate::disk;
use crate::guard::Policy;
use crate::homes::Home;
use crate::isolation::protection::Protection;
use crate::traces::SpanKind;
use crate::traces::span::Span;

/// A run whose process is there.
pub(super) struct Started {
    pub(super) child: Child,
    /// Before it was.
    pub(super) begun: Instant,
    pub(super) policy: Policy,
    pub(super) mcp_servers: Map<String, Value>,
    pub(super) cgroup: Option<RunCgroup>,
    /// The first message; `None` for a prompt that is a text.
    pub(super) message: Option<Message>,
}

/// A run that has no process.
pub(super) struct NotStarted {
    pub(super) end: Finished,
    /// Whether processes of the attempt are left that may write into the home.
    pub(super) leaked: bool,
}

impl From<Finished> for NotStarted {
    fn from(end: Finished) -> Self {
        Self { end, leaked: false }
    }
}

impl Worker {
    /// Prepares the home and starts the process.
    pub(super) async fn start(
        &self,
        home: &Arc<Home>,
        content: Vec<Block>,
        span: &Span,
    ) -> Result<Started, NotStarted> {
        let failed = |message: String| Finished::failed(RunErrorKind::Run, message);
        let shared = &self.shared;
        let granted = tokio::select! {
            biased;
            () = self.run.live.cancel.cancelled() => return Err(self.cancelled().into()),
            granted = shared.credentials.grant(shared.cli.reads_key_descriptor, &shared.programs) => granted,
        };
        let granted = granted.map_err(|error| {
            tracing::error!(run = %self.run.id, %error, "no credential");
            shared.metrics.credential_failures.inc();
            failed("ASKD_API_KEY_HELPER gave no key; the server's log says why".into())
        })?;
        self.source_is_there().await?;
        let message = tokio::select! {
            biased;
            () = self.run.live.cancel.cancelled() => return Err(self.cancelled().into()),
            message = tokio::time::timeout(self.run.spec.timeout, message(shared, content)) => message,
        };
        let message = message.map_err(|_| {
            let most = self.run.spec.timeout.as_secs();
            let what = format!("the server had no room in memory for its message within {most} s (timeout_seconds)");
            Finished::failed(RunErrorKind::Timeout, what)
        })?;
        let message = message.map_err(|error| {
            tracing::warn!(run = %self.run.id, %error, "cannot read the message of a run");
            failed(format!("the message cannot be put together: {error}"))
        })?;
        let mut values = self.run.spec.secrets.to_redact();
        // askd's own key, and the secrets among the variables that are passed on.
        values.extend(granted.values.iter().cloned().chain(shared.settings.now().secrets()));
        let task = {
            let (shared, run, home) = (Arc::clone(shared), Arc::clone(&self.run), Arc::clone(home));
            move || {
                let mut prepared = prepare(&shared, run.id, &run.spec, &home, granted, run.live.log.place())?;
                // Here, for it takes a while.
                let redactor = Redactor::new(values.into_iter().chain(of_operator(&prepared.mcp_servers)));
                run.live.log.keep_back(redactor);
                // Last, when the copy of the transcript is complete.
                home.claim(run.spec.session.id()).map_err(PrepareError::Home)?;
                let cgroup = shared.isolation.cgroup(&run.id.to_string()).map_err(PrepareError::Cgroup)?;
                let confinement = &mut prepared.launch.confinement;
                confinement.resources = resources(&shared.settings.now());
                let folder = cgroup.as_ref().map(|cgroup| cgroup.folder().try_clone_to_owned()).transpose();
                match folder {
                    Ok(folder) => confinement.cgroup = folder,
                    Err(error) => {
                        // Nothing is in it yet. If it stays all the same, the janitor tries again.
                        drop(cgroup.map(RunCgroup::remove));
                        return Err(PrepareError::Cgroup(error));
                    }
                }
                Ok::<_, PrepareError>((prepared, cgroup))
            }
        };
        let prepared = tokio::task::spawn_blocking(task).await.map_err(|error| failed(error.to_string()))?;
        let (Prepared { launch, warnings, policy, mcp_servers }, cgroup) =
            prepared.map_err(|error| self.unprepared(&error))?;
        for warning in warnings {
            self.log(&EventBody::Warning(warning));
        }
        let begun = Instant::now();
        match self.launch(launch, span).await {
            Ok(child) => Ok(Started { child, begun, policy, mcp_servers, cgroup, message }),
            Err(not_started) => {
                self.remove_cgroup(cgroup).await;
                Err(not_started)
            }
        }
    }

    /// Says why, and counts what keeps other runs from starting as well.
    fn unprepared(&self, error: &PrepareError) -> Finished {
        let cause = std::error::Error::source(error).map(ToString::to_string);
        if let Some(full) = disk::full_below(error) {
            tracing::warn!(run = %self.run.id, %error, cause, "cannot prepare a run");
            return not_prepared("the run cannot be prepared", full);
        }
        let of_installation = match error {
            PrepareError::Program(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Some(("not_executable", Fault::NotExecutable))
            }
            PrepareError::Program(_) => Some(("not_found", Fault::Missing)),
            PrepareError::View(_) => Some(("view", Fault::View)),
            PrepareError::Seed(_)
            | PrepareError::Transcript(_)
            | PrepareError::Cgroup(_)
            | PrepareError::Home(_)
            | PrepareError::Ground(_) => None,
        };
        if let Some((word, fault)) = of_installation {
            tracing::error!(run = %self.run.id, %error, cause, "cannot start the CLI");
            self.shared.metrics.cli_start_failures.of([word]).inc();
            self.blame(fault);
        } else {
            tracing::warn!(run = %self.run.id, %error, cause, "cannot prepare a run");
        }
        Finished::failed(RunErrorKind::Run, error.to_string())
    }

    /// Waits until the session that is to be forked is where it can be copied.
    async fn source_is_there(&self) -> Result<(), NotStarted> {
        let Session::Fork { from, .. } = self.run.spec.session else { return Ok(()) };
        tokio::select! {
            biased;
            () = self.run.live.cancel.cancelled() => return Err(self.cancelled().into()),
            () = self.shared.sessions.returned(from) => {}
        }
        let sessions = self.shared.sessions.clone();
        if tokio::task::spawn_blocking(move || sessions.exists(from)).await.unwrap_or(false) {
            return Ok(());
        }
        let message = format!("the session {from} has no turn yet that could be forked; its first run may be at work");
        Err(Finished::failed(RunErrorKind::SessionNotFound, message).into())
    }

    /// Starts the process, once it may begin.
    async fn launch(&self, launch: Launch, span: &Span) -> Result<Child, NotStarted> {
        let (shared, failed) = (&self.shared, |message: &str| Finished::failed(RunErrorKind::Run, message));
        // Not before it is stored that the run has begun: after a crash it must not be taken for one that still waits.
        tokio::select! {
            biased;
            () = self.run.live.cancel.cancelled() => return Err(self.cancelled().into()),
            stored = self.run.live.log.all_stored() => if !stored {
                return Err(failed("the run is no longer in the hands of this server").into());
            },
        }
        // Not to be cut short: whoever drops it does not see the end of what it has started. A cancel is noticed by the
        // conversation, before its first word.
        let (begun, mut spawning) = (Instant::now(), span.child("spawn", SpanKind::Internal));
        let started = spawn(launch, self.limits()).await;
        if let Err(error) = &started {
            spawning.fail(word(error));
        }
        spawning.end();
        match &started {
            Ok(_) => shared.metrics.cli_start.observe(begun.elapsed().as_secs_f64()),
            Err(error) => drop(shared.metrics.cli_start_failures.of([word(error)]).inc()),
        }
        let child = started.map_err(|error| {
            tracing::error!(run = %self.run.id, %error, "cannot start the CLI");
            if let Some(fault) = Fault::of_spawn(&error) {
                self.blame(fault);
            }
            let end = failed("the CLI could not be started; the server's log says why");
            NotStarted { end, leaked: matches!(error, SpawnError::Leaked { .. }) }
        })?;
        // The marker in its environment finds the process as well, should the server die before this is written.
        let record = RunRecord::new(self.run.id.to_string(), child.identity().clone());
        if let Err(error) = record.and_then(|record| record.write(&shared.records)) {
            tracing::warn!(run = %self.run.id, %error, "cannot write a run's record");
        }
        Ok(child)
    }

    /// Says that the CLI could not begin at all, for the runs to come. One that was ended early says nothing of that.
    pub(super) fn note_failed_start(&self, ending: &Ending, spoke: bool, progress: &Progress) {
        let result = progress.result().or(progress.answer());
        let reason = result.and_then(|result| result.startup_failure_reason.as_deref());
        let is_silent = !spoke && result.is_none();
        let fault = match ending {
            _ if reason.is_some() => reason.and_then(Fault::of_startup),
            // Another process has the session; the words are the CLI's.
            Ending::Exited { stderr, .. } if stderr.contains("already in use") => None,
            Ending::Exited { .. } | Ending::TimedOut { deadline: Deadline::FirstOutput, .. } if is_silent => {
                Some(Fault::Silent)
            }
            _ => None,
        };
        if let Some(fault) = fault {
            self.blame(fault);
        }
    }

    fn blame(&self, fault: Fault) {
        self.shared.cli_health.has_failed(fault, self.shared.settings.now().health.cli_start_failures);
    }

    /// Who keeps the limit of memory of a run that has got a cgroup if there are some.
    pub(super) fn memory_keeper(&self) -> MemoryKeeper {
        if self.shared.isolation.of_run().in_force.contains(&Protection::CgroupMemory) {
            MemoryKeeper::Kernel
        } else {
            MemoryKeeper::Watch
        }
    }

    /// To be called when its processes are gone; what is still in it is killed.
    pub(super) async fn remove_cgroup(&self, cgroup: Option<RunCgroup>) {
        let Some(cgroup) = cgroup else { return };
        let task = move || {
            // An older kernel cannot; then removing it says so if anything is left.
            drop(cgroup.kill());
            cgroup.remove()
        };
        let removed = tokio::task::spawn_blocking(task).await;
        if let Err(error) = removed.unwrap_or_else(|error| Err(io::Error::other(error))) {
            tracing::warn!(run = %self.run.id, %error, "cannot remove the cgroup of a run");
        }
    }

    fn limits(&self) -> Limits {
        let (output, stopping) = (&self.shared.settings.now().output, &self.shared.settings.now().stopping);
        Limits {
            max_line_bytes: output.max_line,
            stderr_tail_bytes: output.stderr_tail,
            write_timeout: self.shared.settings.now().deadlines.first_output,
            graces: Graces {
                soft: stopping.soft,
                eof: stopping.eof,
                term: stopping.term,
                kill: stopping.kill,
                ..Graces::default()
            },
            ..Limits::default()
        }
    }
}

/// Why a CLI was not started, for metrics.
fn word(error: &SpawnError) -> &'static str {
    match error {
        SpawnError::NotFound { .. } => "not_found",
        SpawnError::NotExecutable { .. } => "not_executable",
        SpawnError::TooLong { .. } => "too_long",
        SpawnError::View { .. } => "view",
        SpawnError::HandOver { .. } => "hand_over",
        SpawnError::Launcher { .. } => "launcher",
        SpawnError::Guardian { .. } => "guardian",
        SpawnError::TooLate { .. } => "too_late",
        SpawnError::Leaked { .. } => "leaked",
        SpawnError::Failed { .. } | SpawnError::SecretTooLong { .. } | SpawnError::Pipes(_) => "other",
    }
}

/// The end of a run whose home could not be made or filled. A disk that is full is no fault of the run.
pub(super) fn not_prepared(what: &str, error: &io::Error) -> Finished {
    if !disk::is_full(error) {
        return Finished::failed(RunErrorKind::Run, what);
    }
    let message = format!("{what}: the disk of the server is full, or its quota is used up");
    let hint = "try again later; the operator can free space on the disk of ASKD_DATA_DIR".to_owned();
    let error = RunError { hint: Some(hint), ..RunError::new(RunErrorKind::Run, message) };
    Finished { state: RunState::Failed, error: Some(error) }
}
