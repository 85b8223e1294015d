//! Tokens and costs by model, as the CLI writes them.

use std::collections::BTreeMap;

use serde_json::Value;

/// More than any run uses; what is beyond is no count.
const MOST_TOKENS: u64 = 1 << 50;

/// A billion dollars.
const MOST_USD: f64 = 1e9;

/// Sums of doubles differ by less than this, in US dollars, when they mean the same.
const SLACK: f64 = 1e-9;

/// What was used of one model.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Amount {
    /// Tokens that were neither read from a cache nor written to one.
    pub input_tokens: u64,
    /// Tokens that the model wrote, those that it thought with included.
    pub output_tokens: u64,
    /// Tokens that came from a cache.
    pub cache_read_tokens: u64,
    /// Tokens that went into a cache, for whatever time.
    pub cache_write_tokens: u64,
    /// Searches of the web.
    pub web_searches: u64,
    /// By the CLI's price list, in US dollars.
    pub cost_usd: f64,
}

impl Amount {
    /// Field by field.
    pub fn add(&mut self, other: &Self) {
        self.input_tokens += other.input_tokens;
        self.output_tokens += other.output_tokens;
        self.cache_read_tokens += other.cache_read_tokens;
        self.cache_write_tokens += other.cache_write_tokens;
        self.web_searches += other.web_searches;
        self.cost_usd += other.cost_usd;
    }

    /// What it is more than `earlier`, in each field.
    fn since(&self, earlier: &Self) -> Self {
        Self {
            input_tokens: self.input_tokens.saturating_sub(earlier.input_tokens),
            output_tokens: self.output_tokens.saturating_sub(earlier.output_tokens),
            cache_read_tokens: self.cache_read_tokens.saturating_sub(earlier.cache_read_tokens),
            cache_write_tokens: self.cache_write_tokens.saturating_sub(earlier.cache_write_tokens),
            web_searches: self.web_searches.saturating_sub(earlier.web_searches),
            cost_usd: (self.cost_usd - earlier.cost_usd).max(0.0),
        }
    }

    /// With at least the counts of `earlier`; the cost stays.
    fn not_below(self, earlier: &Self) -> Self {
        Self {
            input_tokens: self.input_tokens.max(earlier.input_tokens),
            output_tokens: self.output_tokens.max(earlier.output_tokens),
            cache_read_tokens: self.cache_read_tokens.max(earlier.cache_read_tokens),
            cache_write_tokens: self.cache_write_tokens.max(earlier.cache_write_tokens),
            web_searches: self.web_searches.max(earlier.web_searches),
            cost_usd: self.cost_usd,
        }
    }

    fn is_something(&self) -> bool {
        self.cost_usd > SLACK || Self { cost_usd: 0.0, ..*self } != Self::default()
    }

    /// Reads the CLI's form; `None` without a cost, which every form has.
    fn read(figures: &Value) -> Option<Self> {
        let cost_usd = figures.get("costUSD").and_then(dollars)?;
        let count = |name| figures.get(name).and_then(Value::as_u64).unwrap_or(0).min(MOST_TOKENS);
        Some(Self {
            input_tokens: count("inputTokens"),
            output_tokens: count("outputTokens"),
            cache_read_tokens: count("cacheReadInputTokens"),
            cache_write_tokens: count("cacheCreationInputTokens"),
            web_searches: count("webSearchRequests"),
            cost_usd,
        })
    }
}

/// What was used, by the name of the model. What cannot be told of a model has the name ''.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ByModel(BTreeMap<String, Amount>);

impl ByModel {
    /// Reads the figures by model; `None` if they have no form that is known.
    pub fn read(models: &Value) -> Option<Self> {
        let mut read = Self::default();
        for (name, figures) in models.as_object()? {
            read.of(plain(name)).add(&Amount::read(figures)?);
        }
        Some(read)
    }

    /// The figures by model beside the total of their costs, which alone is told where there is no model. `None` without a
    /// total.
    pub fn with_total(models: Option<&Value>, total: Option<&Value>) -> Option<Self> {
        let total = total.and_then(dollars)?;
        let mut read = models.and_then(Self::read).unwrap_or_default();
        let rest = total - read.cost_usd();
        if rest > SLACK {
            read.of("").cost_usd += rest;
        }
        Some(read)
    }

    /// Each model with what was used of it, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Amount)> {
        self.0.iter().map(|(name, amount)| (name.as_str(), amount))
    }

    /// What all of it costs, in US dollars.
    pub fn cost_usd(&self) -> f64 {
        self.0.values().map(|amount| amount.cost_usd).sum()
    }

    /// Adds what others say, model by model.
    pub fn add(&mut self, other: &Self) {
        for (name, amount) in other.iter() {
            self.of(name).add(amount);
        }
    }

    /// What it is more than `earlier`; a model of which nothing was used is left out. The costs are together what the totals
    /// differ by, also if one of the two tells some of them of no model.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let none = Amount::default();
        let grown = self.0.iter().map(|(name, amount)| {
            let before = earlier.0.get(name).unwrap_or(&none);
            (name.clone(), amount.since(before))
        });
        let mut grown: BTreeMap<_, _> = grown.collect();
        let sum: f64 = grown.values().map(|amount| amount.cost_usd).sum();
        // What `earlier` has told of another name.
        let mut twice = sum - (self.cost_usd() - earlier.cost_usd()).max(0.0);
        if twice > SLACK {
            for amount in grown.values_mut() {
                let cut = twice.clamp(0.0, amount.cost_usd);
                amount.cost_usd -= cut;
                twice -= cut;
            }
        }
        grown.retain(|_, amount| amount.is_something());
        Self(grown)
    }

    /// Whether it costs less than `earlier`: figures that only grow have begun anew. A count alone may be missing for once.
    pub fn is_below(&self, earlier: &Self) -> bool {
        self.cost_usd() < earlier.cost_usd() - SLACK
    }

    /// The same, where nothing has begun anew: counts that are missing now are those of `earlier`.
    #[must_use]
    pub fn going_on_from(mut self, earlier: &Self) -> Self {
        for (name, before) in earlier.iter() {
            let amount = self.of(name);
            *amount = amount.not_below(before);
        }
        self
    }

    fn of(&mut self, name: &str) -> &mut Amount {
        self.0.entry(name.to_owned()).or_default()
    }
}

