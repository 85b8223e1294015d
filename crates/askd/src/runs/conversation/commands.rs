//! What somebody asks of a run at work: a further message, an interrupt.

use claude::input::{Content, interrupt, user_message};

use super::super::live::{Command, CommandError, Input};
use super::Talk;

/// Further messages and interrupts of one run; a client that needs more takes up the session in a new run.
const MAX_COMMANDS: u32 = 1_000;

/// Messages that the CLI has not worked on yet.
const MAX_OPEN_INPUTS: usize = 32;

impl Talk<'_> {
    /// Does what somebody asks for. Accepting a message and deciding the end happen in this one task, so a message that
    /// was accepted will be worked on.
    pub(super) fn obey(&mut self, command: Command) {
        let full = self.commands >= MAX_COMMANDS;
        let (taken, answer) = match command {
            Command::Interrupt(taken) | Command::Input(_, taken) if full => (taken, Err(CommandError::TooMany)),
            Command::Interrupt(taken) => {
                self.commands += 1;
                self.repair.interrupt();
                self.say(interrupt(self.commands));
                (taken, Ok(()))
            }
            Command::Input(_, taken) if self.progress.open_inputs() >= MAX_OPEN_INPUTS => {
                (taken, Err(CommandError::Busy))
            }
            Command::Input(Input { uuid, message, content, priority }, taken) => {
                self.commands += 1;
                self.progress.accept_input(uuid);
                self.answered_at = None;
                self.repair.begin_anew();
                let blocks: Vec<_> = content.iter().filter_map(|block| serde_json::to_value(block).ok()).collect();
                let content = if blocks.is_empty() { Content::Text(&message) } else { Content::Blocks(&blocks) };
                self.say(user_message(content, uuid, self.conversation.spec.expand, Some(priority.as_str())));
                (taken, Ok(()))
            }
        };
        // Whoever asked may have left meanwhile.
        let _ = taken.send(answer);
    }
}
