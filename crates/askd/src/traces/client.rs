//! One batch to the collector, on a connection of its own: a batch a half second at most, and nothing to keep alive or to
//! find broken.
//!
//! This is hyper, as `askd keys` has it, and not the client of `opentelemetry-otlp`: that one reads `OTEL_…` variables, which
//! are the CLI's here, and its async clients bring a TLS configuration of their own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use crate::dial;
use crate::settings::groups;
use crate::settings::otlp::Collector;
use crate::small_file;

/// The largest file of authorities, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 << 10;

/// Why traces cannot be sent to an encrypted collector.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The file cannot be read.
    #[error("the file of ASKD_OTLP_CA `{0}` cannot be read: {1}")]
    Unreadable(PathBuf, std::io::Error),
    /// It holds other things.
    #[error("the file of ASKD_OTLP_CA `{0}` holds no certificates in the PEM format")]
    NoCertificates(PathBuf),
    /// They cannot be used, or the host cannot be compared with a certificate.
    #[error("an encrypted connection to the host of ASKD_OTLP_ENDPOINT cannot be made: {0}")]
    Unusable(String),
}

/// Sends batches to one collector.
#[derive(Debug)]
pub(super) struct Client {
    collector: Collector,
    headers: Vec<(HeaderName, HeaderValue)>,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    pub(super) timeout: Duration,
}

/// Why a batch was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// For the log.
    pub(super) why: String,
    /// Whether the same batch may be taken later, and from when on, if the collector says so.
    pub(super) again: Option<Duration>,
}

impl Client {
    pub(super) fn new(collector: &Collector, settings: &groups::Traces) -> Result<Self, TracesError> {
        let tls = if collector.encrypted { Some(encryption(collector, settings.ca.as_ref())?) } else { None };
        let header = |(name, value): &(HeaderName, SecretString)| {
            let mut value = HeaderValue::from_str(value.expose_secret()).ok()?;
            value.set_sensitive(true);
            Some((name.clone(), value))
        };
        let headers = settings.headers.iter().filter_map(header).collect();
        Ok(Self { collector: collector.clone(), headers, tls, timeout: settings.timeout })
    }

    /// Sends a batch; how many spans of it the collector would not have.
    pub(super) async fn send(&self, batch: Bytes) -> Result<u64, Refused> {
        let until = Instant::now() + self.timeout;
        // What is inside looks first: of an answer that has come in part it is not to be said that there is none.
        match timeout_at(until, self.attempt(batch, until)).await {
            Ok(answered) => answered,
            Err(_) => Err(away(format!("it does not answer within {:?} (ASKD_OTLP_TIMEOUT)", self.timeout))),
        }
    }

    async fn attempt(&self, batch: Bytes, until: Instant) -> Result<u64, Refused> {
        let connected = dial::connect(&[(self.collector.host.as_str(), self.collector.port)], until).await;
        let stream = connected.map_err(|error| away(format!("cannot connect: {error}")))?;
        let Some((config, name)) = &self.tls else { return self.exchange(stream, batch, until).await };
        let encrypted = TlsConnector::from(Arc::clone(config)).connect(name.clone(), stream).await;
        let stream = encrypted.map_err(|error| away(format!("no encrypted connection: {error}")))?;
        self.exchange(stream, batch, until).await
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        batch: Bytes,
        until: Instant,
    ) -> Result<u64, Refused> {
        let broken = |error: hyper::Error| {
            let why = format!("it does not speak HTTP as expected: {error}");
            // What answers so, such as with a head that is too large, will answer so again.
            if error.is_parse() { Refused { why, again: None } } else { away(why) }
        };
        let mut request = Request::post(&self.collector.path)
            .header(HOST, &self.collector.authority)
            .header(CONTENT_TYPE, "application/x-protobuf")
            .header(USER_AGENT, concat!("askd/", env!("CARGO_PKG_VERSION")))
            .header(CONNECTION, "close")
            .body(Full::new(batch))
            .map_err(|error| away(error.to_string()))?;
        for (name, value) in &self.headers {
            request.headers_mut().insert(name, value.clone());
        }
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let asking = async { answer(sender.send_request(request).await.map_err(broken)?, until).await };
        let mut asking = std::pin::pin!(asking);
        tokio::select! {
            answered = &mut asking => answered,
            // The other side has closed: what has come is all.
            _ = connection => asking.await,
        }
    }
}

/// What the specification says of answers: which of them may be better next time. The body of a refusal says nothing that is
/// wanted, and need not have an end.
async fn answer(response: Response<Incoming>, until: Instant) -> Result<u64, Refused> {
    let status = response.status();
    if status.is_success() {
        // An answer that cannot be read, or does not end, is one of a collector that has taken them.
        let body = timeout_at(until, Limited::new(response.into_body(), MAX_ANSWER).collect()).await;
        let body = body.ok().and_then(Result::ok);
        let answer = body.and_then(|body| ExportTraceServiceResponse::decode(body.to_bytes()).ok());
        let partial = answer.and_then(|answer| answer.partial_success);
        return Ok(partial.map_or(0, |partial| u64::try_from(partial.rejected_spans).unwrap_or(0)));
    }
    let may_be_better = matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    );
    let after = response.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
    let again = may_be_better.then(|| Duration::from_secs(after.unwrap_or(0)));
    Err(Refused { why: format!("it answers {status}"), again })
}

/// It may be there later.
fn away(why: String) -> Refused {
    Refused { why, again: Some(Duration::ZERO) }
}

fn encryption(
    collector: &Collector,
    ca: Option<&PathBuf>,
) -> Result<(Arc<ClientConfig>, ServerName<'static>), TracesError> {
    let unusable = |error: String| TracesError::Unusable(error);
    let mut roots = RootCertStore::empty();
    match ca {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let text = small_file::read_text(path, MAX_FILE);
            let text = text.map_err(|error| TracesError::Unreadable(path.clone(), error))?;
            let found: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes()).filter_map(Result::ok).collect();
            if roots.add_parsable_certificates(found).0 == 0 {
                return Err(TracesError::NoCertificates(path.clone()));
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| unusable(error.to_string()))?;
    let name = ServerName::try_from(collector.host.clone()).map_err(|error| unusable(error.to_string()))?;
    Ok((Arc::new(config.with_root_certificates(roots).with_no_client_auth()), name))
}
