//! What the model bills: the tokens of the answers that it has given in full.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::wire::Usage;

/// What was billed for one model. Answers that were cut off or failed cost nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Bill {
    /// Answers.
    pub calls: u64,
    /// Tokens that were neither read from a cache nor written to one.
    pub input_tokens: u64,
    /// Tokens that the model has written.
    pub output_tokens: u64,
    /// Tokens that came from a cache.
    pub cache_read_input_tokens: u64,
    /// Tokens that went into a cache.
    pub cache_creation_input_tokens: u64,
    /// Searches of the web.
    pub web_search_requests: u64,
}

impl Bill {
    pub(crate) fn add(&mut self, usage: &Usage) {
        self.calls += 1;
        self.input_tokens += usage.input;
        self.output_tokens += usage.output;
        self.cache_read_input_tokens += usage.cache_read;
        self.cache_creation_input_tokens += usage.cache_write;
        self.web_search_requests += usage.server_tools.map_or(0, |tools| tools.web_searches);
    }
}

/// By the name of the model, as it was asked for.
pub(crate) type Bills = BTreeMap<String, Bill>;
