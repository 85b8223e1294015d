//! What the log says of handshakes that came to nothing: enough to find out why, and no more than it can bear.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustls::{CertificateError, Error};
use tokio::time::Instant;

/// As many get a line in a minute. Anybody who reaches the port can cause them.
const LINES: u32 = 20;

const MINUTE: Duration = Duration::from_mins(1);

/// Refused handshakes of one server.
#[derive(Debug)]
pub(super) struct Refusals(Mutex<Window>);

/// A minute, or what came after it if nothing did for longer.
#[derive(Debug)]
struct Window {
    since: Instant,
    lines: u32,
    left_out: u64,
}

impl Refusals {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Window { since: Instant::now(), lines: 0, left_out: 0 }))
    }

    /// Says it, or counts it. What was only counted is said with the first of a later minute.
    pub(super) fn note(&self, peer: SocketAddr, reason: &str) {
        let (is_said, left_out) = self.0.lock().unwrap_or_else(PoisonError::into_inner).enter(Instant::now());
        if left_out > 0 {
            tracing::info!("{left_out} more handshakes were refused, and are not written down one by one");
        }
        if is_said {
            tracing::info!(address = %peer.ip(), "a handshake was refused: {reason}");
        }
    }
}

impl Window {
    /// One more: whether it gets a line, and how many got none in a minute that is over.
    fn enter(&mut self, now: Instant) -> (bool, u64) {
        let mut left_out = 0;
        if now.duration_since(self.since) >= MINUTE {
            left_out = self.left_out;
            *self = Self { since: now, lines: 0, left_out: 0 };
        }
        let is_said = self.lines < LINES;
        if is_said {
            self.lines += 1;
        } else {
            self.left_out += 1;
        }
        (is_said, left_out)
    }
}

/// An error of a handshake, for the operator.
pub(super) fn words(error: &std::io::Error) -> String {
    let found = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match found {
        None => error.to_string(),
        Some(Error::NoCertificatesPresented) => {
            "the client shows no certificate, and ASKD_TLS_CLIENT_CA asks for one".to_owned()
        }
        Some(Error::InvalidCertificate(wrong)) => format!("the client's certificate {}", of_certificate(wrong)),
        Some(Error::AlertReceived(alert)) => format!("the client does not go on: {alert:?}"),
        Some(other) => other.to_string(),
    }
}

fn of_certificate(wrong: &CertificateError) -> String {
    match wrong {
        // The latter of an authority that has the same name, and another key.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "is of no authority in ASKD_TLS_CLIENT_CA".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "does not count yet".to_owned(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "is not for clients (extendedKeyUsage=clientAuth)".to_owned()
        }
        other => format!("cannot be used: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refused_handshakes_does_not_fill_the_log_and_is_counted() {
        let begin = Instant::now();
        let mut window = Window { since: begin, lines: 0, left_out: 0 };
        let said = (0..1000).filter(|_| window.enter(begin).0).count();
        assert_eq!(said, 20);
        assert_eq!(window.enter(begin + MINUTE), (true, 980));
        assert_eq!(window.enter(begin + MINUTE), (true, 0));
    }
}
