//! Encrypted connections: the certificates in use, and the greeting with which a client and the server agree on a key.

use std::io;
use std::net::SocketAddr;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::refusals::{Refusals, words};
use super::socket::Socket;
use crate::metrics::kinds::Gauge;
use crate::settings::tls::{Encryption, Tls, TlsError, TlsFiles};

/// The certificates of new connections. They can be exchanged at any time; connections that are there go on with theirs.
#[derive(Debug)]
pub struct Certificates {
    files: TlsFiles,
    every: Duration,
    current: RwLock<Encryption>,
    refusals: Refusals,
    expiry: Gauge,
}

/// How long a client that was refused may take to notice.
const FAREWELL: Duration = Duration::from_secs(2);

/// The first byte of a client that wants to encrypt: it begins with a record of this kind.
const HANDSHAKE: u8 = 22;

/// For a client that speaks plain HTTP here. That is the usual mistake, and silence would be hard to understand.
const ENCRYPT: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 51\r\n\
    connection: close\r\n\r\nthis port takes encrypted connections: use https://";

impl Certificates {
    /// Those that were read with the settings.
    ///
    /// `expiry` tells when the certificate in use ends.
    pub fn new(tls: &Tls, expiry: Gauge) -> Self {
        expiry.set(tls.first.expires.unwrap_or(0));
        Self {
            expiry,
            files: tls.files.clone(),
            every: tls.every,
            current: RwLock::new(tls.first.clone()),
            refusals: Refusals::new(),
        }
    }

    /// How often the files are to be looked at.
    pub fn every(&self) -> Duration {
        self.every
    }

    /// What the files hold now, if that is something else; an error if it cannot be used or does not fit together. It blocks.
    pub fn read_again(&self) -> Result<Option<Encryption>, TlsError> {
        self.files.read_again(&self.current())
    }

    /// For new connections.
    pub fn replace(&self, encryption: Encryption) {
        self.expiry.set(encryption.expires.unwrap_or(0));
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = encryption;
    }

    fn current(&self) -> Encryption {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Agrees on a key with the client, or notes why not. `stream` is what `socket` reads and writes.
    pub(super) async fn greet(
        &self,
        stream: &TcpStream,
        mut socket: Socket,
        peer: SocketAddr,
    ) -> io::Result<TlsStream<Socket>> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 0 {
            // As probes and scanners of ports do: there is nothing to say about it.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if first[0].is_ascii_alphabetic() {
            self.refusals.note(peer, "it speaks plain HTTP");
            socket.write_all(ENCRYPT).await?;
            // What it has sent, as far as it is here: a socket that is closed over unread bytes takes the answer with it.
            drop(stream.try_read(&mut [0; 16 * 1024]));
            return Err(io::Error::other("it speaks plain HTTP"));
        }
        if first[0] != HANDSHAKE {
            self.refusals.note(peer, "it does not begin with a handshake");
            return Err(io::Error::other("it does not begin with a handshake"));
        }
        match TlsAcceptor::from(self.current().config).accept(socket).into_fallible().await {
            Ok(greeted) => Ok(greeted),
            Err((error, socket)) => {
                self.refusals.note(peer, &words(&error));
                // With TLS 1.3 its first request is on its way already.
                drop(timeout(FAREWELL, see_off(socket)).await);
                Err(error)
            }
        }
    }
}

/// Lets the client read why it was refused: a socket that is closed over unread bytes takes that with it.
async fn see_off(mut socket: Socket) -> io::Result<()> {
    socket.shutdown().await?;
    let mut rest = [0; 4096];
    while socket.read(&mut rest).await? > 0 {}
    Ok(())
}
