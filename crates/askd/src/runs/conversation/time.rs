//! How long the conversation may go on.

use claude::outcome::{Deadline, Ending};
use supervisor::deadlines::Expired;
use tokio::time::Instant;

use super::Talk;

impl Talk<'_> {
    /// When the conversation ends at the latest, by what is known now.
    pub(super) fn deadline(&self) -> Instant {
        if self.repair.is_checking() {
            // Nobody waits for the CLI.
            return self.last_moment;
        }
        let next = self.deadlines.next().map_or(self.last_moment, Instant::from_std);
        match self.answered_at {
            Some(at) => next.min(at + self.conversation.bounds.result_grace),
            None => next,
        }
    }

    /// What the passing of [`Self::deadline`] means.
    pub(super) fn expired(&self) -> Ending {
        let bounds = &self.conversation.bounds;
        let is_checking = self.repair.is_checking();
        if self.answered_at.is_some() && !is_checking {
            // The answer is there, only the word that nothing follows is missing.
            return Ending::Done;
        }
        let expired = self.deadlines.expired(std::time::Instant::now()).filter(|_| !is_checking);
        let (deadline, what) = match expired.or(is_checking.then_some(Expired::Total)) {
            // Timers are never early; should one be, the run is over a moment too soon and not never.
            None => (Deadline::Total, "the run took too long".to_owned()),
            Some(Expired::FirstOutput) => {
                let after = bounds.first_output;
                let what = format!("the CLI wrote nothing for {after:?} after its start (ASKD_FIRST_OUTPUT_TIMEOUT)");
                (Deadline::FirstOutput, what)
            }
            Some(Expired::Idle) => {
                let after = bounds.idle;
                let what =
                    format!("the CLI wrote nothing for {after:?} (idle_timeout_seconds, or else ASKD_IDLE_TIMEOUT)");
                (Deadline::Idle, what)
            }
            Some(Expired::Total) => {
                let after = bounds.total;
                let what = format!("the run took longer than {after:?} (timeout_seconds, or else PROCESS_TIMEOUT)");
                (Deadline::Total, what)
            }
        };
        Ending::TimedOut { deadline, what }
    }
}
