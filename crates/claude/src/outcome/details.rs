//! What a result says of how its turn went, besides whether it failed.

use crate::notice::shortened;

/// How much of a text is looked at and kept, in characters. Answers may be tens of megabytes long.
const MAX_HEAD: usize = 1_000;

/// A field of another form than expected costs nothing but itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// The CLI's finer word for a failure of the provider; newer CLIs only.
    pub api_error: Option<String>,
    /// Why the model stopped.
    pub stop_reason: StopReason,
    /// How many turns it took; 0 if the model was not asked.
    pub turns: Option<u64>,
    /// The beginning of the answer; `None` if there is no such field.
    pub answer: Option<String>,
    /// Whether the CLI's own sums are all nought.
    pub has_no_usage: bool,
}

/// Why the model stopped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum StopReason {
    /// The result has no such field.
    #[default]
    Absent,
    /// `null`, or nothing that is a word: nobody said why.
    Null,
    /// In the provider's words.
    Word(String),
}

impl Details {
    /// Whether there is a text, and nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.answer.as_deref().is_some_and(|answer| answer.trim().is_empty())
    }
}

/// The beginning of a text, with a mark where it was cut: the other half of a credential may stand there.
pub(super) fn head(text: &str) -> String {
    shortened(text, MAX_HEAD)
}
