//! Many readers of one run's events; each has to get all of them, in order.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, BufRead as _};
use std::time::Instant;

use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::Arguments;
use crate::http::{Answer, Request};

/// What one read takes; one buffer serves all, since one thread reads.
const BUFFER: usize = 256 << 10;

/// `--address --path --key --count --least --length`, and `--go FILE`, which is made once all have their first event.
/// `least` is how many messages each has to get, `length` how long each is.
pub(crate) fn run(arguments: &Arguments) -> io::Result<Value> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(follow(arguments))
}

async fn follow(arguments: &Arguments) -> io::Result<Value> {
    let count: usize = arguments.number("count")?;
    let (least, length) = (arguments.number("least")?, arguments.number("length")?);
    let request = Request {
        method: "GET",
        path: arguments.text("path")?,
        key: arguments.text("key")?,
        accept: "text/event-stream",
        body: "",
    };
    let shared = Shared {
        address: arguments.text("address")?,
        request: request.to_bytes(),
        go: arguments.find("go"),
        buffer: RefCell::new(vec![0; BUFFER]),
        waiting: Cell::new(count),
        begun: Cell::new(Instant::now()),
        length,
    };
    let connected = Instant::now();
    let all = try_join_all((0..count).map(|_| shared.read_all())).await?;
    let end = Instant::now();
    let Some(first) = all.first() else { return Err(io::Error::other("nobody follows")) };
    if let Some(other) = all.iter().find(|reader| **reader != *first) {
        return Err(io::Error::other(format!("the readers differ: {first:?} and {other:?}")));
    }
    if first.messages < least || !first.is_complete() {
        return Err(io::Error::other(format!("not all came: {first:?}")));
    }
    let seconds = (end - shared.begun.get()).as_secs_f64();
    let attach = (shared.begun.get() - connected).as_secs_f64();
    Ok(json!({
        "seconds": seconds,
        "attach_seconds": attach,
        "events": first.seq,
        "bytes": first.bytes,
    }))
}

/// What the readers have in common.
struct Shared<'a> {
    address: &'a str,
    request: Vec<u8>,
    go: Option<&'a str>,
    buffer: RefCell<Vec<u8>>,
    /// Readers that have not got anything yet.
    waiting: Cell<usize>,
    /// With `go`: when the run was let go. Otherwise the start of the first reader.
    begun: Cell<Instant>,
    length: usize,
}

impl Shared<'_> {
    async fn read_all(&self) -> io::Result<Reader> {
        let mut socket = TcpStream::connect(self.address).await?;
        socket.write_all(&self.request).await?;
        let (mut answer, mut reader) = (Answer::default(), Reader::default());
        while !answer.has_ended() {
            socket.readable().await?;
            let mut buffer = self.buffer.borrow_mut();
            let count = match socket.try_read(&mut buffer) {
                Ok(0) => return Err(io::Error::other(format!("the answer breaks off: {reader:?}"))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                count => count?,
            };
            let before = reader.seq;
            answer.take(&buffer[..count], |piece| reader.take(piece, self.length))?;
            if before == 0 && reader.seq > 0 {
                self.has_begun()?;
            }
        }
        Ok(reader)
    }

    fn has_begun(&self) -> io::Result<()> {
        self.waiting.set(self.waiting.get() - 1);
        if let Some(go) = self.go.filter(|_| self.waiting.get() == 0) {
            self.begun.set(Instant::now());
            File::create(go)?;
        }
        Ok(())
    }
}

/// Where one reader is.
#[derive(Debug, Default, PartialEq)]
struct Reader {
    /// A line that is not complete yet.
    rest: Vec<u8>,
    seq: u64,
    /// The type of the current event.
    kind: Vec<u8>,
    messages: u64,
    bytes: u64,
}

impl Reader {
    fn take(&mut self, mut piece: &[u8], length: usize) -> io::Result<()> {
        while !piece.is_empty() {
            let whole = piece;
            let line = &whole[..piece.skip_until(b'\n')?];
            if line.last() != Some(&b'\n') {
                self.rest.extend_from_slice(line);
            } else if self.rest.is_empty() {
                self.line(line, length)?;
            } else {
                let mut joined = std::mem::take(&mut self.rest);
                joined.extend_from_slice(line);
                self.line(&joined, length)?;
                joined.clear();
                self.rest = joined;
            }
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8], length: usize) -> io::Result<()> {
        let wrong = |what: &str| Err(io::Error::other(format!("{what}: {}", String::from_utf8_lossy(line))));
        if let Some(number) = line.strip_prefix(b"id: ") {
            let number = number.iter().filter(|byte| byte.is_ascii_digit());
            let seq = number.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
            if seq != self.seq + 1 {
                return wrong(&format!("event {seq} after {}", self.seq));
            }
            self.seq = seq;
        } else if let Some(kind) = line.strip_prefix(b"event: ") {
            self.kind.clear();
            self.kind.extend_from_slice(kind);
            self.messages += u64::from(kind == b"agent.assistant\n");
        } else if let Some(data) = line.strip_prefix(b"data: ") {
            self.bytes += data.len() as u64;
            if self.kind == b"agent.assistant\n" && data.len() < length {
                return wrong("a short message");
            }
        } else if !matches!(line[0], b'\n' | b':') && !line.starts_with(b"retry: ") {
            return wrong("a line that does not belong here");
        }
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.rest.is_empty() && self.kind == b"run.completed\n"
    }
}
