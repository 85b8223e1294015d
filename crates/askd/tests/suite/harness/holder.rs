//! Somebody with a key of their own.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::client::{Answer, Stream};
use super::server::TestServer;
use super::wait::not_over_midnight;

/// The holder of a key that was made.
#[derive(Clone)]
pub(crate) struct Holder {
    client: reqwest::Client,
    base: String,
    /// The key's id.
    pub(crate) id: String,
    /// The key itself, as it was shown.
    pub(crate) token: String,
}

impl TestServer {
    /// Makes a key from the body of `POST /v1/keys`.
    pub(crate) async fn holder(&self, body: &Value) -> Holder {
        let made = self.post("/v1/keys", body).await;
        assert_eq!(made.status, 201, "{made:?}");
        let text = |field: &str| made.body[field].as_str().unwrap().to_owned();
        Holder { client: self.client.clone(), base: self.url(""), id: text("id"), token: text("key") }
    }

    /// The holder of a key that may do everything with its own things, and with this policy.
    pub(crate) async fn user(&self, policy: Value) -> Holder {
        if policy["max_usd_per_day"].is_number() {
            not_over_midnight(Duration::from_mins(2)).await;
        }
        let scopes = ["ask", "runs:read", "runs:write", "config:read", "config:write", "config:exec", "usage:read"];
        self.holder(&json!({"name": "user", "scopes": scopes, "policy": policy})).await
    }
}

impl Holder {
    /// The same key, shown to another server.
    pub(crate) fn at(self, server: &TestServer) -> Self {
        Self { base: server.url(""), ..self }
    }

    /// A request with the key, not yet sent.
    pub(crate) fn sending(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base)).header("x-api-key", &self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::by(self.sending(Method::GET, path)).await
    }

    /// `POST` of a JSON body.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::by(self.sending(Method::POST, path).json(body)).await
    }

    /// `PUT` of a JSON body.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        Answer::by(self.sending(Method::PUT, path).json(body)).await
    }

    /// `POST /v1/runs` that is taken in; the run's id.
    pub(crate) async fn submit(&self, body: Value) -> String {
        let answer = self.post("/v1/runs", &body).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.run_id().to_owned()
    }

    /// `POST /v1/runs?wait=60`: the finished run.
    pub(crate) async fn run(&self, body: Value) -> Value {
        let answer = self.post("/v1/runs?wait=60", &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    /// Follows a run's events.
    pub(crate) async fn follow(&self, run: &str) -> Stream {
        let request = self.sending(Method::GET, &format!("/v1/runs/{run}/events"));
        let response = request.header("accept", "text/event-stream").send().await.unwrap();
        assert_eq!(response.status(), 200);
        Stream::of(response)
    }
}
