//! Configuration over HTTP.

use askd::settings::Settings;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use super::client::Answer;
use super::raw::RawClient;
use super::server::TestServer;

impl TestServer {
    /// A request with the right key, not yet sent.
    pub(crate) fn sending(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url(path)).header("x-api-key", Settings::TEST_API_KEY)
    }

    /// `PUT` of a JSON body.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        Answer::by(self.sending(Method::PUT, path).json(body)).await
    }

    /// `PUT` of a JSON body under a condition, e.g. `("if-match", "*")`.
    pub(crate) async fn put_if(&self, path: &str, condition: (&str, &str), body: &Value) -> Answer {
        let request = self.sending(Method::PUT, path).header(condition.0, condition.1).json(body);
        Answer::by(request).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        Answer::by(self.sending(Method::DELETE, path)).await
    }

    /// `DELETE` under a condition.
    pub(crate) async fn delete_if(&self, path: &str, condition: (&str, &str)) -> Answer {
        let request = self.sending(Method::DELETE, path).header(condition.0, condition.1);
        Answer::by(request).await
    }

    /// A request whose path is sent as it is, with a body of JSON; other clients would tidy it. Status and whole answer.
    pub(crate) async fn raw(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut client = RawClient::connect(self.address).await;
        let (key, length) = (Settings::TEST_API_KEY, body.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nx-api-key: {key}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        client.send(&request).await;
        let answer = client.rest().await;
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.unwrap_or_else(|| panic!("no answer to {path}: {answer}")), answer)
    }

    /// `GET` under a condition.
    pub(crate) async fn get_if(&self, path: &str, condition: (&str, &str)) -> Answer {
        Answer::by(self.getting(path).header(condition.0, condition.1)).await
    }
}

impl Answer {
    /// The tag of what it is about.
    pub(crate) fn etag(&self) -> &str {
        self.header("etag").unwrap_or_else(|| panic!("no tag: {self:?}"))
    }
}
