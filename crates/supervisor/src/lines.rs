//! Cutting bytes into lines: pure, incremental, bounded.

use std::fmt;
use std::io::BufRead;

use thiserror::Error;

/// What a buffer may keep after a long line has been taken out of it.
const KEPT_CAPACITY: usize = 256 * 1024;

/// One line of output, without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A line of text.
    Text(String),
    /// A line that is not UTF-8: its text with U+FFFD where a byte made no sense.
    NotUtf8 {
        /// The readable rest.
        lossy: String,
        /// How many bytes at its start were sound.
        valid_up_to: usize,
    },
}

impl Line {
    /// The text, sound or not.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Text(text) | Self::NotUtf8 { lossy: text, .. } => text,
        }
    }
}

/// Why there are no more lines.
#[derive(Debug, Error)]
pub enum LineError {
    /// A line is longer than is allowed. The stream has ended for this run: what follows cannot be understood.
    #[error(
        "a line of the program's output is longer than {limit} bytes; raise the limit or make the program say less"
    )]
    TooLong {
        /// The most bytes a line may have.
        limit: usize,
    },
    /// The pipe could not be read.
    #[error("cannot read the program's output: {0}")]
    Io(#[from] std::io::Error),
}

/// Cuts pushed bytes at `\n`. Empty lines are skipped, a `\r` before the `\n` is dropped.
///
/// ```
/// use supervisor::lines::{Line, LineFramer};
/// let mut framer = LineFramer::new(1024);
/// framer.push(b"one\r\n\ntw");
/// assert_eq!(framer.next_line().unwrap().unwrap(), Line::Text("one".into()));
/// assert!(framer.next_line().is_none());
/// framer.push(b"o");
/// framer.finish();
/// assert_eq!(framer.next_line().unwrap().unwrap(), Line::Text("two".into()));
/// ```
pub struct LineFramer {
    limit: usize,
    buffer: Vec<u8>,
    /// Where the next line begins.
    start: usize,
    /// Up to where we have looked for the end of that line.
    scanned: usize,
    finished: bool,
    failed: bool,
}

impl fmt::Debug for LineFramer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Output may be confidential, and is long.
        out.debug_struct("LineFramer")
            .field("limit", &self.limit)
            .field("held", &self.buffer.len())
            .finish_non_exhaustive()
    }
}

impl LineFramer {
    /// A framer for lines of at most `limit` bytes, a `\r` included.
    pub fn new(limit: usize) -> Self {
        Self { limit, buffer: Vec::new(), start: 0, scanned: 0, finished: false, failed: false }
    }

    /// Adds bytes. Take all lines with [`next_line`](Self::next_line) before the next push: memory is bounded by the
    /// limit and one push.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed {
            return;
        }
        if self.start > 0 {
            // At most the beginning of one line is moved, and that line is moved once.
            self.buffer.drain(..self.start);
            self.scanned -= self.start;
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// No more bytes will come: what is left is the last line.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// The next complete line. After an error there are no more.
    pub fn next_line(&mut self) -> Option<Result<Line, LineError>> {
        while !self.failed {
            let end = self.find_end();
            if end.unwrap_or(self.buffer.len()) - self.start > self.limit {
                self.failed = true;
                self.buffer = Vec::new();
                return Some(Err(LineError::TooLong { limit: self.limit }));
            }
            let bytes = match end {
                Some(end) => self.take(end, 1),
                None if self.finished && self.start < self.buffer.len() => self.take(self.buffer.len(), 0),
                None => {
                    self.give_memory_back();
                    return None;
                }
            };
            if let Some(line) = decode(bytes) {
                return Some(Ok(line));
            }
        }
        None
    }

    /// Whether a line was too long.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Where the next `\n` is; never looks at a byte twice.
    fn find_end(&mut self) -> Option<usize> {
        // `skip_until` on a slice cannot fail. It is the standard library's way to its fast byte search.
        let skipped = (&self.buffer[self.scanned..]).skip_until(b'\n').unwrap_or(0);
        self.scanned += skipped;
        let last = self.scanned.checked_sub(1)?;
        (skipped > 0 && self.buffer[last] == b'\n').then_some(last)
    }

    /// Takes the bytes of the line that ends at `end`, and forgets `delimiter` bytes after it.
    fn take(&mut self, end: usize, delimiter: usize) -> Vec<u8> {
        let next = end + delimiter;
        let line = if self.start == 0 && end > KEPT_CAPACITY {
            // A huge line leaves with its buffer instead of being copied.
            let rest = self.buffer.split_off(next);
            let mut line = std::mem::replace(&mut self.buffer, rest);
            line.truncate(end);
            self.scanned = 0;
            return line;
        } else {
            self.buffer[self.start..end].to_vec()
        };
        self.start = next;
        self.scanned = next;
        line
    }

    fn give_memory_back(&mut self) {
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
            self.scanned = 0;
            self.buffer.shrink_to(KEPT_CAPACITY);
        }
    }
}

