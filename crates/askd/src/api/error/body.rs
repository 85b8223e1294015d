//! The body of an error; [`super::super::request_id`] puts it into the answer, with the request's id.

use std::sync::Arc;

use axum::http::StatusCode;
use serde::Serialize;

use super::kind::ErrorType;
use super::{ApiError, Work};
use crate::encode::fold::RunResult;

/// The error itself, on its way through the layers.
#[derive(Debug, Clone)]
pub(in crate::api) struct ErrorBody(pub(super) Arc<ApiError>);

/// Which of the two surfaces a route belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) enum Surface {
    /// The routes of the Node server, and those that need no key.
    Legacy,
    /// `/v1`.
    V1,
}

impl Surface {
    pub(in crate::api) fn of(path: &str) -> Self {
        if path == "/v1" || path.starts_with("/v1/") { Self::V1 } else { Self::Legacy }
    }
}

impl ErrorBody {
    pub(in crate::api) fn status(&self, surface: Surface) -> StatusCode {
        match surface {
            Surface::Legacy => self.0.status,
            Surface::V1 => self.0.v1_status(),
        }
    }

    pub(in crate::api) fn to_json(&self, surface: Surface, request_id: &str) -> Vec<u8> {
        match surface {
            Surface::Legacy => self.0.legacy(request_id),
            Surface::V1 => self.0.v1(request_id),
        }
    }
}

impl ApiError {
    /// A run's result is passed on byte for byte.
    fn legacy(&self, request_id: &str) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Error<'a> {
            code: &'a str,
            message: &'a str,
            request_id: &'a str,
        }
        let message = self.message.as_str();
        let error = Error { code: self.code.describe().0, message, request_id };
        let result = match &self.work {
            Work::NotBegun => None,
            Work::Begun(result) => Some(result.as_ref().map_or("null", RunResult::as_str)),
        };
        // Put together by hand and in one allocation: the result may be tens of megabytes long, and is valid JSON.
        let mut body = Vec::with_capacity(256 + message.len() + result.map_or(0, str::len));
        body.extend_from_slice(b"{\"error\":");
        // Only strings are serialised here, which cannot fail.
        drop(serde_json::to_writer(&mut body, &error));
        if let Some(result) = result {
            body.extend_from_slice(b",\"result\":");
            body.extend_from_slice(result.as_bytes());
        }
        body.push(b'}');
        body
    }

    /// The envelope of `/v1`.
    pub(in crate::api) fn v1(&self, request_id: &str) -> Vec<u8> {
        #[derive(Serialize)]
        struct Envelope<'a> {
            r#type: &'a str,
            error: Error<'a>,
            request_id: &'a str,
        }
        #[derive(Serialize)]
        struct Error<'a> {
            r#type: &'a str,
            message: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            param: Option<&'a str>,
        }
        let kind = ErrorType::of(self.v1_status()).as_str();
        let error = Error { r#type: kind, message: &self.message, param: self.param.as_deref() };
        // Only strings are serialised here, which cannot fail.
        serde_json::to_vec(&Envelope { r#type: "error", error, request_id }).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::code::ErrorCode;
    use super::*;

    fn v1(error: &ApiError) -> String {
        String::from_utf8(error.v1("id-1")).unwrap()
    }

    #[test]
    fn a_v1_error_names_its_type_and_what_is_at_fault() {
        insta::assert_snapshot!(v1(&ApiError::param("max_turns", "must be a whole number")),
            @r#"{"type":"error","error":{"type":"invalid_request_error","message":"max_turns must be a whole number","param":"max_turns"},"request_id":"id-1"}"#);
        insta::assert_snapshot!(v1(&ApiError::new(ErrorCode::ServerBusy, "full")),
            @r#"{"type":"error","error":{"type":"overloaded_error","message":"full"},"request_id":"id-1"}"#);
    }

    #[test]
    fn the_type_follows_from_the_status() {
        let table = [
            (400, "invalid_request_error"),
            (401, "authentication_error"),
            (404, "not_found_error"),
            (405, "invalid_request_error"),
            (406, "invalid_request_error"),
            (409, "conflict_error"),
            (410, "not_found_error"),
            (413, "request_too_large"),
            (415, "invalid_request_error"),
            (422, "invalid_request_error"),
            (500, "api_error"),
            (503, "overloaded_error"),
            (529, "overloaded_error"),
        ];
        for (status, kind) in table {
            assert_eq!(ErrorType::of(StatusCode::from_u16(status).unwrap()).as_str(), kind, "{status}");
        }
    }

    #[test]
    fn only_v1_routes_have_v1_errors() {
        for (path, surface) in [("/v1", Surface::V1), ("/v1/x", Surface::V1), ("/v10", Surface::Legacy)] {
            assert_eq!(Surface::of(path), surface, "{path}");
        }
    }
}
