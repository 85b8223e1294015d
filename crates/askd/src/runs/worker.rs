//! Drives one run from its place in the line to the end of its last process.

use std::sync::{Arc, OnceLock};

use claude::input::interrupt;
use claude::notice::says_transcript_lost;
use claude::outcome::{Ending, Limit, caveat, judge};
use claude::progress::{BackgroundTask, Progress};
use supervisor::input::Stdin;
use supervisor::ladder::{Rung, Stopped};
use supervisor::lines::Line;
use supervisor::output::Lines;
use supervisor::process::Process;
use supervisor::records::RunRecord;
use supervisor::spawn::Child;
use tokio::sync::mpsc;
use tokio::time::timeout_at;

use super::alarm::Alarm;
use super::begin::waited_too_long;
use super::content::Block;
use super::conversation::{Bounds, Conversation, Ended};
use super::event::EventBody;
use super::limits::Breach;
use super::live::COMMANDS_WAITING;
use super::queue::{Slot, Ticket};
use super::request::OnDisconnect;
use super::schema::verdict::{Verdict, asks_for_verdict, verdict};
use super::shared::Shared;
use super::submit::Run;
use super::warning::{Warning, WarningCode};
use super::{Finished, RunErrorKind, RunState};
use crate::homes::Home;
use crate::sessions::returning::Returning;
use crate::traces::place::ids;
use cost::{Cost, LastWords, is_told, out_of_budget};
use start::{NotStarted, Started, not_prepared};

mod cost;
mod start;

/// A run in the hands of its one task. The task ends when nothing of the run is left.
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) run: Arc<Run>,
    /// The blocks of the first message, until the run begins.
    pub(super) content: Vec<Block>,
    /// From the run's end on, until its transcript is back.
    pub(super) returning: OnceLock<Returning>,
}

impl Drop for Worker {
    /// Whatever happens to the task, followers see an end. After the end that the run already has, this does nothing.
    fn drop(&mut self) {
        let end = Finished::failed(RunErrorKind::Run, "the server made a mistake; its log has the details");
        self.log(&EventBody::Finished(end.into()));
    }
}

impl Worker {
    /// Waits for a slot, runs, answers, and clears up. The answer is given as soon as it is known; the slot and the
    /// session are free when the process tree is gone.
    pub(super) async fn drive(mut self, ticket: Ticket) {
        let slot = match self.turn(ticket).await {
            Ok(slot) => slot,
            Err(NoTurn::Ended(end)) => return self.finish(end),
            Err(NoTurn::Later) => return self.run.live.log.let_go(),
        };
        let isolation = self.run.spec.ground.kept_by(self.shared.isolation.of_run());
        self.log(&EventBody::Turn { isolation: isolation.to_json() });
        let home = match self.shared.homes.create(|| self.shared.ambient.uuid()) {
            Ok(home) => Arc::new(home),
            Err(error) => {
                tracing::error!(%error, "cannot make a home for a run");
                self.charge_nothing();
                return self.finish(not_prepared("the run's private home cannot be made", &error));
            }
        };
        let content = std::mem::take(&mut self.content);
        let mut starting = self.run.live.log.step("start");
        let started = self.start(&home, content, &starting).await;
        if let Err(NotStarted { end, .. }) = &started {
            starting.fail(end.word());
        }
        starting.end();
        match started {
            Ok(started) => {
                let leaked = self.work(started, &home).await;
                // With processes left that may write into it, the home stays until they are gone (`serve::janitor`).
                if !leaked && self.keep_transcript(&home).await {
                    self.clear_up(&home).await;
                }
            }
            Err(NotStarted { end, leaked }) => {
                // Nothing was asked of the model.
                self.charge_nothing();
                self.finish(end);
                if !leaked {
                    self.clear_up(&home).await;
                }
            }
        }
        drop::<Slot>(slot);
    }

    /// A slot for a run that may begin.
    async fn turn(&self, ticket: Ticket) -> Result<Slot, NoTurn> {
        let mut slot = self.wait_for_turn(ticket).await?;
        self.check_key().await?;
        slot.begin();
        // The clock may have been set back meanwhile.
        let waited = self.shared.ambient.now().duration_since(self.run.queued_since).as_secs_f64().max(0.0);
        self.shared.metrics.queue_wait.observe(waited);
        Ok(slot)
    }

