//! What goes wrong between us and an encrypted server, for people.

use std::error::Error as StdError;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

/// What is said if a connection ends without a word after the greeting.
const NO_CERTIFICATE: &str = "the server wants a client certificate; give one, with its key, with --client-cert";

/// What there is to do about an error, if it or one that it comes from is one of the encryption. `shows_certificate`: we
/// had a certificate of our own to show.
pub(super) fn words(error: &(dyn StdError + 'static), shows_certificate: bool) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        // An error of the system hides the one that it was made of from `source`.
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(found) = error.downcast_ref::<Error>() {
            return Some(told(found, shows_certificate));
        }
        next = inner.map(|inner| inner as &(dyn StdError + 'static)).or_else(|| error.source());
    }
    None
}

fn told(error: &Error, shows_certificate: bool) -> String {
    match error {
        Error::InvalidCertificate(wrong) => of_certificate(wrong),
        Error::AlertReceived(alert) => of_alert(*alert, shows_certificate),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "it does not encrypt its connections; write http:// if that is meant".to_owned()
        }
        // Said here, or by a part of ours.
        Error::General(message) => message.clone(),
        other => format!("no encrypted connection: {other}"),
    }
}

fn of_certificate(wrong: &CertificateError) -> String {
    match wrong {
        // The latter of an authority that has the same name, and another key.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate is neither in the file of --ca nor from an authority there; name the file of the right authority"
                .to_owned()
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names: Vec<_> = presented.iter().map(|name| bare(name)).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            format!("its certificate is for other names ({names}); write one of them in --url")
        }
        CertificateError::NotValidForName => "its certificate is for other names than that of --url".to_owned(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired; give the server a new one".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate does not count yet; are the clocks right?".to_owned()
        }
        other => format!("its certificate cannot be used: {other}"),
    }
}

/// A name out of `DnsName("askd.example")`, as the library puts it.
fn bare(name: &str) -> &str {
    let inner = name.split_once('(').map_or(name, |(_, rest)| rest.trim_end_matches(')'));
    inner.trim_matches('"')
}

fn of_alert(alert: AlertDescription, shows_certificate: bool) -> String {
    match alert {
        AlertDescription::CertificateRequired => NO_CERTIFICATE.to_owned(),
        // As TLS 1.2 says it.
        AlertDescription::HandshakeFailure if !shows_certificate => {
            format!("there is no agreement with the server; perhaps {NO_CERTIFICATE}")
        }
        AlertDescription::UnknownCA
        | AlertDescription::BadCertificate
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::CertificateRevoked
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::DecryptError
        | AlertDescription::AccessDenied
            if shows_certificate =>
        {
            format!("the server does not take the certificate of --client-cert ({alert:?}); its log says why")
        }
        other => format!("the server ended the encrypted connection: {other:?}"),
    }
}
