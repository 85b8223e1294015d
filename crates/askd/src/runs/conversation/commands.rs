//! What somebody asks of a run at work: a further message, an interrupt.

use claude::input::{Content, interrupt, user_message};

use super::super::live::{Command, CommandError, Input};
use super::Talk;

/// Further messages and interrupts of one run; a client that needs more takes up the session in a new run.
const MAX_COMMANDS: u32 = 1_000;

/// Messages that the CLI has not worked on yet.
const MAX_OPEN_INPUTS: usize = 32;

/// The same in bytes, as they are written to it: it may not read them for long. One message may be larger.
const MAX_OPEN_BYTES: usize = 8 << 20;

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
            Command::Input(input, taken) => (taken, self.take_up(input)),
        };
        // Whoever asked may have left meanwhile.
        let _ = taken.send(answer);
    }

    /// Passes a further message on, if there is room for it.
    fn take_up(&mut self, Input { uuid, message, content, priority }: Input) -> Result<(), CommandError> {
        let blocks: Vec<_> = content.iter().filter_map(|block| serde_json::to_value(block).ok()).collect();
        let content = if blocks.is_empty() { Content::Text(&message) } else { Content::Blocks(&blocks) };
        let line = user_message(content, uuid, self.conversation.spec.expand, Some(priority.as_str()));
        self.open_inputs.retain(|(uuid, _)| self.progress.is_open(*uuid));
        let waiting: usize = self.open_inputs.iter().map(|(_, bytes)| bytes).sum();
        if waiting > 0 && waiting + line.len() > MAX_OPEN_BYTES {
            return Err(CommandError::Busy);
        }
        self.commands += 1;
        self.progress.accept_input(uuid);
        self.open_inputs.push((uuid, line.len()));
        self.answered_at = None;
        self.repair.begin_anew();
        self.say(line);
        Ok(())
    }
}
