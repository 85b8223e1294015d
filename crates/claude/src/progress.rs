//! How far a run is, and when it has ended.
//!
//! The end is the first `session_state_changed: idle` at which every accepted input is settled. Neither alone is
//! enough: an `idle` can come 2 ms after an input was written, before the CLI has seen it, and the lifecycle of an
//! input is `completed` at the first `result`, while a background subagent still works and will bring a second one
//! (both checked). The answer is the last `result` before the end.
//!
//! A CLI that goes idle while a background subagent works ([`Feature::IdleAfterSubagents`]) has ended when none works any
//! more, and the turn that takes up what it found has brought its `result`. That is the turn in which the subagent ended, if
//! this one asks the model once more, or else a further one that begins without an `idle` before it (checked with 2.1.261, and
//! a hundred ends close to that of a turn): the next `idle` is the end either way.

use serde::Deserialize;
use uuid::Uuid;

use crate::frame::Frame;
use crate::outcome::ResultMessage;
use crate::outcome::signs::Signs;
use crate::version::capabilities::{Capabilities, Feature};

/// Follows the messages of one process.
#[derive(Debug, Default)]
pub struct Progress {
    unsettled: Vec<Uuid>,
    /// Of these, the ones after the first: each may bring a turn of its own.
    further_inputs: Vec<Uuid>,
    has_input: bool,
    idle: bool,
    result: Option<ResultMessage>,
    signs: Signs,
    /// Whether the CLI took, or will take, a further turn since the last result.
    further_turn: bool,
    background: Vec<BackgroundTask>,
    idle_means: IdleMeans,
}

/// What an `idle` says of subagents in the background.
#[derive(Debug, Default, PartialEq, Eq)]
enum IdleMeans {
    /// None works any more.
    #[default]
    AllDone,
    /// Nothing.
    TurnDone,
}

/// Work that goes on beside the conversation.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct BackgroundTask {
    /// The CLI's id of the task.
    pub task_id: String,
    /// `local_bash`, `local_agent`, `local_workflow`, …
    pub task_type: String,
    /// What it does, e.g. the command.
    #[serde(default)]
    pub description: String,
}

impl BackgroundTask {
    /// Whether the CLI goes idle although this task runs. Such a task may never end by itself.
    pub fn outlives_the_answer(&self) -> bool {
        !matches!(self.task_type.as_str(), "local_agent" | "local_workflow")
    }
}

impl Progress {
    /// Of a process of this CLI. [`Progress::default`] is that of the newest one.
    pub fn of(cli: Capabilities) -> Self {
        let idle_means = if cli.has(Feature::IdleAfterSubagents) { IdleMeans::AllDone } else { IdleMeans::TurnDone };
        Self { idle_means, ..Self::default() }
    }

    /// Notes an input that was written to the process.
    pub fn accept_input(&mut self, uuid: Uuid) {
        self.unsettled.push(uuid);
        if self.has_input {
            self.further_inputs.push(uuid);
        }
        self.has_input = true;
    }

    /// Whether the CLI has not settled this input yet.
    pub fn is_open(&self, uuid: Uuid) -> bool {
        self.unsettled.contains(&uuid)
    }

    /// How many inputs the CLI has not settled yet.
    pub fn open_inputs(&self) -> usize {
        self.unsettled.len()
    }

    /// Takes the next message into account; `true` when the run has ended with it.
    pub fn observe(&mut self, frame: &Frame) -> bool {
        self.signs.observe(frame);
        match (frame.kind.as_str(), frame.subtype.as_deref()) {
            ("result", _) => {
                self.result = ResultMessage::parse(frame).map(|result| result.after(self.signs.clone()));
                self.signs.refusal = None;
                self.further_turn = false;
            }
            // The first message of every turn.
            ("system", Some("init")) => self.further_turn = self.result.is_some(),
            ("command_lifecycle", _) => self.settle(frame),
            ("system", Some("session_state_changed")) => self.change_state(frame),
            ("system", Some("background_tasks_changed")) => self.replace_background(frame),
            _ => return false,
        }
        self.ended()
    }

    /// Whether the CLI is idle and has settled every input, and that is the end.
    pub fn ended(&self) -> bool {
        self.idle
            && self.unsettled.is_empty()
            && !(self.idle_means == IdleMeans::TurnDone && self.waits_for_subagents())
    }

    /// Whether a subagent works, or what it has found is yet to be taken up. After an interrupt nothing is.
    fn waits_for_subagents(&self) -> bool {
        let reason = self.result.as_ref().and_then(|result| result.terminal_reason.as_deref());
        let is_aborted = reason.is_some_and(|reason| reason.starts_with("aborted"));
        !is_aborted && (self.further_turn || !self.background_is_done())
    }

    /// Whether an answer is there and nothing that could bring another one is known to run. The `idle` that should
    /// follow at once is then only waited for within a grace.
    pub fn answered(&self) -> bool {
        self.result.is_some() && !self.further_turn && self.further_inputs.is_empty() && self.background_is_done()
    }