/// `None` for an empty line.
fn decode(mut bytes: Vec<u8>) -> Option<Line> {
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    if bytes.is_empty() {
        return None;
    }
    Some(match String::from_utf8(bytes) {
        Ok(text) => Line::Text(text),
        Err(error) => Line::NotUtf8 {
            valid_up_to: error.utf8_error().valid_up_to(),
            lossy: String::from_utf8_lossy(error.as_bytes()).into_owned(),
        },
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All lines, and whether the stream ended with a line that is too long.
    fn lines(chunks: &[&[u8]], limit: usize) -> (Vec<Line>, bool) {
        let mut framer = LineFramer::new(limit);
        let (mut lines, mut too_long) = (Vec::new(), false);
        let mut drain = |framer: &mut LineFramer| {
            while let Some(line) = framer.next_line() {
                match line {
                    Ok(line) => lines.push(line),
                    Err(_) => too_long = true,
                }
            }
        };
        for chunk in chunks {
            framer.push(chunk);
            drain(&mut framer);
        }
        framer.finish();
        drain(&mut framer);
        (lines, too_long)
    }

    fn text(text: &str) -> Line {
        Line::Text(text.to_owned())
    }

    #[test]
    fn ends_of_all_kinds() {
        assert_eq!(lines(&[b"a\r\n\n\r\nb\nlast"], 9), (vec![text("a"), text("b"), text("last")], false));
        assert_eq!(lines(&[b"a", b"\r", b"\n"], 9), (vec![text("a")], false));
        assert_eq!(lines(&[], 9), (vec![], false));
    }

    #[test]
    fn a_character_cut_between_chunks_is_whole_again() {
        let bytes = "ä€🦀\n".as_bytes();
        for cut in 0..bytes.len() {
            assert_eq!(lines(&[&bytes[..cut], &bytes[cut..]], 99).0, [text("ä€🦀")]);
        }
    }

    #[test]
    fn bad_utf8_is_one_bad_line_and_not_the_end() {
        let (lines, too_long) = lines(&[b"ok\nab\xff\xfec\nok\n"], 99);
        assert_eq!(lines[1], Line::NotUtf8 { lossy: "ab\u{fffd}\u{fffd}c".to_owned(), valid_up_to: 2 });
        assert_eq!((lines.len(), too_long), (3, false));
    }

    #[test]
    fn the_limit_ends_the_stream_after_the_lines_before_it() {
        assert_eq!(lines(&[b"ok\n12345\nmore\n"], 5), (vec![text("ok"), text("12345"), text("more")], false));
        assert_eq!(lines(&[b"ok\n123456\nmore\n"], 5), (vec![text("ok")], true));
        assert_eq!(lines(&[b"ok\n123", b"456"], 5), (vec![text("ok")], true));
    }

    #[test]
    fn memory_is_given_back_after_a_huge_line() {
        let mut framer = LineFramer::new(64 << 20);
        let chunk = vec![b'x'; 64 * 1024];
        for _ in 0..512 {
            framer.push(&chunk);
            assert!(framer.next_line().is_none());
        }
        framer.push(b"\nnext\n");
        assert_eq!(framer.next_line().unwrap().unwrap().as_str().len(), 32 << 20);
        assert_eq!(framer.next_line().unwrap().unwrap(), text("next"));
        assert!(framer.next_line().is_none());
        assert!(framer.buffer.capacity() <= KEPT_CAPACITY);
    }

    proptest! {
        #[test]
        fn chunking_changes_nothing(
            bytes in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'a'), Just(0xc3), Just(0xa4)], 0..200),
            cuts in prop::collection::vec(0..200_usize, 0..12),
            limit in 1..30_usize,
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut from = 0;
            for cut in cuts {
                chunks.push(&bytes[from..cut]);
                from = cut;
            }
            chunks.push(&bytes[from..]);

            let mut expected = Vec::new();
            let mut too_long = false;
            for line in bytes.split(|&byte| byte == b'\n') {
                if line.len() > limit {
                    too_long = true;
                    break;
                }
                expected.extend(decode(line.to_vec()));
            }
            prop_assert_eq!(lines(&chunks, limit), (expected, too_long));
        }
    }
}
