//! What happens in a run, in order.

use std::sync::Arc;

use claude::frame::Frame;
use jiff::Timestamp;

use super::Finished;

/// One entry of a run's log.
#[derive(Debug, Clone)]
pub struct Event {
    /// Counts from 1 without gaps.
    pub seq: u64,
    /// When it was logged, UTC.
    pub time: Timestamp,
    /// What happened. Shared, because every follower gets the same one.
    pub body: Arc<EventBody>,
}

/// What happened.
#[derive(Debug)]
pub enum EventBody {
    /// The run was admitted and waits for its turn.
    Queued,
    /// The CLI is ready and has been given the prompt.
    Started,
    /// The CLI said something.
    Agent(Frame),
    /// Something that a person wants to see, and that does not end the run.
    Warning(String),
    /// The end. Nothing comes after it.
    Finished(Finished),
}

impl EventBody {
    /// What the event costs in memory, in bytes, roughly.
    pub fn size(&self) -> usize {
        const OVERHEAD: usize = 128;
        OVERHEAD
            + match self {
                Self::Agent(frame) => frame.as_str().len(),
                Self::Warning(text) => text.len(),
                Self::Queued | Self::Started | Self::Finished(_) => 0,
            }
    }
}
