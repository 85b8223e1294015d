//! Requests.

use std::fmt::Write as _;

use askd::config::change::Condition;
use askd::config::document::Etag;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, Request, Uri};
use tower::ServiceExt as _;

use super::World;
use super::answer::Answer;
use super::draw::{Act, When, Where};

/// A request to be.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Sent {
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self { method: "GET", path: path.into(), ..Self::default() }
    }

    pub(crate) fn json(method: &'static str, path: impl Into<String>, body: &serde_json::Value) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self { method, path: path.into(), headers, body: body.to_string().into_bytes() }
    }

    pub(crate) fn with(mut self, header: Option<(&'static str, String)>) -> Self {
        self.headers.extend(header);
        self
    }
}

/// A part of a path, percent-encoded; everything, or only what must be.
pub(crate) fn encoded(text: &str, with_slashes: bool) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(char::from(byte)),
            b'/' if !with_slashes => encoded.push('/'),
            // Writing to a string cannot fail.
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}

pub(crate) fn query(scope: &Where) -> String {
    match scope {
        Where::Known(scope) => scope.workspace().map_or(String::new(), |name| format!("?workspace={name}")),
        Where::Odd(text) => format!("?workspace={}", text.replace(' ', "+")),
    }
}

/// The header of a condition, and whether it holds of what is there.
pub(crate) fn condition(when: &When, current: Option<Etag>) -> (Option<(&'static str, String)>, bool) {
    let other = Etag::of_bytes(b"another content");
    let quoted = |etag: Etag| format!("\"{etag}\"");
    match when {
        When::Always => (None, true),
        When::Current => {
            let etag = current.unwrap_or(other);
            (Some(("if-match", quoted(etag))), Condition::IfMatch(vec![etag]).holds(current))
        }
        When::Exists => (Some(("if-match", "*".into())), current.is_some()),
        When::Absent => (Some(("if-none-match", "*".into())), current.is_none()),
        When::Other => (Some(("if-match", quoted(other))), current == Some(other)),
        When::Malformed(text) => (Some(("if-match", text.clone())), false),
    }
}

impl World {
    /// Sends a request, and checks what every answer must be. `None`: no client could send it.
    pub(crate) async fn send(&self, act: &Act, sent: Sent) -> Option<Answer> {
        let uri: Uri = sent.path.parse().ok()?;
        let method: Method = sent.method.parse().unwrap();
        let mut request = Request::new(Body::from(sent.body));
        for (name, value) in &sent.headers {
            let value = HeaderValue::from_bytes(value.as_bytes()).ok()?;
            request.headers_mut().append(HeaderName::from_static(name), value);
        }
        request.headers_mut().insert("host", HeaderValue::from_static("localhost"));
        request.headers_mut().insert("x-api-key", HeaderValue::from_static(self.key));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        let response = self.router.clone().oneshot(request).await.unwrap();
        let answer = Answer::of(response).await;
        answer.check(act, &sent.path, sent.method == "HEAD");
        self.check_leaks(act, &answer.bytes);
        let mut counts = self.counts.get();
        counts.requests += 1;
        if !matches!(sent.method, "GET" | "HEAD") {
            counts.changes += 1;
            counts.taken += u64::from(answer.is_good());
        }
        self.counts.set(counts);
        Some(answer)
    }
}