    /// The last result, if any came. When the process is gone, use [`Progress::answer`].
    pub fn result(&self) -> Option<&ResultMessage> {
        self.result.as_ref()
    }

    /// The result that stands when the process ended before it said that it was done: a success counts only if no
    /// subagent was cut off that would have brought another one.
    pub fn answer(&self) -> Option<&ResultMessage> {
        self.result.as_ref().filter(|result| result.is_error || self.answered())
    }

    /// What runs in the background now.
    pub fn background(&self) -> &[BackgroundTask] {
        &self.background
    }

    fn settle(&mut self, frame: &Frame) {
        #[derive(Deserialize)]
        struct Lifecycle {
            command_uuid: Uuid,
            state: String,
        }
        let Some(lifecycle) = frame.body::<Lifecycle>() else {
            return;
        };
        if matches!(lifecycle.state.as_str(), "completed" | "cancelled" | "discarded" | "refused") {
            self.unsettled.retain(|uuid| *uuid != lifecycle.command_uuid);
            self.further_inputs.retain(|uuid| *uuid != lifecycle.command_uuid);
        }
    }

    fn change_state(&mut self, frame: &Frame) {
        #[derive(Deserialize)]
        struct Change {
            state: String,
        }
        self.idle = frame.body::<Change>().is_some_and(|change| change.state == "idle");
    }

    fn replace_background(&mut self, frame: &Frame) {
        #[derive(Deserialize)]
        struct Level {
            tasks: Vec<BackgroundTask>,
        }
        if let Some(level) = frame.body::<Level>() {
            let was_done = self.background_is_done();
            self.background = level.tasks;
            // The model is told what the last subagent found, which may take it longer than any grace.
            self.further_turn |= self.result.is_some() && !was_done && self.background_is_done();
        }
    }

