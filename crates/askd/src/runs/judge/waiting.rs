//! The calls of one run that wait for their verdicts. They are judged beside the conversation, which goes on reading.

use std::collections::VecDeque;
use std::future::pending;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use super::Judges;
use crate::guard::{Policy, Verdict};

/// Calls that wait. The CLI asks for as many as its agents call at once; more are refused.
const MAX_WAITING: usize = 64;

/// A call of a tool.
#[derive(Debug, Clone)]
pub struct Call {
    /// The question's id, for the answer.
    pub request_id: String,
    /// The call's own id.
    pub tool_use_id: Option<String>,
    /// The tool.
    pub tool: String,
    /// What it is given.
    pub input: Value,
}

/// Judges the calls of one run, one after the other. Dropping it ends the process that is at work.
pub struct Judging {
    judges: Judges,
    policy: Policy,
    waiting: VecDeque<Call>,
    at_work: Option<BoxFuture<'static, (Call, Verdict)>>,
    tasks: TaskTracker,
}

impl Judging {
    /// Nothing waits yet.
    pub fn new(judges: Judges, policy: Policy) -> Self {
        Self { judges, policy, waiting: VecDeque::new(), at_work: None, tasks: TaskTracker::new() }
    }

    /// The verdict if it needs no process; else the call waits for its turn.
    pub fn take(&mut self, mut call: Call) -> Option<(Call, Verdict)> {
        if let Some(verdict) = self.policy.judge_plain(&call.tool, &call.input) {
            return Some((call, verdict));
        }
        if self.waiting.len() >= MAX_WAITING {
            let verdict = self.policy.unreadable("too many commands wait to be read");
            return Some((call, verdict));
        }
        // The rest of the input may be long, and is not looked at. The command has a bound of its own by now.
        call.input = json!({"command": call.input["command"].take()});
        self.waiting.push_back(call);
        self.begin();
        None
    }

    /// The next verdict; waits for ever if there is nothing to judge. Cancel-safe.
    pub async fn next(&mut self) -> (Call, Verdict) {
        let Some(at_work) = &mut self.at_work else { return pending().await };
        let judged = at_work.await;
        self.at_work = None;
        self.begin();
        judged
    }

    /// Gives up what waits; returns when nothing of the process is left.
    pub async fn end(self) {
        let Self { at_work, tasks, .. } = self;
        drop(at_work);
        tasks.close();
        tasks.wait().await;
    }

    fn begin(&mut self) {
        if self.at_work.is_none()
            && let Some(call) = self.waiting.pop_front()
        {
            let (judges, policy, tasks) = (self.judges.clone(), self.policy.clone(), self.tasks.clone());
            let judge = async move {
                let verdict = judges.judge(&tasks, &policy, &call.tool, &call.input).await;
                (call, verdict)
            };
            self.at_work = Some(judge.boxed());
        }
    }
}
