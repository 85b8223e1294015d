//! What was used, as clients see it.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::store::runs::RunRow;
use crate::store::usage::{Usage, Used};
use crate::usd::Usd;

/// Tokens, searches and what they cost.
#[derive(Debug, Serialize, ToSchema)]
pub struct ShownUse {
    /// Sent to the model, without what it had in its cache.
    input_tokens: u64,
    /// Written by the model.
    output_tokens: u64,
    /// Read from its cache.
    cache_read_input_tokens: u64,
    /// Written into its cache.
    cache_creation_input_tokens: u64,
    /// Searches of the web.
    web_search_requests: u64,
    /// In US dollars, by the CLI's estimate.
    #[schema(value_type = f64)]
    cost_usd: Usd,
}

impl From<Used> for ShownUse {
    fn from(used: Used) -> Self {
        Self {
            input_tokens: used.input_tokens,
            output_tokens: used.output_tokens,
            cache_read_input_tokens: used.cache_read_input_tokens,
            cache_creation_input_tokens: used.cache_creation_input_tokens,
            web_search_requests: used.web_search_requests,
            cost_usd: Usd::from_micros(used.cost_micros),
        }
    }
}

/// What a run has used.
#[derive(Debug, Serialize, ToSchema)]
pub struct RunUsage {
    /// Always: these are the CLI's figures, and no bill.
    estimate: bool,
    /// Whether nothing is missing.
    complete: bool,
    #[serde(flatten)]
    sum: ShownUse,
    /// The same by model.
    models: BTreeMap<String, ShownUse>,
}

impl RunUsage {
    /// Of a run; `None` as long as nothing is known of it. What cannot be told of a model, and what the run was charged beyond
    /// what is known, is in the sums only.
    pub fn of(row: &RunRow) -> Option<Self> {
        let never_began = row.finished_at.is_some() && row.started_at.is_none();
        let usage = match &row.usage {
            Some(text) => Usage::from_json(text),
            None if never_began => Usage { complete: true, ..Usage::default() },
            None => return None,
        };
        let mut sum = usage.sum();
        sum.cost_micros = row.cost_micros.unwrap_or(sum.cost_micros);
        let models = usage.models.into_iter().filter(|(model, _)| !model.is_empty());
        let models = models.map(|(model, used)| (model, used.into())).collect();
        Some(Self { estimate: true, complete: usage.complete, sum: sum.into(), models })
    }
}
