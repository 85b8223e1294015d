//! A client of `/v1/runs`, of a server in this process or of the program.

use std::net::SocketAddr;

use askd::settings::Settings;
use reqwest::RequestBuilder;
use serde_json::Value;

use super::client::{Answer, Stream};
use super::raw::RawClient;
use super::wait::eventually_async;

/// Requests with the right key.
#[derive(Clone)]
pub(crate) struct V1 {
    client: reqwest::Client,
    address: SocketAddr,
}

impl V1 {
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self { client: reqwest::Client::new(), address }
    }

    /// `POST` below `/v1`, not yet sent.
    pub(crate) fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        with_key(self.client.post(self.url(path))).json(body)
    }

    /// `GET`, of any path.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        let request = with_key(self.client.get(format!("http://{}{path}", self.address)));
        Answer::by(request).await
    }

    /// Submits a run that is to be taken in; its id.
    pub(crate) async fn submit(&self, body: &Value) -> String {
        let answer = Answer::by(self.post("/runs", body)).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.body["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn run(&self, id: &str) -> Value {
        let answer = self.get(&format!("/v1/runs/{id}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    /// The run when it has ended.
    pub(crate) async fn ended(&self, id: &str) -> Value {
        eventually_async(&format!("the end of {id}"), async || {
            let run = self.run(id).await;
            run["finished_at"].is_string().then_some(run)
        })
        .await
    }

    /// All events of a run, read to its end.
    pub(crate) async fn events(&self, id: &str) -> Vec<Value> {
        self.events_after(id, 0).await
    }

    /// The events after a number, read to the run's end. Panics unless their numbers have no gap.
    pub(crate) async fn events_after(&self, id: &str, after: u64) -> Vec<Value> {
        let url = self.url(&format!("/runs/{id}/events?after={after}"));
        let request = with_key(self.client.get(url)).header("accept", "application/x-ndjson");
        let answer = Answer::by(request).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let events: Vec<Value> = answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for (event, number) in events.iter().zip(after + 1..) {
            assert_eq!(event["seq"], number);
        }
        events
    }

    /// Follows a run's events after a number.
    pub(crate) async fn follow(&self, id: &str, after: u64) -> Stream {
        let request = with_key(self.client.get(self.url(&format!("/runs/{id}/events?after={after}"))));
        let response = request.header("accept", "text/event-stream").send().await.unwrap();
        assert_eq!(response.status(), 200);
        Stream::of(response)
    }

    /// Waits until a run is in this state, also when the store does not answer meanwhile; the run.
    pub(crate) async fn reaches(&self, id: &str, state: &str) -> Value {
        eventually_async(&format!("{id} is {state}"), async || {
            let answer = self.get(&format!("/v1/runs/{id}")).await;
            (answer.status == 200 && answer.body["state"] == state).then_some(answer.body)
        })
        .await
    }

    /// Asks for a run's events on a connection of its own, and reads nothing of them.
    pub(crate) async fn raw_events(&self, id: &str) -> RawClient {
        let (mut client, key) = (RawClient::connect(self.address).await, Settings::TEST_API_KEY);
        let head = format!(
            "GET /v1/runs/{id}/events HTTP/1.1\r\nhost: localhost\r\nx-api-key: {key}\r\naccept: text/event-stream\r\n\r\n"
        );
        client.send(&head).await;
        client
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/v1{path}", self.address)
    }
}

fn with_key(request: RequestBuilder) -> RequestBuilder {
    request.header("x-api-key", Settings::TEST_API_KEY)
}

/// The types of events, in their order.
pub(crate) fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}
