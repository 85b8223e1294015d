//! Variables for the programs of a run. Their values may be credentials: no text from here has one.

use std::collections::BTreeMap;

use secrecy::SecretString;

use super::super::error::ApiError;
use super::super::fields::Fields;
use super::spot::Spot;
use crate::config::validate::variable_flaw;

/// Variables of one request. They go into the environment of every program that the run starts.
pub(in crate::api) const MAX_VARIABLES: usize = 50;

/// A value, in bytes. The kernel takes 128 KiB, the name included.
const MAX_VALUE: usize = 32 << 10;

/// The variables by name.
pub(super) fn variables(fields: &mut Fields) -> Result<BTreeMap<String, SecretString>, ApiError> {
    const FIELD: &str = "env";
    let Some(variables) = fields.object(FIELD)? else { return Ok(BTreeMap::new()) };
    let spot = Spot::of(fields, FIELD);
    spot.at_most(MAX_VARIABLES, variables.len(), "variables")?;
    let variables = variables.into_iter().map(|(name, value)| {
        let spot = spot.member(&name);
        if let Some(why) = variable_flaw(&name) {
            return Err(spot.wrong(format_args!("cannot be set by a request: it {why}")));
        }
        let value = spot.text(value)?;
        if value.contains('\0') {
            return Err(spot.wrong("must not have a NUL"));
        }
        if value.len() > MAX_VALUE {
            let what = format!("has {} bytes; at most {MAX_VALUE} are allowed", value.len());
            return Err(spot.wrong(what));
        }
        Ok((name, SecretString::from(value)))
    });
    variables.collect()
}
