//! The agents of a run: the one that answers, and those that its request brings. One that the CLI does not know ends the run
//! before it has its prompt.

use claude::outcome::Ending;
use claude::reply::Initialized;

use super::{Finished, RunErrorKind, Talk};

/// How many names of agents are told.
const MAX_TOLD: usize = 5;

impl Talk<'_> {
    /// The CLI has said which agents it has: an ending if one is missing.
    pub(super) fn see_to_agents(&mut self, reply: &Initialized) -> Option<Ending> {
        let spec = self.conversation.spec;
        let is_missing = |name: &&String| !reply.agents.contains(name);
        let missing: Vec<_> =
            spec.agents.keys().filter(is_missing).take(MAX_TOLD).map(|name| format!("`{name}`")).collect();
        let message = if missing.is_empty() {
            let agent = spec.agent.as_ref().filter(is_missing)?;
            format!("the CLI does not know the agent `{agent}`; it silently skips files it cannot use")
        } else {
            // One entry that it cannot use makes it drop all of them (checked).
            let names = missing.join(", ");
            format!("the CLI takes none of the request's agents if it cannot use one; it does not know {names}")
        };
        self.refused = Some(Finished::failed(RunErrorKind::AgentNotFound, message.clone()));
        Some(Ending::Broken { what: message })
    }
}
