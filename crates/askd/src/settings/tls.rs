//! The certificates of encrypted connections: three files, and what is wrong with them.
//!
//! They are read with the settings, so before a server that was started as root becomes somebody else, and again whenever
//! they have changed.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use super::problem::{Origin, Problem};
use super::value::Value;
use super::values::Values;
use crate::small_file;

mod expiry;

/// The largest of these files: thousands of authorities.
const MAX_FILE: u64 = 4 << 20;

/// What clients may speak inside; h2 is not served.
const PROTOCOL: &[u8] = b"http/1.1";

/// Where the certificates are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// The certificate's private key.
    pub key: PathBuf,
    /// The authorities of clients; `None`: clients need no certificate.
    pub client_ca: Option<PathBuf>,
}

/// Encrypted connections.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Where the certificates are.
    pub files: TlsFiles,
    /// How often the files are looked at.
    pub every: Duration,
    /// What they held when the settings were read.
    pub first: Encryption,
}

/// Certificates that fit each other, ready for use.
#[derive(Clone)]
pub struct Encryption {
    /// For new connections.
    pub config: Arc<ServerConfig>,
    /// When the server's certificate ends, in seconds since 1970, if that can be read.
    pub expires: Option<i64>,
    /// The SHA-256 of the files, by which a change is noticed.
    digest: [u8; 32],
    /// The same of those that are no secret.
    public: [u8; 32],
}

/// What is wrong with the files. The texts name no path: who mixes up a path and its content has put a key there.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("the file of {0} cannot be read: {1}")]
    Unreadable(&'static str, io::Error),
    /// A file is not in the PEM format.
    #[error("the file of {0} is no valid PEM: {1}")]
    Pem(&'static str, pem::Error),
    /// A file holds other things.
    #[error("the file of {0} holds no {1}")]
    Nothing(&'static str, &'static str),
    /// The certificate is another key's.
    #[error("the key of ASKD_TLS_KEY does not belong to the first certificate of ASKD_TLS_CERT")]
    Mismatch,
    /// Such a key or certificate cannot be used.
    #[error("what {0} names cannot be used: {1}")]
    Unusable(&'static str, String),
}

const CERT: &str = "ASKD_TLS_CERT";
const KEY: &str = "ASKD_TLS_KEY";
const CLIENT_CA: &str = "ASKD_TLS_CLIENT_CA";

impl TlsFiles {
    /// Reads the files, and puts together what they hold. It blocks.
    pub fn read(&self) -> Result<Encryption, TlsError> {
        Texts::read(self)?.encryption()
    }

    /// The same if they hold something else than `current`; `None`: they do not, as far as can be seen. A server that was
    /// started as root often cannot read the key again. As long as the certificate is what it was, it need not.
    pub fn read_again(&self, current: &Encryption) -> Result<Option<Encryption>, TlsError> {
        let public = Public::read(self)?;
        let key = match read(KEY, &self.key) {
            Err(TlsError::Unreadable(_, error))
                if error.kind() == io::ErrorKind::PermissionDenied && public.digest() == current.public =>
            {
                return Ok(None);
            }
            key => key?.into(),
        };
        let texts = Texts { public, key };
        if texts.digest() == current.digest { Ok(None) } else { texts.encryption().map(Some) }
    }

    /// All of them, with the settings that name them.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let needed = [(CERT, self.certificate.as_path()), (KEY, self.key.as_path())];
        needed.into_iter().chain(self.client_ca.as_deref().map(|path| (CLIENT_CA, path)))
    }
}

impl fmt::Debug for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Encryption")
    }
}

/// What the files hold.
struct Texts {
    public: Public,
    key: SecretString,
}

/// What those hold that are no secret.
struct Public {
    certificate: String,
    client_ca: Option<String>,
}

fn read(name: &'static str, path: &Path) -> Result<String, TlsError> {
    small_file::read_text(path, MAX_FILE).map_err(|error| TlsError::Unreadable(name, error))
}

fn digest<'a>(texts: impl IntoIterator<Item = &'a str>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update(text.len().to_le_bytes());
        hash.update(text);
    }
    hash.finalize().into()
}

impl Public {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        Ok(Self {
            certificate: read(CERT, &files.certificate)?,
            client_ca: files.client_ca.as_deref().map(|path| read(CLIENT_CA, path)).transpose()?,
        })
    }

    fn digest(&self) -> [u8; 32] {
        digest([&*self.certificate, self.client_ca.as_deref().unwrap_or_default()])
    }
}

