//! One request to the server, on a connection of its own.

use std::io;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::args::Request;
use super::server::Server;
use super::{KeysError, trouble};
use crate::dial;

/// From the connection to the end of the answer. Revoking a key waits for the ends of its runs no longer than this.
const PATIENCE: Duration = Duration::from_mins(1);

/// The largest answer, in bytes: a page of keys with the longest policies.
const MAX_ANSWER: usize = 64 << 20;

/// The longest answer in plain text that is passed on, in bytes.
const MAX_TEXT: usize = 200;

/// Asks one server.
pub(super) struct Client {
    server: Server,
}

impl Client {
    pub(super) fn new(server: Server) -> Self {
        Self { server }
    }

    /// The JSON of a successful answer.
    pub(super) async fn ask(&self, request: &Request) -> Result<Value, KeysError> {
        let until = Instant::now() + PATIENCE;
        match timeout_at(until, self.attempt(request, until)).await {
            Ok(answered) => answered,
            Err(_) => Err(self.odd(&format!("there is no answer within {} seconds", PATIENCE.as_secs()))),
        }
    }

    /// It does not do what an askd does.
    pub(super) fn odd(&self, why: &str) -> KeysError {
        KeysError::Connection { url: self.server.url.clone(), why: why.to_owned() }
    }

    async fn attempt(&self, request: &Request, until: Instant) -> Result<Value, KeysError> {
        let Server { host, places, tls, .. } = &self.server;
        let connected = dial::connect(places, until).await;
        let stream =
            connected.map_err(|error| self.odd(&format!("cannot connect: {error}; is the server running?")))?;
        let Some(tls) = tls else { return self.exchange(stream, request).await };
        let name = ServerName::try_from(host.clone()).map_err(|_| self.odd("its host is no name of a server"))?;
        let encrypted = TlsConnector::from(std::sync::Arc::clone(tls)).connect(name, stream).await;
        self.exchange(encrypted.map_err(|error| self.unencrypted(&error))?, request).await
    }

    fn unencrypted(&self, error: &io::Error) -> KeysError {
        let why = trouble::words(error, self.server.shows_certificate);
        self.odd(&why.unwrap_or_else(|| format!("no encrypted connection: {error}")))
    }

    /// With TLS 1.3 a client is greeted before the server has seen its certificate: what it says to that comes here.
    fn broken(&self, error: &hyper::Error) -> KeysError {
        match trouble::words(error, self.server.shows_certificate) {
            Some(why) => self.odd(&why),
            None => self.odd(&format!("it does not speak HTTP as expected: {error}")),
        }
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send,
        request: &Request,
    ) -> Result<Value, KeysError> {
        let message = self.message(request)?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| self.broken(&error))?;
        let asking = async {
            let response = sender.send_request(message).await.map_err(|error| self.broken(&error))?;
            self.answer(response).await
        };
        let mut asking = std::pin::pin!(asking);
        tokio::select! {
            answered = &mut asking => answered,
            // The other side has closed, or the connection is broken: what has come is all. A request that was on its way
            // then is only said to be cancelled; the connection says why.
            ended = connection => asking.await.map_err(|cancelled| match ended {
                Ok(()) => cancelled,
                Err(error) => self.broken(&error),
            }),
        }
    }

    fn message(&self, request: &Request) -> Result<hyper::Request<Full<Bytes>>, KeysError> {
        let key = HeaderValue::from_str(self.server.key.expose_secret());
        let mut key = key.map_err(|_| KeysError::Usage("the key has characters that no key has".to_owned()))?;
        key.set_sensitive(true);
        let body = request.body.as_ref().map(Value::to_string).unwrap_or_default();
        let message = hyper::Request::builder()
            .method(&request.method)
            .uri(format!("{}{}", self.server.prefix, request.path))
            .header(HOST, &self.server.authority)
            .header("x-api-key", key)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body));
        message.map_err(|error| self.odd(&error.to_string()))
    }

    async fn answer(&self, response: Response<Incoming>) -> Result<Value, KeysError> {
        let status = response.status();
        let is_text =
            response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|error| self.odd(&format!("its answer breaks off: {error}")))?.to_bytes();
        match serde_json::from_slice::<Value>(&body) {
            Ok(answer) if status.is_success() => Ok(answer),
            Ok(answer) if answer["error"]["message"].is_string() => Err(refused(status, &answer["error"])),
            // An encrypted port that is asked in the clear says so, in text; so do proxies.
            _ if is_text && body.len() <= MAX_TEXT => {
                let text = super::shown::plain(String::from_utf8_lossy(&body).trim());
                Err(self.odd(&format!("it answers {status}: {text}")))
            }
            _ => Err(self.odd(&format!("it answers {status}, and not as an askd does"))),
        }
    }
}

fn refused(status: StatusCode, error: &Value) -> KeysError {
    let text = |name: &str| error[name].as_str().map(super::shown::plain);
    let hint = text("hint").map(|hint| format!("; hint: {hint}")).unwrap_or_default();
    KeysError::Refused { status: status.as_u16(), message: text("message").unwrap_or_default() + &hint }
}
