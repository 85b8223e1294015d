//! How long an event takes from the CLI's write to the client's read.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use crate::Arguments;
use crate::http::{Answer, Request};

/// What one read takes.
const BUFFER: usize = 256 << 10;
/// What the stub puts into each message; the same clock is read here.
const MARK: &[u8] = br#""bench_ns":"#;
/// The run beside has really begun.
const BEGUN: u64 = 1 << 20;

/// All latencies in nanoseconds, in order: `--address --path --key --accept --body --beside`.
pub(crate) fn run(arguments: &Arguments) -> io::Result<Value> {
    let text = |name| arguments.text(name).map(str::to_owned);
    let (address, path, key, accept) = (text("address")?, text("path")?, text("key")?, text("accept")?);
    let open = move |body: &str| -> io::Result<TcpStream> {
        let request = Request { method: "POST", path: &path, key: &key, accept: &accept, body };
        let mut socket = TcpStream::connect(&address)?;
        socket.write_all(&request.to_bytes())?;
        Ok(socket)
    };
    let beside = Arc::new(AtomicU64::new(0));
    let reader = {
        let (socket, beside) = (open(arguments.text("beside")?)?, Arc::clone(&beside));
        thread::spawn(move || {
            read(socket, |piece, _| {
                beside.fetch_add(piece.len() as u64, Ordering::Relaxed);
            })
        })
    };
    while beside.load(Ordering::Relaxed) < BEGUN {
        if reader.is_finished() {
            return Err(io::Error::other(format!("the run beside has ended: {:?}", reader.join())));
        }
        thread::yield_now();
    }
    let (begun, before) = (Instant::now(), beside.load(Ordering::Relaxed));
    let latencies = ticks(open(arguments.text("body")?)?)?;
    let seconds = begun.elapsed().as_secs_f64();
    let read = beside.load(Ordering::Relaxed) - before;
    let still = !reader.is_finished();
    reader.join().map_err(|_| io::Error::other("the reader beside panicked"))??;
    Ok(json!({ "latencies_ns": latencies, "seconds": seconds, "beside_bytes": read, "beside_all_along": still }))
}

fn ticks(socket: TcpStream) -> io::Result<Vec<u64>> {
    let (mut line, mut latencies) = (Vec::new(), Vec::new());
    read(socket, |piece, now| {
        for byte in piece {
            if *byte != b'\n' {
                line.push(*byte);
                continue;
            }
            if let Some(written) = written(&line) {
                latencies.push(now.saturating_sub(written));
            }
            line.clear();
        }
    })?;
    Ok(latencies)
}

fn written(line: &[u8]) -> Option<u64> {
    let start = line.windows(MARK.len()).position(|bytes| bytes == MARK)? + MARK.len();
    let digits = line[start..].iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

/// Reads an answer to its end; each piece comes with the clock of the moment it was there.
fn read(mut socket: TcpStream, mut piece: impl FnMut(&[u8], u64)) -> io::Result<()> {
    let (mut answer, mut buffer) = (Answer::default(), vec![0; BUFFER]);
    while !answer.has_ended() {
        let count = socket.read(&mut buffer)?;
        let now = clock_gettime(ClockId::Monotonic);
        let now = now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs();
        if count == 0 {
            return Err(io::Error::other("the answer breaks off"));
        }
        answer.take(&buffer[..count], |body| {
            piece(body, now);
            Ok(())
        })?;
    }
    Ok(())
}