impl Texts {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        Ok(Self { public: Public::read(files)?, key: read(KEY, &files.key)?.into() })
    }

    fn digest(&self) -> [u8; 32] {
        let Public { certificate, client_ca } = &self.public;
        digest([certificate, self.key.expose_secret(), client_ca.as_deref().unwrap_or_default()])
    }

    fn encryption(&self) -> Result<Encryption, TlsError> {
        let chain = certificates(CERT, &self.public.certificate)?;
        let expires = chain.first().and_then(|certificate| expiry::of(certificate));
        let key = PrivateKeyDer::from_pem_slice(self.key.expose_secret().as_bytes()).map_err(|error| match error {
            pem::Error::NoItemsFound => TlsError::Nothing(KEY, "private key that is not encrypted (`PRIVATE KEY`)"),
            error => TlsError::Pem(KEY, error),
        })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| TlsError::Unusable(CERT, error.to_string()))?;
        let builder = match &self.public.client_ca {
            None => builder.with_no_client_auth(),
            Some(text) => {
                let unusable = |error: &dyn fmt::Display| TlsError::Unusable(CLIENT_CA, error.to_string());
                let mut roots = RootCertStore::empty();
                for authority in certificates(CLIENT_CA, text)? {
                    roots.add(authority).map_err(|error| unusable(&error))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.map_err(|error| unusable(&error))?)
            }
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => TlsError::Mismatch,
            rustls::Error::InvalidCertificate(_) => TlsError::Unusable(CERT, error.to_string()),
            error => TlsError::Unusable(KEY, error.to_string()),
        })?;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(Encryption { config: Arc::new(config), expires, digest: self.digest(), public: self.public.digest() })
    }
}

fn certificates(name: &'static str, text: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let all = all.map_err(|error| TlsError::Pem(name, error))?;
    if all.is_empty() { Err(TlsError::Nothing(name, "certificate (`BEGIN CERTIFICATE`)")) } else { Ok(all) }
}

/// The setting's key and what its value looks like in an error: whoever pastes a key instead of its path must not find it in
/// the log.
const PASTED: &str = "-----BEGIN";

/// Reads what the settings name; `None`: connections are not to be encrypted, or there is a problem.
pub(super) fn load(
    values: &Values,
    origins: &BTreeMap<&'static str, Origin>,
    problems: &mut Vec<Problem>,
) -> Option<Tls> {
    let path = |key: &str| match values.get(key) {
        Some(Value::Path(path)) => Some(path.clone()),
        _ => None,
    };
    let mut report = |key: &'static str, what: String, hint: &str| {
        let value = path(key).map(|path| path.display().to_string());
        problems.push(Problem {
            setting: key.to_owned(),
            value: value.filter(|value| !value.contains(PASTED)),
            origin: origins.get(key).cloned(),
            what,
            hint: hint.to_owned(),
        });
    };
    let (certificate, key, client_ca) = (path("tls_cert"), path("tls_key"), path("tls_client_ca"));
    let (certificate, key) = match (certificate, key) {
        (Some(certificate), Some(key)) => (certificate, key),
        (Some(_), None) => {
            report("tls_cert", "is set without ASKD_TLS_KEY".to_owned(), "set ASKD_TLS_KEY to the file of its key");
            return None;
        }
        (None, Some(_)) => {
            let hint = "set ASKD_TLS_CERT to the file of its certificate";
            report("tls_key", "is set without ASKD_TLS_CERT".to_owned(), hint);
            return None;
        }
        (None, None) => {
            if client_ca.is_some() {
                let hint = "set ASKD_TLS_CERT and ASKD_TLS_KEY: only encrypted connections carry certificates";
                report("tls_client_ca", "is set without ASKD_TLS_CERT".to_owned(), hint);
            }
            return None;
        }
    };
    let files = TlsFiles { certificate, key, client_ca };
    let Some(Value::Duration(every)) = values.get("tls_reload") else { return None };
    match files.read() {
        Ok(first) => Some(Tls { files, every: *every, first }),
        Err(error) => {
            let (key, hint) = error.blamed();
            report(key, format!("cannot be used: {error}"), hint);
            None
        }
    }
}

impl TlsError {
    /// The setting at fault by its key, and what to do.
    fn blamed(&self) -> (&'static str, &'static str) {
        let name = match self {
            Self::Unreadable(name, _) | Self::Pem(name, _) | Self::Nothing(name, _) | Self::Unusable(name, _) => *name,
            Self::Mismatch => KEY,
        };
        match name {
            CERT => ("tls_cert", "give the path of a PEM file with the server's certificate first"),
            CLIENT_CA => ("tls_client_ca", "give the path of a PEM file with the authorities of clients"),
            _ => ("tls_key", "give the path of the PEM file with the private key of ASKD_TLS_CERT"),
        }
    }
}