    fn background_is_done(&self) -> bool {
        self.background.iter().all(BackgroundTask::outlives_the_answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::Version;

    const INPUT: &str = "00000000-0000-0000-0000-000000000001";

    fn started() -> Progress {
        let mut progress = Progress::default();
        progress.accept_input(INPUT.parse().unwrap());
        progress
    }

    fn observe(progress: &mut Progress, line: &str) -> bool {
        progress.observe(&Frame::parse(line.into()).unwrap())
    }

    fn state(progress: &mut Progress, state: &str) -> bool {
        observe(progress, &format!(r#"{{"type":"system","subtype":"session_state_changed","state":"{state}"}}"#))
    }

    fn lifecycle(progress: &mut Progress, state: &str) -> bool {
        observe(progress, &format!(r#"{{"type":"command_lifecycle","command_uuid":"{INPUT}","state":"{state}"}}"#))
    }

    fn result(progress: &mut Progress, text: &str) -> bool {
        let head = r#""type":"result","subtype":"success","is_error":false"#;
        observe(progress, &format!(r#"{{{head},"result":"{text}","errors":["{text}"]}}"#))
    }

    #[test]
    fn ends_at_the_idle_after_the_input_was_worked_on() {
        let mut run = started();
        assert!(!state(&mut run, "running"));
        assert!(!result(&mut run, "a"));
        assert!(!lifecycle(&mut run, "completed"));
        assert!(state(&mut run, "idle"));
    }

    #[test]
    fn an_idle_before_the_input_was_seen_is_not_the_end() {
        let mut run = started();
        assert!(!state(&mut run, "idle"));
        assert!(!lifecycle(&mut run, "queued"));
        assert!(!state(&mut run, "running"));
        assert!(!lifecycle(&mut run, "completed"));
        assert!(state(&mut run, "idle"));
    }

    #[test]
    fn a_background_subagent_brings_the_answer_in_a_second_result() {
        let mut run = started();
        state(&mut run, "running");
        observe(
            &mut run,
            r#"{"type":"system","subtype":"background_tasks_changed","tasks":[{"task_id":"a","task_type":"local_agent"}]}"#,
        );
        assert!(!result(&mut run, "first"));
        assert!(!run.answered(), "a subagent will bring another result");
        assert!(run.answer().is_none(), "a process that died here did not succeed");
        assert!(!lifecycle(&mut run, "completed"));
        observe(&mut run, r#"{"type":"system","subtype":"background_tasks_changed","tasks":[]}"#);
        assert!(!run.answered(), "the turn that takes up its findings is yet to come");
        result(&mut run, "second");
        assert!(run.answered());
        assert!(state(&mut run, "idle"));
        assert_eq!(run.result().unwrap().errors, ["second"], "the last result counts");
    }

    #[test]
    fn an_idle_that_comes_while_a_subagent_works_is_not_the_end() {
        let tasks =
            |tasks: &str| format!(r#"{{"type":"system","subtype":"background_tasks_changed","tasks":[{tasks}]}}"#);
        let mut run = Progress::of(Capabilities::of(Version(2, 1, 261)));
        run.accept_input(INPUT.parse().unwrap());
        state(&mut run, "running");
        observe(&mut run, &tasks(r#"{"task_id":"a","task_type":"local_agent"}"#));
        result(&mut run, "first");
        lifecycle(&mut run, "completed");
        assert!(!state(&mut run, "idle"), "this CLI is idle, and its subagent is not");
        assert!(!observe(&mut run, &tasks("")));
        assert!(!state(&mut run, "running"));
        result(&mut run, "second");
        assert!(state(&mut run, "idle"));
    }

    #[test]
    fn a_subagent_that_ends_during_a_further_turn_is_heard_of_in_it_or_in_a_turn_that_follows_at_once() {
        const FURTHER: &str = "00000000-0000-0000-0000-000000000002";
        let tasks =
            |tasks: &str| format!(r#"{{"type":"system","subtype":"background_tasks_changed","tasks":[{tasks}]}}"#);
        let init = r#"{"type":"system","subtype":"init"}"#;
        // As recorded with 2.1.261.
        for is_heard_of_at_once in [true, false] {
            let mut run = Progress::of(Capabilities::of(Version(2, 1, 261)));
            run.accept_input(INPUT.parse().unwrap());
            run.accept_input(FURTHER.parse().unwrap());
            state(&mut run, "running");
            observe(&mut run, init);
            observe(&mut run, &tasks(r#"{"task_id":"a","task_type":"local_agent"}"#));
            result(&mut run, "first");
            lifecycle(&mut run, "completed");
            assert!(!state(&mut run, "idle"));
            state(&mut run, "running");
            observe(&mut run, init);
            observe(&mut run, &tasks(""));
            result(&mut run, "further");
            let settled = format!(r#"{{"type":"command_lifecycle","command_uuid":"{FURTHER}","state":"completed"}}"#);
            assert!(!observe(&mut run, &settled), "not idle");
            if !is_heard_of_at_once {
                assert!(!observe(&mut run, init));
                assert!(!run.answered() && run.answer().is_none(), "the turn that takes up what it found");
                result(&mut run, "with its findings");
            }
            assert!(run.answered() && state(&mut run, "idle"));
        }
    }

    #[test]
    fn an_interrupt_ends_a_run_whose_subagent_is_still_listed() {
        let mut run = Progress::of(Capabilities::of(Version(2, 1, 261)));
        run.accept_input(INPUT.parse().unwrap());
        let tasks = r#"[{"task_id":"a","task_type":"local_agent"}]"#;
        observe(&mut run, &format!(r#"{{"type":"system","subtype":"background_tasks_changed","tasks":{tasks}}}"#));
        let aborted =
            r#"{"type":"result","subtype":"error_during_execution","is_error":true,"terminal_reason":"aborted_tools"}"#;
        observe(&mut run, aborted);
        lifecycle(&mut run, "cancelled");
        assert!(state(&mut run, "idle"));
    }

    #[test]
    fn a_turn_that_begins_after_a_result_brings_another_one() {
        let mut run = started();
        observe(&mut run, r#"{"type":"system","subtype":"init"}"#);
        result(&mut run, "first");
        assert!(run.answered());
        observe(&mut run, r#"{"type":"system","subtype":"init"}"#);
        assert!(!run.answered() && run.answer().is_none());
        result(&mut run, "second");
        assert!(run.answered());
    }

    #[test]
    fn a_background_command_does_not_hold_up_the_answer() {
        let mut run = started();
        state(&mut run, "running");
        observe(
            &mut run,
            r#"{"type":"system","subtype":"background_tasks_changed","tasks":[{"task_id":"b","task_type":"local_bash","description":"sleep 50"}]}"#,
        );
        result(&mut run, "bye");
        assert!(run.answered());
        lifecycle(&mut run, "completed");
        assert!(state(&mut run, "idle"));
        assert_eq!(run.background()[0].description, "sleep 50");
    }

    #[test]
    fn a_further_message_keeps_the_run_open_until_it_is_settled() {
        const FURTHER: &str = "00000000-0000-0000-0000-000000000002";
        let mut run = started();
        run.accept_input(FURTHER.parse().unwrap());
        result(&mut run, "first");
        assert!(!run.answered(), "the further message brings another turn");
        lifecycle(&mut run, "completed");
        assert!(!state(&mut run, "idle"));
        let settled = format!(r#"{{"type":"command_lifecycle","command_uuid":"{FURTHER}","state":"completed"}}"#);
        assert!(observe(&mut run, &settled), "idle, and everything is settled");
        assert!(run.answered());
    }

    #[test]
    fn every_final_lifecycle_settles_an_input() {
        for last in ["completed", "cancelled", "discarded", "refused"] {
            let mut run = started();
            assert!(!lifecycle(&mut run, "started"));
            lifecycle(&mut run, last);
            assert!(state(&mut run, "idle"), "{last}");
        }
    }
}
