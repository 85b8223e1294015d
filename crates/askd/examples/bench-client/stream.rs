//! Reads one answer as fast as it comes.

use std::io::{self, BufRead as _, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use serde_json::{Value, json};

use crate::Arguments;
use crate::http::{Answer, Request};

/// What one read takes.
const BUFFER: usize = 256 << 10;
/// So much of the end is shown.
const TAIL: usize = 400;

/// From the request to the last byte: `--address --path --key --accept --body`.
pub(crate) fn run(arguments: &Arguments) -> io::Result<Value> {
    let request = Request {
        method: "POST",
        path: arguments.text("path")?,
        key: arguments.text("key")?,
        accept: arguments.text("accept")?,
        body: arguments.text("body")?,
    };
    let mut socket = TcpStream::connect(arguments.text("address")?)?;
    let begun = Instant::now();
    socket.write_all(&request.to_bytes())?;
    let (mut answer, mut buffer) = (Answer::default(), vec![0; BUFFER]);
    let (mut bytes, mut lines, mut tail) = (0, 0, Vec::new());
    while !answer.has_ended() {
        let count = socket.read(&mut buffer)?;
        if count == 0 {
            return Err(io::Error::other(format!("the answer breaks off after {bytes} bytes")));
        }
        answer.take(&buffer[..count], |piece| {
            bytes += piece.len();
            lines += count_lines(piece);
            keep_tail(&mut tail, piece);
            Ok(())
        })?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    Ok(json!({ "seconds": seconds, "bytes": bytes, "lines": lines, "tail": String::from_utf8_lossy(&tail) }))
}

fn count_lines(mut piece: &[u8]) -> usize {
    let mut lines = 0;
    while !piece.is_empty() {
        let whole = piece;
        // A slice does not fail.
        let skipped = piece.skip_until(b'\n').unwrap_or_default();
        lines += usize::from(whole[skipped - 1] == b'\n');
    }
    lines
}

fn keep_tail(tail: &mut Vec<u8>, piece: &[u8]) {
    tail.extend_from_slice(&piece[piece.len().saturating_sub(TAIL)..]);
    tail.drain(..tail.len().saturating_sub(TAIL));
}
