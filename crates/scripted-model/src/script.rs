//! What a prompt asks for: directives, grouped into one [`Part`] for each turn of the model.

use std::time::Duration;

use serde_json::Value;

use crate::parse::{DirectiveError, parse};

/// One parsed directive.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Directive {
    /// Adds something to the current part's answer.
    Step(Step),
    /// Waits before the first byte of the current part's answer.
    Delay(Duration),
    /// Sets the current part's stop reason.
    Stop(&'static str),
    /// Sets some of the current part's token counts.
    Usage(UsageOverride),
    /// Ends the current part.
    Then,
}

/// Something the answer does, in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// Text, one delta per word.
    Text(String),
    /// Numbered text deltas of an exact size and pace.
    Deltas { count: u32, bytes: usize, pace: Duration },
    /// Filler text of an exact size.
    Large { bytes: usize, chunk: usize },
    /// A thinking block with a signature.
    Think(String),
    /// A tool call.
    Tool { name: String, input: Value },
    /// Silence.
    Pause(Duration),
    /// The answer fails here; nothing after it plays.
    Fault(Fault),
}

/// A failure, and how often it strikes before it is skipped.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    /// `None` strikes always.
    pub(crate) times: Option<u32>,
}

/// How an answer fails.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FaultKind {
    /// The connection is dropped.
    Cut,
    /// The answer ends in order after its last block, without saying so.
    Short,
    /// Nothing more comes until the client leaves.
    Hang,
    /// An error envelope.
    Upstream(UpstreamError),
}

/// An error as the Messages API reports it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct UpstreamError {
    pub(crate) status: u16,
    pub(crate) kind: String,
    pub(crate) message: String,
    pub(crate) retry_after: Option<u32>,
}

/// Token counts a script dictates; the rest is estimated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct UsageOverride {
    pub(crate) input: Option<u64>,
    pub(crate) output: Option<u64>,
    pub(crate) cache_read: Option<u64>,
    pub(crate) cache_write: Option<u64>,
    pub(crate) web_searches: Option<u64>,
}

/// One answer of the model.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Part {
    pub(crate) delay: Duration,
    pub(crate) steps: Vec<Step>,
    pub(crate) stop: Option<&'static str>,
    pub(crate) usage: UsageOverride,
}

impl Part {
    /// An answer of only this text.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self { steps: vec![Step::Text(text.into())], ..Self::default() }
    }

    /// An answer of only this tool call.
    pub(crate) fn tool(name: impl Into<String>, input: Value) -> Self {
        Self { steps: vec![Step::Tool { name: name.into(), input }], ..Self::default() }
    }

    /// Whether this part calls the tool `name`.
    pub(crate) fn calls(&self, name: &str) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Tool { name: called, .. } if called == name))
    }

    /// Whether this part calls any tool.
    pub(crate) fn calls_tools(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Tool { .. }))
    }
}

/// The parts of the script in `text`; empty when it holds no directive.
pub(crate) fn parts(text: &str) -> Result<Vec<Part>, DirectiveError> {
    let directives = parse(text)?;
    if directives.is_empty() {
        return Ok(Vec::new());
    }
    let mut parts = vec![Part::default()];
    for directive in directives {
        let last = parts.len() - 1;
        let part = &mut parts[last];
        match directive {
            Directive::Step(step) => part.steps.push(step),
            Directive::Delay(delay) => part.delay = delay,
            Directive::Stop(reason) => part.stop = Some(reason),
            Directive::Usage(usage) => part.usage = usage,
            Directive::Then => parts.push(Part::default()),
        }
    }
    Ok(parts)
}
