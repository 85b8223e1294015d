//! The body of an error; [`super::super::request_id`] puts it into the answer, with the request's id.

use std::borrow::Cow;
use std::sync::Arc;

use axum::http::StatusCode;
use serde::Serialize;

use super::kind::ErrorType;
use super::{ApiError, Work};
use crate::config::problem::Problem;
use crate::encode::fold::RunResult;

/// How many problems of a document stand in the text of an error on the routes of the Node server.
const PROBLEMS_IN_TEXT: usize = 3;

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
    /// The error.
    pub(in crate::api) fn error(&self) -> &ApiError {
        &self.0
    }

    /// Its type, as v1 calls it, and its code, as the routes of the Node server do. For metrics.
    pub(in crate::api) fn words(&self) -> [&'static str; 2] {
        [ErrorType::of(self.0.v1_status()).as_str(), self.0.code.describe().0]
    }

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
        let message = self.message_with_advice();
        let message = &*message;
        let error = Error { code: self.code.describe().0, message, request_id };
        let result = match &self.work {
            Work::NotBegun | Work::Shown(_) => None,
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

    /// On the routes of the Node server there is but one text: the first problems and the hint are part of it.
    fn message_with_advice(&self) -> Cow<'_, str> {
        let Some(advice) = &self.advice else { return Cow::Borrowed(&self.message) };
        let mut text = match advice.problems.get(..PROBLEMS_IN_TEXT).unwrap_or(&advice.problems) {
            [] | [_] => self.message.clone(),
            several => several.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        };
        if let Some(more) = advice.problems.len().checked_sub(PROBLEMS_IN_TEXT).filter(|more| *more > 0) {
            text = format!("{text}; and {more} more");
        }
        if let Some(hint) = &advice.hint {
            text = format!("{text}; {hint}");
        }
        Cow::Owned(text)
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
            #[serde(skip_serializing_if = "Option::is_none")]
            hint: Option<&'a str>,
            #[serde(skip_serializing_if = "<[Problem]>::is_empty")]
            problems: &'a [Problem],
        }
        let kind = ErrorType::of(self.v1_status()).as_str();
        let (hint, problems) = match &self.advice {
            None => (None, &[][..]),
            Some(advice) => (advice.hint.as_deref(), &advice.problems[..]),
        };
        let error = Error { r#type: kind, message: &self.message, param: self.param.as_deref(), hint, problems };
        // Only strings and numbers are serialised here, which cannot fail.
        let mut body = serde_json::to_vec(&Envelope { r#type: "error", error, request_id }).unwrap_or_default();
        if let (Work::Shown(run), Some(b'}')) = (&self.work, body.pop()) {
            body.extend_from_slice(b",\"run\":");
            body.extend_from_slice(run);
        }
        body.push(b'}');
        body
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
    fn a_hint_and_problems_are_fields_in_v1_and_part_of_the_text_elsewhere() {
        let problems = (1..=4).map(|line| Problem::new("is odd").at(line).of("tools")).collect();
        let error = ApiError::request("line 1: `tools`: is odd").with_hint("mend it").with_problems(problems);
        insta::assert_snapshot!(v1(&error),
            @r#"{"type":"error","error":{"type":"invalid_request_error","message":"line 1: `tools`: is odd","hint":"mend it","problems":[{"line":1,"field":"tools","message":"is odd"},{"line":2,"field":"tools","message":"is odd"},{"line":3,"field":"tools","message":"is odd"},{"line":4,"field":"tools","message":"is odd"}]},"request_id":"id-1"}"#);
        insta::assert_snapshot!(String::from_utf8(error.legacy("id-1")).unwrap(),
            @r#"{"error":{"code":"REQUEST_ERROR","message":"line 1: `tools`: is odd; line 2: `tools`: is odd; line 3: `tools`: is odd; and 1 more; mend it","requestId":"id-1"}}"#);
    }

    #[test]
    fn the_type_follows_from_the_status() {
        let table = [
            (400, "invalid_request_error"),
            (401, "authentication_error"),
            (403, "permission_error"),
            (404, "not_found_error"),
            (405, "invalid_request_error"),
            (406, "invalid_request_error"),
            (409, "conflict_error"),
            (410, "not_found_error"),
            (412, "conflict_error"),
            (413, "request_too_large"),
            (415, "invalid_request_error"),
            (422, "invalid_request_error"),
            (500, "api_error"),
            (503, "overloaded_error"),
            (504, "timeout_error"),
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
