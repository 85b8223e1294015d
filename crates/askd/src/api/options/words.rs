//! Options that are one word or one number.

use claude::effort::Effort;
use claude::permission_mode::PermissionMode;
use claude::profile::Profile;

use super::super::error::ApiError;
use super::super::fields::Fields;
use crate::keys::priority::Priority;
use crate::usd::Usd;

/// Turns of one run: as many as the Node server took.
pub(in crate::api) const MAX_TURNS: i64 = 50;

/// A word of a list.
fn word<T>(
    fields: &mut Fields,
    field: &'static str,
    words: &[&str],
    find: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, ApiError> {
    let Some(word) = fields.string(field)? else { return Ok(None) };
    let found = find(&word);
    found.map(Some).ok_or_else(|| fields.wrong(field, format_args!("must be one of {}", words.join(", "))))
}

pub(super) fn priority(fields: &mut Fields) -> Result<Option<Priority>, ApiError> {
    word(fields, "priority", &Priority::WORDS, Priority::from_word)
}

pub(super) fn permission_mode(fields: &mut Fields) -> Result<Option<PermissionMode>, ApiError> {
    word(fields, "permission_mode", PermissionMode::WORDS, PermissionMode::from_word)
}

pub(super) fn effort(fields: &mut Fields) -> Result<Option<Effort>, ApiError> {
    word(fields, "effort", &Effort::WORDS, Effort::from_word)
}

pub(super) fn profile(fields: &mut Fields) -> Result<Option<Profile>, ApiError> {
    word(fields, "profile", &Profile::WORDS, Profile::from_word)
}

pub(super) fn max_turns(fields: &mut Fields) -> Result<Option<u32>, ApiError> {
    const FIELD: &str = "max_turns";
    let Some(number) = fields.integer(FIELD)? else { return Ok(None) };
    let turns = u32::try_from(number).ok().filter(|_| (1..=MAX_TURNS).contains(&number));
    turns.map(Some).ok_or_else(|| fields.wrong(FIELD, format_args!("must be from 1 to {MAX_TURNS}")))
}

/// A number of whole seconds. The server's own bounds are compared with later.
pub(super) fn seconds(fields: &mut Fields, field: &'static str) -> Result<Option<u64>, ApiError> {
    let Some(number) = fields.integer(field)? else { return Ok(None) };
    let seconds = u64::try_from(number).ok().filter(|seconds| *seconds >= 1);
    seconds.map(Some).ok_or_else(|| fields.wrong(field, "must be at least 1"))
}

pub(super) fn max_budget(fields: &mut Fields) -> Result<Option<Usd>, ApiError> {
    const FIELD: &str = "max_budget_usd";
    let Some(dollars) = fields.number(FIELD)? else { return Ok(None) };
    let amount = Usd::from_dollars(dollars).filter(|amount| *amount > Usd::ZERO);
    amount.map(Some).ok_or_else(|| fields.wrong(FIELD, "must be from 0.000001 to 1000000000, in US dollars"))
}
