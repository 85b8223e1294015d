//! Answers, and what each must be.

use axum::body::to_bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::Value;

use super::draw::Act;

/// The largest answer.
const MAX_ANSWER: usize = 64 << 20;
const TYPES: [&str; 7] = [
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "not_found_error",
    "conflict_error",
    "request_too_large",
    "rate_limit_error",
];

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
    /// The body, if it is JSON.
    pub(crate) json: Value,
}

impl Answer {
    pub(crate) async fn of(response: Response) -> Self {
        let (head, body) = response.into_parts();
        let bytes = to_bytes(body, MAX_ANSWER).await.unwrap().to_vec();
        let json = serde_json::from_slice(&bytes).unwrap_or_default();
        Self { status: head.status, headers: head.headers, bytes, json }
    }

    pub(crate) fn is_good(&self) -> bool {
        self.status.is_success()
    }

    pub(crate) fn etag(&self) -> Option<&str> {
        self.headers.get("etag")?.to_str().ok()?.strip_prefix('"')?.strip_suffix('"')
    }

    fn media_type(&self) -> &str {
        self.headers.get("content-type").map_or("", |value| value.to_str().unwrap())
    }

    /// The form of an answer.
    pub(crate) fn check(&self, act: &Act, path: &str, is_head: bool) {
        let what = || format!("{act:#?}\n{path}: {} {}", self.status, String::from_utf8_lossy(&self.bytes));
        assert!(!self.status.is_server_error() && !self.status.is_informational(), "{}", what());
        if is_head || self.status == StatusCode::NO_CONTENT || self.status == StatusCode::NOT_MODIFIED {
            assert!(self.bytes.is_empty(), "{}", what());
            return;
        }
        assert!(!self.status.is_redirection(), "{}", what());
        if self.is_good()
            && matches!(self.media_type(), "application/x-tar" | "application/zip" | "application/octet-stream")
        {
            return;
        }
        assert!(self.media_type() == "application/json" && self.json.is_object(), "{}", what());
        if self.is_good() {
            return;
        }
        let error = &self.json["error"];
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{}", what());
        if path == "/v1" || path.starts_with("/v1/") {
            let kind = error["type"].as_str().unwrap_or_default();
            assert!(self.json["type"] == "error" && TYPES.contains(&kind), "{}", what());
            assert!(self.json["request_id"].is_string(), "{}", what());
        } else {
            let has_code = error["code"].as_str().is_some_and(|code| !code.is_empty());
            assert!(has_code && error["requestId"].is_string(), "{}", what());
        }
    }
}