    async fn wait_for_turn(&self, mut ticket: Ticket) -> Result<Slot, NoTurn> {
        let draining = self.shared.lifecycle.draining();
        tokio::select! {
            biased;
            () = draining.cancelled() => Err(self.no_turn_before_the_end()),
            () = self.run.live.cancel.cancelled() => Err(NoTurn::Ended(self.cancelled())),
            granted = timeout_at(self.run.turn_until, ticket.granted()) => {
                granted.map_err(|_| NoTurn::Ended(self.waited_too_long()))
            }
        }
    }

    /// What becomes of a run that waits when the server takes no new work.
    pub(super) fn no_turn_before_the_end(&self) -> NoTurn {
        match self.run.on_disconnect {
            // Its client is told to come again.
            OnDisconnect::Cancel => NoTurn::Ended(shutting_down()),
            OnDisconnect::Continue => NoTurn::Later,
        }
    }

    pub(super) fn waited_too_long(&self) -> Finished {
        waited_too_long(&self.shared.settings.now().limits, self.run.spec.queue_timeout, self.run.on_disconnect)
    }

    /// Talks to the process, gives the answer, and ends the tree; whether something of it could not be ended.
    async fn work(&self, started: Started, home: &Arc<Home>) -> bool {
        let Started { child, begun, policy, mcp_servers, cgroup, message } = started;
        let Child { stdin, mut lines, stderr, process } = child;
        let (shared, limits) = (&self.shared, &self.shared.settings.now().run_limits);
        let alarm = Arc::new(Alarm::default());
        // To the very end: what is left of a run that has answered must not fill the disk either.
        let watching = shared.watch.over(
            self.run.id,
            &process,
            home.path().to_owned(),
            cgroup,
            self.memory_keeper(),
            Arc::clone(&alarm),
        );
        let (send_command, commands) = mpsc::channel(COMMANDS_WAITING);
        // Set here and nowhere else; from now on commands are answered.
        drop(self.run.live.commands.set(send_command));
        let conversation = Conversation {
            spec: &self.run.spec,
            log: &self.run.live.log,
            ambient: &shared.ambient,
            policy: &policy,
            judges: &shared.judges,
            mcp_servers: &mcp_servers,
            bounds: self.bounds(),
            cli_version: shared.cli.version,
            cli_health: &shared.cli_health,
            begun,
            cancelled: self.run.live.cancel.token(),
            alarm: &alarm,
        };
        let Ended { mut ending, refused, spoke, ready, progress, unanswered, verdict, stdin, judging, mut spending } =
            conversation.hold(message, stdin, &mut lines, &stderr, &process, commands).await;
        if matches!(ending, Ending::Exited { .. }) {
            watching.look_again(limits);
            ending = alarm.breach().map_or(ending, Breach::ending);
        }
        self.note_failed_start(&ending, spoke, &progress);
        let first_rung = first_rung(&ending, &progress, ready);
        let conclude = async |ending: &Ending| match refused {
            Some(end) => end,
            None => self.conclude(ending, &progress, verdict).await.after_silence(unanswered),
        };
        let words = LastWords::default();
        let stopping = async { tokio::join!(judging.end(), self.stop(process, first_rung, stdin, lines, &words)).1 };
        let leaked = if is_told(&ending, &progress, &spending) {
            let telling = async {
                let end = conclude(&ending).await;
                self.charge(Cost::Known, &spending);
                self.finish_with(end, watching.most_memory());
            };
            beside(telling, None, stopping).await
        } else {
            // A run has ended when it is known what it has used, and that is told last.
            let mut stopping = std::pin::pin!(stopping);
            let stopped = self.last_words(&mut stopping, &words, &spending).await;
            let telling = async {
                let cost = self.cost((&ending, ready, stopped), &mut spending, &words, home).await;
                let spent = spending.spent();
                let ending = out_of_budget(&ending, &spending, spent, self.run.spec.budget).unwrap_or(ending.clone());
                let end = conclude(&ending).await;
                self.charge(cost, &spending);
                self.finish_with(end, watching.most_memory());
            };
            beside(telling, stopped, stopping).await
        };
        self.remove_cgroup(watching.end()).await;
        leaked
    }

