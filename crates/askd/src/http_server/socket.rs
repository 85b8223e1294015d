//! A client's socket: it tells when the client has left, and gives up on one that does not take what waits for it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::{Shutdown, shutdown};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::exchange::Exchange;
use crate::metrics::kinds::Counters;

/// What hyper reads and writes, or the encryption between. Its errors drop the answer, and with it the client's run.
pub(super) struct Socket {
    stream: Arc<TcpStream>,
    exchange: Arc<Exchange>,
    /// How long bytes may wait without any being taken.
    write_timeout: Duration,
    /// Since when none was taken; nothing while none waits.
    waiting_since: Option<Instant>,
    alarm: Pin<Box<Sleep>>,
    /// The client has had its time.
    given_up: bool,
    slow: Counters<1>,
}

impl Socket {
    pub(super) fn new(
        stream: Arc<TcpStream>,
        exchange: Arc<Exchange>,
        write_timeout: Duration,
        slow: Counters<1>,
    ) -> Self {
        let alarm = Box::pin(sleep_until(Instant::now()));
        Self { stream, exchange, write_timeout, waiting_since: None, alarm, given_up: false, slow }
    }

    fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        while let Poll::Ready(ready) = self.stream.poll_write_ready(context) {
            ready?;
            match write(&self.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => {
                    self.waiting_since = None;
                    return Poll::Ready(written);
                }
            }
        }
        self.poll_patience(context).map(Err)
    }

    /// Ready when the client has had its time. Counts only while bytes wait to be taken: a silent run is no slow reader.
    fn poll_patience(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let stalled = *self.waiting_since.get_or_insert_with(Instant::now) + self.write_timeout;
        let until = self.exchange.until().map_or(stalled, |until| until.min(stalled));
        if self.alarm.deadline() != until {
            self.alarm.as_mut().reset(until);
        }
        ready!(self.alarm.as_mut().poll(context));
        if !std::mem::replace(&mut self.given_up, true) {
            let reason = if until == stalled { "no_bytes" } else { "too_long" };
            self.slow.of([reason]).inc();
        }
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }
}

/// Completes when the client has closed its side, whatever it sent before that is still unread.
///
/// hyper looks for the end only by reading, and does not read while bytes of a further request wait in its buffer: a
/// client that sent one byte too many and left would keep its run.
pub(super) async fn closed(stream: &TcpStream) {
    // With this interest tokio waits for urgent data, which sockets are not registered for, and for the end; unread bytes
    // do not count (checked), so this does not spin.
    while stream.ready(Interest::PRIORITY).await.is_ok_and(|ready| !ready.is_read_closed()) {}
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.given_up {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        loop {
            ready!(self.stream.poll_read_ready(context))?;
            match self.stream.try_read_buf(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read.map(drop)),
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(context, |stream| stream.try_write(bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(context, |stream| stream.try_write_vectored(pieces))
    }

    /// Large answers are then not copied into one buffer.
    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Called when whoever writes here has nothing left to write, hyper or the encryption between.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.exchange.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(shutdown(&*self.stream, Shutdown::Write).map_err(io::Error::from))
    }
}
