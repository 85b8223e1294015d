//! The last words of a child's standard error.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::AsyncReadExt;
use tokio::process::ChildStderr;
use tokio::sync::watch;

/// The end of what a child has written to standard error. It is always drained, so that the child never waits for it.
#[derive(Clone, Debug)]
pub struct StderrTail {
    tail: Arc<Mutex<Tail>>,
    /// Closed at the end of the stream.
    drained: watch::Receiver<()>,
}

struct Tail {
    limit: usize,
    bytes: VecDeque<u8>,
    dropped: u64,
}

impl StderrTail {
    /// Drains `stderr` in the background until its end.
    pub(crate) fn drain(mut stderr: ChildStderr, limit: usize) -> Self {
        let (end, drained) = watch::channel(());
        let tail = Self { tail: Arc::new(Mutex::new(Tail { limit, bytes: VecDeque::new(), dropped: 0 })), drained };
        let writer = tail.clone();
        #[expect(
            clippy::disallowed_methods,
            reason = "ends by itself with the child's tree, which the guardian bounds"
        )]
        tokio::spawn(async move {
            let mut chunk = vec![0; 8 * 1024];
            while let Ok(count @ 1..) = stderr.read(&mut chunk).await {
                writer.lock().push(&chunk[..count]);
            }
            drop(end);
        });
        tail
    }

    /// Waits until the child and all that inherited its standard error have closed it. Cancel-safe.
    pub async fn ended(&self) {
        let mut drained = self.drained.clone();
        while drained.changed().await.is_ok() {}
    }

    /// What has been kept so far. A character cut at the beginning is left out; other bad bytes become U+FFFD.
    pub fn text(&self) -> String {
        self.lock().text()
    }

    /// How many bytes before [`text`](Self::text) were thrown away.
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Tail {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Output may be confidential, and is long.
        out.debug_struct("Tail")
            .field("kept", &self.bytes.len())
            .field("dropped", &self.dropped)
            .finish_non_exhaustive()
    }
}

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(&bytes[bytes.len().saturating_sub(self.limit)..]);
        let excess = self.bytes.len().saturating_sub(self.limit);
        self.bytes.drain(..excess);
        self.dropped += (excess + bytes.len().saturating_sub(self.limit)) as u64;
    }

    fn text(&self) -> String {
        let bytes: Vec<u8> = self.bytes.iter().copied().collect();
        // Only where something was cut off can the first bytes be the end of a character.
        let cut =
            if self.dropped > 0 { bytes.iter().take(3).take_while(|byte| *byte & 0xc0 == 0x80).count() } else { 0 };
        String::from_utf8_lossy(&bytes[cut..]).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(limit: usize, pushes: &[&str]) -> (String, u64) {
        let mut tail = Tail { limit, bytes: VecDeque::new(), dropped: 0 };
        for push in pushes {
            tail.push(push.as_bytes());
        }
        (tail.text(), tail.dropped)
    }

    #[test]
    fn the_end_is_kept() {
        assert_eq!(tail(5, &["abc"]), ("abc".to_owned(), 0));
        assert_eq!(tail(5, &["abc", "defg"]), ("cdefg".to_owned(), 2));
        assert_eq!(tail(5, &["abc", "0123456789"]), ("56789".to_owned(), 8));
        assert_eq!(tail(0, &["abc"]), (String::new(), 3));
    }

    #[test]
    fn a_cut_character_is_left_out() {
        assert_eq!(tail(4, &["a€b€"]), ("b€".to_owned(), 4));
        assert_eq!(tail(3, &["a🦀"]), (String::new(), 2));
    }
}