    /// Says what a person wants to know, and what became of the run.
    async fn conclude(&self, ending: &Ending, progress: &Progress, judged: Option<Verdict>) -> Finished {
        if matches!(ending, Ending::Cancelled { .. }) {
            return self.cancelled();
        }
        let result = if *ending == Ending::Done { progress.result() } else { progress.answer() };
        for task in progress.background().iter().filter(|task| task.outlives_the_answer()) {
            self.log(&EventBody::Warning(Warning::new(WarningCode::BackgroundEnded, ended_task(task))));
        }
        let schema = self.run.spec.schema.as_ref();
        let outcome = judge(result, ending, schema.is_some());
        if let Some(caveat) = caveat(result, ending, schema.is_some()) {
            self.log(&EventBody::Warning(Warning::new(WarningCode::Other, caveat)));
        }
        let (Some(schema), Some(result), true) = (schema, result, asks_for_verdict(&outcome)) else {
            return outcome.into();
        };
        if let Some(verdict) = judged {
            return verdict.end_of(outcome);
        }
        // A CLI that exited after its answer cannot be asked again.
        tokio::select! {
            biased;
            verdict = verdict(schema, result) => verdict.end_of(outcome),
            () = self.run.live.cancel.cancelled() => self.cancelled(),
        }
    }

    /// Ends the tree.
    async fn stop(
        &self,
        process: Process,
        from: Rung,
        stdin: Option<Stdin>,
        mut lines: Lines,
        words: &LastWords,
    ) -> Stopped {
        let escalator = process.escalator();
        // At the end of its input the CLI would wait for subagents, which cost more.
        let after_result = if self.run.spec.budget.is_some() { Rung::Term } else { Rung::CloseStdin };
        let soft = async |stdin: &mut Stdin| {
            // A CLI that does not read any more is ended by a higher rung.
            drop(stdin.write_line(interrupt(0).as_bytes()).await);
        };
        let drain = async {
            while let Some(line) = lines.next().await {
                if matches!(&line, Ok(Line::Text(text)) if says_transcript_lost(text)) {
                    // Too late for a warning of the run: its end was told.
                    tracing::error!(run = %self.run.id, "the CLI could not save all of a conversation; is the disk full?");
                }
                // An interrupted turn ends with a result. There is nothing more to wait for.
                if matches!(line, Ok(Line::Text(text)) if words.hear(&text)) {
                    escalator.escalate(after_result);
                }
            }
            lines.discard().await;
        };
        let mut stopping = std::pin::pin!(process.stop(from, soft, stdin, drain));
        let stopped = tokio::select! {
            stopped = &mut stopping => stopped,
            () = async {
                tokio::select! {
                    () = self.shared.lifecycle.killing().cancelled() => {}
                    () = self.run.live.cancel.killed() => {}
                }
            } => {
                escalator.escalate(Rung::Kill);
                stopping.await
            }
        };
        if stopped.leftover > 0 {
            tracing::warn!(run = %self.run.id, processes = stopped.leftover, "processes that outlived the CLI were ended");
        }
        if stopped.leaked > 0 {
            self.shared.metrics.leaked.inc_by(stopped.leaked as u64);
            tracing::error!(run = %self.run.id, processes = stopped.leaked, "processes of a run could not be killed");
        }
        stopped
    }

