//! Certificates, and clients that speak TLS and otherwise have no better manners than [`RawClient`](super::RawClient).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use askd::settings::Settings;
use askd::settings::tls::{Tls, TlsFiles};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Folders, TestServerBuilder};

const LIMIT: Duration = Duration::from_mins(1);

/// Somebody who vouches for servers and clients.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, as PEM.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A new pair for `localhost` and `127.0.0.1`, good for servers and for clients.
    pub(crate) fn issue(&self) -> Pair {
        let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// A client that trusts this authority.
    pub(crate) fn client(&self) -> TlsConnector {
        self.connector(rustls::ALL_VERSIONS, &[b"http/1.1"], None)
    }

    pub(crate) fn connector(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        protocols: &[&[u8]],
        own: Option<&Pair>,
    ) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let builder = builder.with_root_certificates(roots);
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let chain = CertificateDer::pem_slice_iter(pair.certificate.as_bytes()).map(Result::unwrap).collect();
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }
}

impl Pair {
    /// A certificate that is its own authority, as people make them for themselves, for such names and no longer than this
    /// year.
    pub(crate) fn of_its_own(names: &[&str], last_year: i32) -> Self {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after = rcgen::date_time_ymd(last_year, 12, 31);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// Puts the pair where a server of these folders looks for it: whole files take the place of others.
    pub(crate) fn put(&self, folders: &Folders) {
        for (name, text) in [("key.pem", &self.key), ("cert.pem", &self.certificate)] {
            folders.write(&format!("tls/{name}.new"), text);
            std::fs::rename(folders.root().join(format!("tls/{name}.new")), folders.root().join("tls").join(name))
                .unwrap();
        }
    }
}

/// Where [`Pair::put`] puts it.
pub(crate) fn tls_files(folders: &Folders) -> TlsFiles {
    let at = |name: &str| folders.root().join("tls").join(name);
    TlsFiles { certificate: at("cert.pem"), key: at("key.pem"), client_ca: None }
}

/// A server with this pair, and with the authority of its clients, if they need one. It looks at the files all the time.
pub(crate) fn encrypted(pair: &Pair, clients: Option<&Authority>) -> TestServerBuilder {
    let builder = TestServerBuilder::fake();
    pair.put(&builder.folders);
    let mut files = tls_files(&builder.folders);
    if let Some(authority) = clients {
        builder.folders.write("tls/clients.pem", &authority.pem());
        files.client_ca = Some(builder.folders.root().join("tls/clients.pem"));
    }
    let tls = Tls { first: files.read().unwrap(), files, every: Duration::from_millis(100) };
    builder.set(|settings| settings.server.tls = Some(tls))
}

/// One encrypted connection.
pub(crate) struct TlsClient(pub(crate) TlsStream<TcpStream>);

impl TlsClient {
    pub(crate) async fn connect(address: SocketAddr, connector: &TlsConnector) -> Self {
        Self::try_connect(address, connector).await.unwrap()
    }

    /// The error says what the server does not like. With TLS 1.3 it may like a client's certificate as little after this.
    pub(crate) async fn try_connect(address: SocketAddr, connector: &TlsConnector) -> std::io::Result<Self> {
        let socket = TcpSocket::new_v4().unwrap();
        // A small buffer, so that a client that does not read is noticed soon.
        socket.set_recv_buffer_size(64 * 1024).unwrap();
        let stream = socket.connect(address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let greeted = tokio::time::timeout(LIMIT, connector.connect(name, stream)).await.expect("a handshake");
        greeted.map(Self)
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// `POST /ask` with the right key; what is answered stays unread.
    pub(crate) async fn ask(&mut self, body: &Value) {
        let (key, body) = (Settings::TEST_API_KEY, body.to_string());
        let length = body.len();
        let head = format!(
            "POST /ask HTTP/1.1\r\nhost: localhost\r\nx-api-key: {key}\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n"
        );
        self.send(&(head + &body)).await;
    }

    /// `GET /health`; the answer.
    pub(crate) async fn health(&mut self) -> String {
        self.send("GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        self.until("\"ok\"").await
    }

    /// Reads until what has come holds `text`; gives all of it.
    pub(crate) async fn until(&mut self, text: &str) -> String {
        let mut all = String::new();
        while !all.contains(text) {
            let bytes = self.read().await.unwrap_or_default();
            assert!(!bytes.is_empty(), "the connection ended before {text:?}: {all}");
            all.push_str(&String::from_utf8_lossy(&bytes));
        }
        all
    }

    /// Everything up to the end, and whether the end was said: whoever cuts the connection cannot say it.
    pub(crate) async fn rest(&mut self) -> (String, bool) {
        let mut all = Vec::new();
        loop {
            match self.read().await {
                Ok(bytes) if bytes.is_empty() => return (String::from_utf8_lossy(&all).into_owned(), true),
                Ok(bytes) => all.extend(bytes),
                Err(_) => return (String::from_utf8_lossy(&all).into_owned(), false),
            }
        }
    }

    async fn read(&mut self) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; 64 * 1024];
        let count = tokio::time::timeout(LIMIT, self.0.read(&mut bytes)).await.expect("an answer")?;
        bytes.truncate(count);
        Ok(bytes)
    }

    /// The certificate that the server has shown.
    pub(crate) fn shown(&self) -> Vec<u8> {
        self.0.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    }
}
