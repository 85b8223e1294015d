//! Answers and streams as a client sees them.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::Value;

use super::contract::{Contract, Seen};

/// No answer takes longer, unless something is broken.
const LIMIT: Duration = Duration::from_mins(2);

/// How many events of a stream are compared with the OpenAPI file.
const MOST_COMPARED: usize = 50;

/// A complete answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
    /// The body as it came.
    pub(crate) text: String,
}

impl Answer {
    /// Sends a request. The answer is what the OpenAPI file says of its method and path.
    pub(crate) async fn by(request: reqwest::RequestBuilder) -> Self {
        let (client, request) = request.build_split();
        let request = request.unwrap();
        let method = request.method().as_str().to_owned();
        Self::to(&method, client.execute(request).await.unwrap()).await
    }

    /// The same for a request of this method.
    pub(crate) async fn to(method: &str, response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let path = response.url().path().to_owned();
        let text = tokio::time::timeout(LIMIT, response.text()).await.expect("an answer in time").unwrap();
        Contract::get().check(&Seen { method, path: &path, status, headers: &headers, body: Some(&text) });
        let body = serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.clone()));
        Self { status, headers, body, text }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// `error.code` of the body.
    pub(crate) fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or("")
    }

    /// `error.message` of the body.
    pub(crate) fn message(&self) -> &str {
        self.body["error"]["message"].as_str().unwrap_or("")
    }

    /// `error.type` of the body, below `/v1`.
    pub(crate) fn kind(&self) -> &str {
        self.body["error"]["type"].as_str().unwrap_or("")
    }

    /// `error.param` of the body, below `/v1`.
    pub(crate) fn param(&self) -> &str {
        self.body["error"]["param"].as_str().unwrap_or("")
    }

    /// The run's id.
    pub(crate) fn run_id(&self) -> &str {
        self.header("x-askd-run-id").or(self.body["id"].as_str()).unwrap_or_else(|| panic!("no run: {self:?}"))
    }

    /// The text of a successful result.
    pub(crate) fn result(&self) -> &str {
        assert_eq!(self.status, 200, "{self:?}");
        self.body["result"].as_str().unwrap()
    }
}

/// A stream that is being read.
pub(crate) struct Stream {
    bytes: futures_util::stream::BoxStream<'static, reqwest::Result<axum::body::Bytes>>,
    pending: String,
    /// How many events were compared with the OpenAPI file.
    compared: usize,
    pub(crate) headers: reqwest::header::HeaderMap,
}

/// One block of a stream: everything up to an empty line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Block {
    pub(crate) id: Option<String>,
    pub(crate) retry: Option<String>,
    pub(crate) event: Option<String>,
    pub(crate) data: Option<String>,
    pub(crate) comment: Option<String>,
}

impl Block {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(self.data.as_deref().unwrap_or("null")).unwrap()
    }
}

impl Stream {
    pub(crate) fn of(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let path = response.url().path();
        // Events are asked for; whatever else streams is made by what is sent.
        let method = if path.ends_with("/events") { "GET" } else { "POST" };
        Contract::get().check(&Seen { method, path, status, headers: &headers, body: None });
        Self { bytes: response.bytes_stream().boxed(), pending: String::new(), compared: 0, headers }
    }

    /// The next block; `None` at the end. A stream that is cut off panics.
    pub(crate) async fn next(&mut self) -> Option<Block> {
        loop {
            if let Some(end) = self.pending.find("\n\n") {
                let block: String = self.pending.drain(..end + 2).collect();
                let block = parse(&block);
                // With a number it is an event below `/v1`. A long stream has many of the same kind.
                if block.id.is_some() && self.compared < MOST_COMPARED {
                    self.compared += 1;
                    // The CLI may say what is JSON and no value here, such as 1e400.
                    let envelope = serde_json::from_str(block.data.as_deref().unwrap_or("null"));
                    if let Ok(envelope) = &envelope {
                        Contract::get().check_event(envelope);
                    }
                }
                return Some(block);
            }
            match tokio::time::timeout(LIMIT, self.bytes.next()).await.expect("a stream that goes on") {
                Some(bytes) => self.pending.push_str(std::str::from_utf8(&bytes.unwrap()).expect("whole characters")),
                None => return None,
            }
        }
    }

    /// Reads on until an event of this type below `/v1`; its envelope.
    pub(crate) async fn until_event(&mut self, kind: &str) -> Value {
        while let Some(block) = self.next().await {
            if block.event.as_deref() == Some(kind) {
                return block.json();
            }
        }
        panic!("the stream ended without an event of type {kind}");
    }

    /// All envelopes to the end, without comments and without what has no number.
    pub(crate) async fn envelopes(self) -> Vec<Value> {
        self.rest().await.into_iter().filter(|block| block.id.is_some()).map(|block| block.json()).collect()
    }

    /// All blocks to the end.
    pub(crate) async fn rest(mut self) -> Vec<Block> {
        let mut blocks = Vec::new();
        while let Some(block) = self.next().await {
            blocks.push(block);
        }
        assert_eq!(self.pending, "", "the stream ended inside a block");
        blocks
    }

    /// Reads on until a message of this type.
    pub(crate) async fn until(&mut self, kind: &str) -> Value {
        while let Some(block) = self.next().await {
            if block.event.is_none() && block.data.is_some() && block.json()["type"] == kind {
                return block.json();
            }
        }
        panic!("the stream ended without a message of type {kind}");
    }
}

fn parse(block: &str) -> Block {
    let field = |name: &str| block.lines().find_map(|line| Some(line.strip_prefix(name)?.trim_start().to_owned()));
    Block {
        id: field("id:"),
        retry: field("retry:"),
        event: field("event:"),
        data: field("data:"),
        comment: field(":"),
    }
}
