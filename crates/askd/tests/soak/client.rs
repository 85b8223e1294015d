//! A client of `/v1/runs` that counts bytes.

use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::Value;

use crate::campaign::LIMIT;
use crate::place::KEY;

/// An event as it came: its number and the very bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: u64,
    pub(crate) kind: String,
    pub(crate) data: String,
}

impl Event {
    /// Whether it is a run's last.
    pub(crate) fn is_terminal(&self) -> bool {
        ["run.completed", "run.incomplete", "run.failed", "run.cancelled", "run.lost"].contains(&&*self.kind)
    }
}

/// How a stream came to its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum StreamEnd {
    /// The server has ended it properly.
    Complete,
    /// We have cut it; whether that was inside a frame.
    Cut { inside: bool },
    /// The connection broke.
    Broken,
    /// Nothing comes after the last event: 204.
    Nothing,
}

/// Requests to one server, with the right key; no connection is used twice.
pub(crate) fn client() -> reqwest::Client {
    let mut headers = HeaderMap::new();
    headers.insert("x-api-key", HeaderValue::from_static(KEY));
    let client = reqwest::Client::builder().default_headers(headers).pool_max_idle_per_host(0);
    client.build().expect("a client")
}

/// An answer that must be JSON with one of these statuses.
pub(crate) async fn json(request: reqwest::RequestBuilder, statuses: &[u16]) -> Value {
    let response = tokio::time::timeout(LIMIT, request.send()).await.expect("an answer in time").expect("an answer");
    let status = response.status().as_u16();
    let text = tokio::time::timeout(LIMIT, response.text()).await.expect("a body in time").expect("a body");
    assert!(statuses.contains(&status), "{status}: {text}");
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}"))
}

/// Asks for a run's events after number `after`.
pub(crate) fn events_after(client: &reqwest::Client, events: &str, after: u64) -> reqwest::RequestBuilder {
    let request = client.get(events).header("accept", "text/event-stream");
    if after == 0 { request } else { request.header("last-event-id", after) }
}

/// Reads a stream, but no more than `budget` bytes, and gives every complete event to `take`. A stream on which an event
/// comes that is not the next one panics.
pub(crate) async fn read(
    request: reqwest::RequestBuilder,
    after: u64,
    mut budget: usize,
    mut take: impl FnMut(Event),
) -> StreamEnd {
    let sent = tokio::time::timeout(LIMIT, request.send()).await.expect("an answer in time");
    let Ok(mut response) = sent else { return StreamEnd::Broken };
    match response.status().as_u16() {
        200 => {}
        204 => return StreamEnd::Nothing,
        status => panic!("{status}: {:?}", response.text().await),
    }
    let (mut frames, mut last) = (Frames::default(), after);
    loop {
        let Ok(bytes) = tokio::time::timeout(LIMIT, response.chunk()).await.expect("a stream that goes on") else {
            return StreamEnd::Broken;
        };
        let Some(bytes) = bytes else { break };
        let most = bytes.len().min(budget);
        budget -= most;
        for event in frames.push(&bytes[..most]) {
            assert_eq!(event.id, last + 1, "the number after {last}");
            last = event.id;
            take(event);
        }
        if budget == 0 {
            return StreamEnd::Cut { inside: !frames.pending.is_empty() };
        }
    }
    assert_eq!(frames.pending, [0; 0], "the stream ended inside a frame");
    StreamEnd::Complete
}

/// Takes a stream apart.
#[derive(Default)]
struct Frames {
    pending: Vec<u8>,
    /// So far there is no end of a frame in `pending`.
    searched: usize,
}

impl Frames {
    fn push(&mut self, bytes: &[u8]) -> Vec<Event> {
        self.pending.extend_from_slice(bytes);
        let mut events = Vec::new();
        let mut start = 0;
        let mut from = self.searched.saturating_sub(1);
        while let Some(found) = self.pending[from..].windows(2).position(|pair| pair == b"\n\n") {
            let end = from + found;
            events.extend(event(std::str::from_utf8(&self.pending[start..end]).expect("UTF-8")));
            (start, from) = (end + 2, end + 2);
        }
        self.pending.drain(..start);
        self.searched = self.pending.len();
        events
    }
}

/// The event of a frame; comments have none.
fn event(frame: &str) -> Option<Event> {
    let field = |name: &str| frame.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    let kind = field("event: ")?;
    assert_ne!(kind, "error", "{frame}");
    let id = field("id: ").unwrap_or_else(|| panic!("an event without a number: {frame}"));
    Some(Event { id: id.parse().expect("a number"), kind, data: field("data: ").expect("data") })
}

/// Panics unless these are all events of a run: numbers from 1 without a gap, and the end at the end.
pub(crate) fn assert_complete(events: &[Event]) {
    for (event, number) in events.iter().zip(1..) {
        assert_eq!(event.id, number);
        let envelope: Value = serde_json::from_str(&event.data).unwrap_or_else(|_| panic!("no JSON: {}", event.data));
        assert_eq!((envelope["seq"].as_u64(), envelope["type"].as_str()), (Some(number), Some(&*event.kind)));
    }
    let ends: Vec<u64> = events.iter().filter(|event| event.is_terminal()).map(|event| event.id).collect();
    assert_eq!(ends, [events.len() as u64], "one end, and it is the last");
}
