//! Subagents that did not do what they were asked for: the run goes on without their work, and may complete.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::shortened;
use crate::frame::Frame;

/// Names of those that work.
#[derive(Debug, Default)]
pub(super) struct Subagents {
    at_work: BTreeMap<String, String>,
}

/// So many are known by name at once; of further ones nothing is told.
const MAX_AT_WORK: usize = 1_000;

/// How much of a name is told, in characters.
const MAX_NAME: usize = 100;

/// How much of the CLI's reason is told, in characters.
const MAX_REASON: usize = 300;

/// How the CLI begins the report of one that it has stopped at its own `maxTurns`, although its status is `completed`
/// (checked with 2.1.261, 2.1.276 and 2.1.330).
const AT_ITS_LIMIT: &str = "NOTE: this agent stopped at its ";

/// What the CLI puts before the provider's words.
const API_ERROR: &str = "Agent terminated early due to an API error: ";

/// Something to tell of one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fallen {
    pub(super) task: String,
    pub(super) message: String,
}

#[derive(Deserialize)]
struct Started {
    task_id: String,
    #[serde(default)]
    task_type: String,
    #[serde(default)]
    subagent_type: String,
    #[serde(default)]
    description: String,
}

#[derive(Deserialize)]
struct Ended {
    task_id: String,
    status: String,
    #[serde(default)]
    summary: String,
}

impl Subagents {
    /// Takes the next message into account.
    pub(super) fn hear(&mut self, frame: &Frame) -> Option<Fallen> {
        match (frame.kind.as_str(), frame.subtype.as_deref()) {
            ("system", Some("task_started")) => self.begin(frame.body()?),
            ("system", Some("task_notification")) => return self.end(frame.body()?),
            _ => {}
        }
        None
    }

    fn begin(&mut self, started: Started) {
        let Started { task_id, task_type, subagent_type, description } = started;
        // Commands in the background are tasks, too.
        if task_type == "local_agent" && self.at_work.len() < MAX_AT_WORK {
            let (kind, what) = (shortened(&subagent_type, MAX_NAME), shortened(&description, MAX_NAME));
            self.at_work.insert(task_id, format!("the subagent `{kind}` ({what})"));
        }
    }

    fn end(&mut self, Ended { task_id: task, status, summary }: Ended) -> Option<Fallen> {
        let name = self.at_work.remove(&task)?;
        let reason = summary.trim();
        let message = match status.as_str() {
            "failed" => {
                let reason = reason.strip_prefix(API_ERROR).unwrap_or(reason);
                let said =
                    if reason.is_empty() { String::new() } else { format!(": {}", shortened(reason, MAX_REASON)) };
                format!("{name} failed{said}")
            }
            "completed" if reason.starts_with(AT_ITS_LIMIT) => {
                format!("{name} reached its own limit of turns before it was done")
            }
            // One that was stopped was stopped by the model, or with the run.
            _ => return None,
        };
        Some(Fallen { task, message })
    }
}
