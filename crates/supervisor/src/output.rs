//! The child's standard output, line by line.

use std::fmt;

use tokio::io::AsyncReadExt;
use tokio::process::ChildStdout;

use crate::lines::{Line, LineError, LineFramer};

/// How much is read at once.
const CHUNK: usize = 64 * 1024;

/// How much the pipe may hold.
const PIPE: usize = 4 * CHUNK;

/// The lines of a child's standard output.
///
/// Nothing is read unless somebody asks: a reader that is busy lets the pipe fill, and the child waits. That is the
/// back-pressure, and it bounds memory to one line and one chunk.
pub struct Lines {
    stdout: ChildStdout,
    framer: LineFramer,
    chunk: Vec<u8>,
    ended: bool,
}

impl fmt::Debug for Lines {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Output may be confidential, and is long.
        out.debug_struct("Lines").field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl Lines {
    pub(crate) fn new(stdout: ChildStdout, limit: usize) -> Self {
        // Without it a child that writes fast waits for us every 64 KiB; not everybody may have it.
        let _ = rustix::pipe::fcntl_setpipe_size(&stdout, PIPE);
        Self { stdout, framer: LineFramer::new(limit), chunk: vec![0; CHUNK], ended: false }
    }

    /// The next line; `None` at the end of the output, and after an error. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<Line, LineError>> {
        loop {
            if let Some(line) = self.framer.next_line() {
                return Some(line);
            }
            if self.ended || self.framer.has_failed() {
                return None;
            }
            match self.stdout.read(&mut self.chunk).await {
                Ok(0) => {
                    self.ended = true;
                    self.framer.finish();
                }
                Ok(count) => self.framer.push(&self.chunk[..count]),
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error.into()));
                }
            }
        }
    }

    /// The next line of what has been read already, so that a reader who gets many lines at once need not wait for each.
    pub fn next_read(&mut self) -> Option<Result<Line, LineError>> {
        self.framer.next_line()
    }

    /// Reads and forgets everything up to the end of the output. It works after a [`LineError`] too, and has to be used
    /// then: a child that nobody reads never gets to its end.
    pub async fn discard(&mut self) {
        while !self.ended {
            self.ended = !matches!(self.stdout.read(&mut self.chunk).await, Ok(1..));
        }
    }
}