    /// Moves the transcript out of the home; whether the home is no longer needed.
    async fn keep_transcript(&self, home: &Arc<Home>) -> bool {
        let (shared, home) = (Arc::clone(&self.shared), Arc::clone(home));
        let session = self.run.spec.session.id();
        let kept = tokio::task::spawn_blocking(move || {
            if let Err(error) = shared.credentials.keep_login(home.path()) {
                tracing::error!(%error, "cannot keep the refreshed login of a run; log in again if runs fail");
            }
            shared.sessions.carry_back(session, home.path())
        });
        match kept.await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::error!(run = %self.run.id, %session, %error, "cannot keep the transcript; the next start tries again");
                false
            }
            Err(error) => {
                tracing::error!(run = %self.run.id, %error, "keeping the transcript failed");
                false
            }
        }
    }

    async fn clear_up(&self, home: &Arc<Home>) {
        let (shared, home, id) = (Arc::clone(&self.shared), Arc::clone(home), self.run.id);
        let cleared = tokio::task::spawn_blocking(move || {
            home.remove().and_then(|()| RunRecord::remove(&shared.records, &id.to_string()))
        });
        match cleared.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(run = %id, %error, "cannot clear up after a run"),
            Err(error) => tracing::error!(run = %id, %error, "clearing up after a run failed"),
        }
    }

    pub(super) fn cancelled(&self) -> Finished {
        if self.shared.lifecycle.stopping().is_cancelled() {
            return shutting_down();
        }
        let cancel = &self.run.live.cancel;
        let message = match cancel.reason() {
            Some(reason) => reason,
            None if cancel.by_leaving() => "the run was ended because its client left (on_disconnect)",
            None => "the run was ended on request",
        };
        Finished::cancelled(RunErrorKind::Cancelled, message)
    }

    fn log(&self, body: &EventBody) {
        self.run.live.log.append_now(self.shared.ambient.now(), body);
    }

    fn finish(&self, end: Finished) {
        self.finish_with(end, None);
    }

    /// Ends a run of which is known how much memory it took.
    fn finish_with(&self, end: Finished, max_memory_bytes: Option<u64>) {
        if let Some(most) = max_memory_bytes {
            #[expect(clippy::cast_precision_loss, reason = "no machine has so much")]
            self.shared.metrics.run_memory.observe(most as f64);
        }
        let end = self.run.live.log.told_end(end);
        let error = end.error.as_ref().map(|error| error.kind.as_str());
        let error_message = end.error.as_ref().map(|error| error.message.as_str());
        let (run, state) = (self.run.id, end.state.as_str());
        let (trace_id, span_id) = ids(self.run.live.log.place());
        if end.state == RunState::Failed {
            tracing::warn!(%run, state, error, error_message, max_memory_bytes, trace_id, span_id, "run ended");
        } else {
            tracing::info!(%run, state, error, error_message, max_memory_bytes, trace_id, span_id, "run ended");
        }
        self.returning.get_or_init(|| self.shared.sessions.returning(self.run.spec.session.id()));
        self.log(&EventBody::Finished(end.into()));
    }

    fn bounds(&self) -> Bounds {
        let (deadlines, output) = (&self.shared.settings.now().deadlines, &self.shared.settings.now().output);
        Bounds {
            total: self.run.spec.timeout,
            first_output: deadlines.first_output,
            idle: self.run.spec.idle_timeout,
            result_grace: deadlines.result_grace,
            max_output: output.max_output,
            schema_repairs: self.shared.settings.now().limits.schema_repairs,
        }
    }
}

/// Tells how a run has ended while its processes are ended: the verdict on an answer may take half a minute, and the ladder does
/// not stand still meanwhile. Whether a process is left.
async fn beside(
    telling: impl Future<Output = ()>,
    stopped: Option<Stopped>,
    stopping: impl Future<Output = Stopped>,
) -> bool {
    let stopped = match stopped {
        Some(stopped) => {
            telling.await;
            stopped
        }
        None => tokio::join!(telling, stopping).1,
    };
    stopped.leaked > 0
}

/// Why a run did not get its turn.
pub(super) enum NoTurn {
    /// It is over.
    Ended(Finished),
    /// The server stops; the run waits in the store for the next start.
    Later,
}

fn shutting_down() -> Finished {
    Finished::cancelled(RunErrorKind::ShuttingDown, "the server is shutting down")
}

fn ended_task(task: &BackgroundTask) -> String {
    let BackgroundTask { task_id, description, .. } = task;
    format!("the background task `{description}` ({task_id}) still ran at the end of the run, and was ended")
}

/// Where the ladder begins.
fn first_rung(ending: &Ending, progress: &Progress, ready: bool) -> Rung {
    match ending {
        // At the end of its input the CLI would wait for background commands and then take a further turn (checked).
        Ending::Done if !progress.background().is_empty() => Rung::Term,
        Ending::Done => Rung::CloseStdin,
        // Before that there is no turn that could be interrupted.
        Ending::Cancelled { .. } | Ending::TimedOut { .. } | Ending::LimitMet { limit: Limit::Budget, .. } if ready => {
            Rung::Soft
        }
        Ending::LimitMet { limit: Limit::Memory | Limit::Processes | Limit::OpenFiles | Limit::Disk, .. } => Rung::Kill,
        Ending::Cancelled { .. }
        | Ending::TimedOut { .. }
        | Ending::Exited { .. }
        | Ending::LimitMet { .. }
        | Ending::Broken { .. } => Rung::Term,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use supervisor::process::Exit;
    use tokio::sync::oneshot;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn the_processes_are_ended_while_the_verdict_on_an_answer_is_waited_for() {
        let (ended, is_ended) = oneshot::channel();
        let verdict = async { is_ended.await.unwrap() };
        let ladder = async {
            ended.send(()).unwrap();
            Stopped { exit: Exit::Code(0), leaked: 1, leftover: 0, rung: None }
        };
        let is_left = timeout(Duration::from_secs(10), beside(verdict, None, ladder)).await;
        assert_eq!(is_left, Ok(true), "neither waits for the other's end");
    }
}
