//! Asks the server of these settings, from beside it, whether it lives or is ready. No key is shown and nothing secret is
//! sent, so whoever answers there is believed, whatever certificate it shows: as the probes of Kubernetes do it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use crate::dial;
use crate::keys::name::is_unseen;
use crate::settings::Door;

/// From its name to the end of the answer.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// The largest answer, in bytes.
const MAX_ANSWER: usize = 64 << 10;

/// A server of this machine.
#[derive(Debug)]
pub struct OwnServer {
    /// Host and port. It is at one of them.
    places: Vec<String>,
    is_encrypted: bool,
}

/// What it said.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The text, without characters that nobody sees but ends of lines.
    pub text: String,
}

/// Why it said nothing.
#[derive(Debug, thiserror::Error)]
pub enum Unreached {
    /// Nobody listens.
    #[error("nothing listens on {0}")]
    Nobody(String),
    /// Whether somebody listens is not known.
    #[error("{0} cannot be connected to: {1}")]
    Unconnected(String, io::Error),
    /// Somebody listens, who is too slow.
    #[error("{0} does not answer within {seconds} s", seconds = PATIENCE.as_secs())]
    Late(String),
    /// Something else listens.
    #[error("{0} does not answer as an askd does: {1}")]
    Odd(String, String),
}

impl OwnServer {
    /// The one that listens in one of these places.
    pub fn at(places: impl IntoIterator<Item = impl ToString>, is_encrypted: bool) -> Self {
        Self { places: places.into_iter().map(|place| place.to_string()).collect(), is_encrypted }
    }

    /// The one behind this door. Where that asks for a certificate, which nobody here has: by the door for monitoring, if
    /// there is one.
    pub fn behind(door: &Door) -> Self {
        match door.monitoring {
            Some(address) if door.asks_certificate => Self::at(Door::reachable(address), false),
            _ => Self::at(Door::reachable(door.listen), door.is_encrypted),
        }
    }

    /// Whether its port is known: with 0 it chooses one itself.
    pub fn is_known(&self) -> bool {
        !self.places.iter().any(|place| place.ends_with(":0"))
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.is_encrypted { "https" } else { "http" }, self.place())
    }

    /// What it answers to a `GET` of one of its health routes, as text.
    pub async fn get(&self, path: &str) -> Result<Answer, Unreached> {
        let until = Instant::now() + PATIENCE;
        let stream = dial::connect(&self.places, until).await.map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused => Unreached::Nobody(self.place()),
            _ => Unreached::Unconnected(self.place(), error),
        })?;
        timeout_at(until, self.ask(stream, path)).await.unwrap_or_else(|_| Err(Unreached::Late(self.place())))
    }

    fn place(&self) -> String {
        self.places.join(" or ")
    }

    async fn ask(&self, stream: TcpStream, path: &str) -> Result<Answer, Unreached> {
        if !self.is_encrypted {
            return self.exchange(stream, path).await;
        }
        let name = ServerName::IpAddress(stream.peer_addr().map_err(|error| self.odd(error))?.ip().into());
        let encrypted = TlsConnector::from(any_certificate().map_err(|error| self.odd(error))?).connect(name, stream);
        self.exchange(encrypted.await.map_err(|error| self.odd(error))?, path).await
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send,
        path: &str,
    ) -> Result<Answer, Unreached> {
        // A name of loopback is good whatever ASKD_ALLOWED_HOSTS says.
        let request = Request::builder().method(Method::GET).uri(path).header(HOST, "localhost");
        let request =
            request.header(ACCEPT, "text/plain").body(Empty::<Bytes>::new()).map_err(|error| self.odd(error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.odd(error))?;
        let asking = async {
            let response = sender.send_request(request).await.map_err(|error| self.odd(error))?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
            let body = body.map_err(|error| self.odd(error))?.to_bytes();
            Ok(Answer { status, text: printable(String::from_utf8_lossy(&body).trim_end()) })
        };
        let mut asking = std::pin::pin!(asking);
        tokio::select! {
            answered = &mut asking => answered,
            // The connection has ended: what has come is all.
            _ = connection => asking.await,
        }
    }

    fn odd(&self, why: impl std::fmt::Display) -> Unreached {
        Unreached::Odd(self.place(), why.to_string())
    }
}

/// Whoever has the port may say what it likes, and the text ends up on a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if is_unseen(c) && c != '\n' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

fn any_certificate() -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(Any(Arc::clone(&provider)));
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(config.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()))
}

/// Takes every certificate.
#[derive(Debug)]
struct Any(Arc<CryptoProvider>);

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stranger_answers_does_nothing_to_a_terminal() {
        assert_eq!(printable("[+]store ok\n\x1b[2Jgone\r\u{9b}1m"), "[+]store ok\n\u{fffd}[2Jgone\u{fffd}\u{fffd}1m");
        assert_eq!(printable("\u{202e}ko\u{2066}"), "\u{fffd}ko\u{fffd}", "nor does it turn a line round");
    }

    #[test]
    fn a_door_that_asks_for_a_certificate_is_passed_by_for_the_one_that_does_not() {
        let (listen, monitoring) = ("0.0.0.0:3000".parse().unwrap(), "0.0.0.0:9100".parse().ok());
        let door = Door { listen, is_encrypted: true, asks_certificate: true, monitoring };
        assert_eq!(OwnServer::behind(&door).url(), "http://127.0.0.1:9100");
        assert_eq!(OwnServer::behind(&Door { monitoring: None, ..door }).url(), "https://127.0.0.1:3000");
        assert_eq!(OwnServer::behind(&Door { asks_certificate: false, ..door }).url(), "https://127.0.0.1:3000");
    }

    #[tokio::test]
    async fn a_server_is_found_at_whichever_of_its_places_it_is() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let places = [format!("127.0.0.2:{port}"), format!("127.0.0.1:{port}")];
        let answers = std::thread::spawn(move || {
            use std::io::{Read as _, Write as _};
            let (mut stream, _) = listener.accept().unwrap();
            assert_ne!(stream.read(&mut [0; 1024]).unwrap(), 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
        });
        let server = OwnServer::at(&places, false);
        assert_eq!(server.get("/livez").await.unwrap().text, "ok");
        answers.join().unwrap();
        let told = server.get("/livez").await.unwrap_err().to_string();
        assert_eq!(told, format!("nothing listens on 127.0.0.2:{port} or 127.0.0.1:{port}"));
    }

    #[tokio::test]
    async fn a_place_that_cannot_be_connected_to_is_not_said_to_answer() {
        let server = OwnServer::at(["nowhere.invalid:1"], false);
        assert!(matches!(server.get("/livez").await, Err(Unreached::Unconnected(..))));
    }
}