/// A model's name without the size of its context: one and the same session has it in one run and not in the next (checked
/// with 2.1.276). `canonicalModel` would be the same, but not every place has it, and all must agree.
fn plain(name: &str) -> &str {
    name.split_once('[').map_or(name, |(plain, _)| plain)
}

fn dollars(value: &Value) -> Option<f64> {
    value.as_f64().filter(|dollars| (0.0..=MOST_USD).contains(dollars))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_figures_of_a_model_are_read_whichever_of_them_are_there() {
        let models = json!({
            "claude-opus-5[1m]": {"inputTokens": 5, "outputTokens": 4, "thinkingTokens": 2, "cacheReadInputTokens": 3,
                "cacheCreationInputTokens": 2, "cacheCreationEphemeral5mInputTokens": 2, "webSearchRequests": 1,
                "costUSD": 0.5, "contextWindow": 1_000_000, "canonicalModel": "claude-opus-5"},
            "claude-haiku-5-5": {"costUSD": 0.25},
        });
        let read = ByModel::read(&models).unwrap();
        let opus = Amount {
            input_tokens: 5,
            output_tokens: 4,
            cache_read_tokens: 3,
            cache_write_tokens: 2,
            web_searches: 1,
            cost_usd: 0.5,
        };
        let haiku = Amount { cost_usd: 0.25, ..Amount::default() };
        assert_eq!(read.iter().collect::<Vec<_>>(), [("claude-haiku-5-5", &haiku), ("claude-opus-5", &opus)]);
        assert!((read.cost_usd() - 0.75).abs() < SLACK);
    }

    #[test]
    fn strange_forms_are_no_figures() {
        for form in [
            json!(null),
            json!([1]),
            json!({"m": {"cost": 1}}),
            json!({"m": {"costUSD": -1}}),
            json!({"m": {"costUSD": 1e12}}),
            json!({"m": {"costUSD": "1"}}),
        ] {
            assert_eq!(ByModel::read(&form), None, "{form}");
        }
        assert_eq!(ByModel::read(&json!({})), Some(ByModel::default()));
    }

    #[test]
    fn what_a_total_says_beyond_the_models_belongs_to_none() {
        let models = json!({"m": {"costUSD": 0.25}});
        let of = |total: Value| {
            let read = ByModel::with_total(Some(&models), Some(&total))?;
            Some(read.iter().map(|(name, amount)| (name.to_owned(), amount.cost_usd)).collect::<Vec<_>>())
        };
        assert_eq!(of(json!(0.25)), Some(vec![("m".into(), 0.25)]));
        assert_eq!(of(json!(0.5)), Some(vec![(String::new(), 0.25), ("m".into(), 0.25)]));
        assert_eq!(of(json!(null)), None);
        assert_eq!(ByModel::with_total(None, Some(&json!(0.5))).unwrap().iter().next().unwrap().0, "");
    }

    #[test]
    fn figures_that_have_begun_anew_are_told_from_those_that_have_grown() {
        let of =
            |tokens: u64, cost: f64| ByModel::read(&json!({"m": {"inputTokens": tokens, "costUSD": cost}})).unwrap();
        assert!(!of(10, 0.1 + 0.2).is_below(&of(10, 0.3)), "doubles");
        assert!(of(11, 0.2).is_below(&of(10, 0.3)) && ByModel::default().is_below(&of(1, 0.1)));
        assert!(!of(9, 0.5).is_below(&of(10, 0.3)), "a count is no sum");
        assert_eq!(of(10, 0.5).since(&of(10, 0.5)), ByModel::default());
        assert_eq!(of(9, 0.5).going_on_from(&of(10, 0.3)), of(10, 0.5));
    }

    #[test]
    fn a_cost_that_moves_from_one_name_to_another_counts_once() {
        let models = json!({"m": {"inputTokens": 7, "costUSD": 0.75}});
        let with_model = ByModel::with_total(Some(&models), Some(&json!(0.75))).unwrap();
        let without = |total: f64| ByModel::with_total(Some(&json!("?")), Some(&json!(total))).unwrap();
        for (later, earlier, cost) in [
            (&with_model, &without(0.5), 0.25),
            (&without(1.0), &with_model, 0.25),
            (&with_model, &without(0.75), 0.0),
            (&with_model, &ByModel::default(), 0.75),
        ] {
            let grown = later.since(earlier);
            assert!((grown.cost_usd() - cost).abs() < SLACK, "{later:?} since {earlier:?}: {grown:?}");
        }
    }
}
