//! The fields of `/ask`.

use serde_json::{Map, Value};

use super::super::dialect::ASK;
use super::super::error::ApiError;
use super::super::fields::Fields;
use super::super::options::{Route, run_request};
use crate::runs::request::RunRequest;

/// A request whose fields have the right form.
#[derive(Debug, PartialEq)]
pub(super) struct AskRequest {
    pub(super) request: RunRequest,
    pub(super) stream: bool,
}

impl AskRequest {
    pub(super) fn parse(object: Map<String, Value>, lenient: bool) -> Result<Self, ApiError> {
        let mut fields = Fields::new(object, &ASK, lenient)?;
        let (request, _no_secrets) = run_request(&mut fields, Route::Ask)?;
        Ok(Self { request, stream: fields.bool("stream")?.unwrap_or(false) })
    }
}

#[cfg(test)]
mod tests;
