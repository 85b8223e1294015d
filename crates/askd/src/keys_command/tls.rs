//! Encrypted connections to the server.
//!
//! With the server's own certificate at hand (`ASKD_TLS_CERT`), the server is known by it: whoever can use it has its key,
//! whatever name it was reached under. With `--ca` it is known as browsers do it, by its name; its own certificate may stand
//! in that file as well.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use secrecy::{ExposeSecret as _, SecretString};

use super::KeysError;
use crate::small_file;

/// The largest of these files, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// `trusted` is the file with the certificates that the server's must come from, and what names it; `own` one with a
/// certificate and its key.
pub(super) fn client(trusted: Option<(&str, PathBuf)>, own: Option<PathBuf>) -> Result<Arc<ClientConfig>, KeysError> {
    let Some((named, path)) = trusted else {
        return Err(usage("--url begins with https; name the certificates that the server's must come from with --ca"));
    };
    let certificates = certificates(named, &read(named, &path)?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = if named == "--ca" {
        by_name(named, certificates, &provider)?
    } else {
        let known = certificates.into_iter().next();
        Arc::new(Pinned { known: known.ok_or_else(|| holds_none(named))?, provider: Arc::clone(&provider) })
    };
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| usage(error.to_string()))?;
    let config = config.dangerous().with_custom_certificate_verifier(verifier);
    let Some(path) = own else { return Ok(Arc::new(config.with_no_client_auth())) };
    let named = "--client-cert";
    let text = read(named, &path)?;
    let key = PrivateKeyDer::from_pem_slice(text.expose_secret().as_bytes());
    let key = key.map_err(|error| usage(format!("the file of {named} holds no private key: {error}")))?;
    let config = config.with_client_auth_cert(self::certificates(named, &text)?, key);
    config.map(Arc::new).map_err(|error| usage(format!("the file of {named} cannot be used: {error}")))
}

fn usage(message: impl Into<String>) -> KeysError {
    KeysError::Usage(message.into())
}

fn holds_none(named: &str) -> KeysError {
    usage(format!("the file of {named} holds no certificate"))
}

fn read(named: &str, path: &Path) -> Result<SecretString, KeysError> {
    let text = small_file::read_text(path, MAX_FILE);
    text.map(SecretString::from).map_err(|error| usage(format!("the file of {named} cannot be read: {error}")))
}

fn certificates(named: &str, text: &SecretString) -> Result<Vec<CertificateDer<'static>>, KeysError> {
    let found = CertificateDer::pem_slice_iter(text.expose_secret().as_bytes());
    found.collect::<Result<_, _>>().map_err(|error| usage(format!("the file of {named} is no valid PEM: {error}")))
}

fn by_name(
    named: &str,
    certificates: Vec<CertificateDer<'static>>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, KeysError> {
    let mut roots = RootCertStore::empty();
    if roots.add_parsable_certificates(certificates.iter().cloned()).0 == 0 {
        return Err(holds_none(named));
    }
    let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
    let usual = usual.map_err(|error| usage(format!("the file of {named} cannot be used: {error}")))?;
    Ok(Arc::new(Listed { usual, certificates }))
}

/// Takes what comes from certain authorities, as browsers do, and a certificate that is itself among theirs: those that
/// people make for themselves often are their own authority, which the usual rules do not take for a server's.
#[derive(Debug)]
struct Listed {
    usual: Arc<WebPkiServerVerifier>,
    certificates: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Listed {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // These are found only after the dates are (checked); the name is looked at last.
        let of_origin = |error: &Error| {
            let Error::InvalidCertificate(wrong) = error else { return false };
            matches!(
                wrong,
                CertificateError::Other(_) | CertificateError::UnknownIssuer | CertificateError::BadSignature
            )
        };
        match self.usual.verify_server_cert(shown, between, name, ocsp, now) {
            Err(error)
                if of_origin(&error) && self.certificates.iter().any(|known| known.as_ref() == shown.as_ref()) =>
            {
                verify_server_name(&ParsedCertificate::try_from(shown)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

/// Takes one certificate, and no other. That the other side has its key is still seen by the signature.
#[derive(Debug)]
struct Pinned {
    known: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if shown.as_ref() == self.known.as_ref() {
            Ok(ServerCertVerified::assertion())
        } else {
            let message = "it shows another certificate than that of ASKD_TLS_CERT; name its authority with --ca";
            Err(Error::General(message.to_owned()))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
