//! Models besides the first.

use super::super::error::ApiError;
use super::super::fields::{Fields, Strings};
use super::spot::Spot;

/// More than three that are all away are no accident of one model.
pub(in crate::api) const MAX_FALLBACKS: usize = 3;

/// Models for the case that the first is overloaded or not there: one, or a list. Which of them may be named is seen later.
pub(super) fn fallbacks(fields: &mut Fields) -> Result<Vec<String>, ApiError> {
    const FIELD: &str = "fallback_models";
    let models = match fields.strings(FIELD)? {
        None => return Ok(Vec::new()),
        Some(Strings::One(model)) => vec![model],
        Some(Strings::List(models)) => models,
    };
    let spot = Spot::of(fields, FIELD);
    if models.is_empty() {
        return Err(spot.wrong("must not be empty; leave it out to have none"));
    }
    spot.at_most(MAX_FALLBACKS, models.len(), "models")?;
    match (1..models.len()).find(|index| models[..*index].contains(&models[*index])) {
        Some(index) => Err(spot.item(index).wrong("names the same model as one before it")),
        None => Ok(models),
    }
}
