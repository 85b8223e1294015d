//! The child's standard input.

use std::time::Duration;

use thiserror::Error;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio::time::timeout;

/// Why a line could not be written.
#[derive(Debug, Error)]
pub enum StdinError {
    /// The child has closed its standard input, or has ended.
    #[error("the program no longer reads its input")]
    Closed,
    /// The child does not read.
    #[error("the program has not read its input for {0:?}")]
    TimedOut(Duration),
    /// An earlier line was written in part only; anything more would be glued to that part.
    #[error("an earlier line to the program was cut short, so its input can no longer be used")]
    CutShort,
    /// A line is one line.
    #[error("a line for the program holds a line end; encode it first")]
    HoldsLineEnd,
    /// Anything else.
    #[error("cannot write to the program: {0}")]
    Io(#[source] std::io::Error),
}

/// The writing end of the child's standard input. Dropping or [closing](Self::close) it is the child's end of input.
#[derive(Debug)]
pub struct Stdin {
    pipe: pipe::Sender,
    timeout: Duration,
    /// Set while a line is under way, and left so if that is cancelled.
    cut_short: bool,
}

impl Stdin {
    pub(crate) fn new(pipe: pipe::Sender, timeout: Duration) -> Self {
        Self { pipe, timeout, cut_short: false }
    }

    /// Writes a line; the line end is added here. Fails when the child does not take it within
    /// [`Limits::write_timeout`](crate::spawn::Limits).
    ///
    /// For long lines read the output at the same time: a child may have to write before it reads on.
    pub async fn write_line(&mut self, line: &[u8]) -> Result<(), StdinError> {
        if self.cut_short {
            return Err(StdinError::CutShort);
        }
        if line.contains(&b'\n') {
            return Err(StdinError::HoldsLineEnd);
        }
        self.cut_short = true;
        let written = timeout(self.timeout, async {
            self.pipe.write_all(line).await?;
            self.pipe.write_all(b"\n").await?;
            self.pipe.flush().await
        });
        match written.await {
            Ok(Ok(())) => {
                self.cut_short = false;
                Ok(())
            }
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(StdinError::Closed),
            Ok(Err(error)) => Err(StdinError::Io(error)),
            Err(_) => Err(StdinError::TimedOut(self.timeout)),
        }
    }

    /// Ends the child's input.
    pub fn close(self) {}
}
