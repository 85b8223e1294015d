//! MCP servers of a run: a server that the CLI does not take ends the run, and is never silently missing.

use claude::outcome::Ending;
use claude::reply::Initialized;
use claude::servers::{Taken, has_variables, set_servers};
use claude::version::capabilities::{Capabilities, Feature};

use super::{Conversation, Talk, Warning, WarningCode};

impl Conversation<'_> {
    /// Whether the servers follow `initialize`, and the prompt waits for them: this CLI would silently ignore them there.
    pub(super) fn servers_follow(&self) -> bool {
        !self.mcp_servers.is_empty() && !Capabilities::of(self.cli_version).has(Feature::McpServersInInitialize)
    }
}

impl Talk<'_> {
    /// The CLI has answered `initialize`: whether it has the servers now, or is given them. An ending if neither.
    pub(super) fn see_to_servers(&mut self, reply: &Initialized) -> Option<Ending> {
        let conversation = self.conversation;
        if conversation.mcp_servers.is_empty() {
            return None;
        }
        if conversation.servers_follow() {
            self.warn_of_variables();
            self.waits_for_servers = true;
            self.say(set_servers(conversation.mcp_servers));
            return None;
        }
        (reply.mcp_servers_applied != Some(true)).then(not_taken)
    }

    /// Its answer, after which the prompt can follow.
    pub(super) fn heed_servers(&mut self, reply: Result<Taken, String>) -> Option<Ending> {
        if !std::mem::take(&mut self.waits_for_servers) {
            return None;
        }
        let taken = match reply {
            Ok(taken) => taken,
            Err(reason) => {
                return Some(Ending::Broken { what: format!("the CLI does not take the run's MCP servers: {reason}") });
            }
        };
        // Those that do not work are named by `init`, as with every other CLI.
        if self.conversation.mcp_servers.keys().any(|name| !taken.added.contains(name)) {
            return Some(not_taken());
        }
        self.go_on();
        None
    }

    fn warn_of_variables(&self) {
        let conversation = self.conversation;
        for (name, _) in conversation.mcp_servers.iter().filter(|(_, entry)| has_variables(entry)) {
            let message = format!(
                "the MCP server `{name}` is given its `${{...}}` as they stand: Claude Code CLI {} does not fill them in; from {} on \
                 it does",
                conversation.cli_version,
                Feature::McpServersInInitialize.since()
            );
            self.warn(Warning::new(WarningCode::McpServerFailed, message));
        }
    }
}

fn not_taken() -> Ending {
    Ending::Broken { what: "the CLI does not take the MCP servers of the run".into() }
}
