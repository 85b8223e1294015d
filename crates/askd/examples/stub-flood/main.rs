//! Plays a CLI whose work is to write, for `scripts/bench`.
//!
//! The prompt says what, in assistant messages of LINE bytes of ordinary text, no two alike:
//!
//! - `flood:BYTES:LINE`: so many bytes, as fast as they are read;
//! - `pace:RATE:LINE:SECONDS`: RATE bytes a second, each message in a write of its own;
//! - `ticks:COUNT:RATE:LINE`: COUNT messages, RATE a second, each with the clock of the moment before it is written;
//! - `wait:COUNT:LINE`: waits for a file `bench-go` in its folder, then writes COUNT messages.
//!
//! With the prompt in the arguments it is answered at once, as `claude -p PROMPT` would; otherwise the stub speaks the
//! streaming protocol on stdin, as far as askd needs it. `stub-flood ratio LINE` says how far zstd compresses the text.

use std::io::{self, BufRead as _, Write};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use prose::Messages;

mod prose;

/// How much text is made before the first message; then it repeats. Far more than a chunk of the log holds.
const TEXT: usize = 8 << 20;
/// What one write takes: as much as a pipe holds.
const BLOCK: usize = 64 << 10;
/// What the log of a run compresses at once.
const CHUNK: usize = 256 << 10;
const GO: &str = "bench-go";

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut out = io::stdout().lock();
    if arguments.iter().any(|argument| argument == "--version") {
        return writeln!(out, "2.1.330 (Claude Code)");
    }
    if let [command, line] = &arguments[..]
        && command == "ratio"
    {
        return ratio(line.parse().map_err(io::Error::other)?, &mut out);
    }
    if let Some(work) = arguments.iter().find_map(|argument| Work::asked(argument)) {
        return work.answer(&mut out);
    }
    for line in io::stdin().lock().lines() {
        let line = line?;
        if line.contains(r#""subtype":"initialize""#) {
            let id = field(&line, "request_id");
            let response = format!(r#"{{"subtype":"success","request_id":"{id}","response":{{"agents":[]}}}}"#);
            writeln!(out, r#"{{"type":"control_response","response":{response}}}"#)?;
        } else if line.contains(r#""type":"user""#) {
            Work::asked(&line).unwrap_or(Work::Flood { bytes: 0, line: 1 }).answer(&mut out)?;
            let uuid = field(&line, "uuid");
            writeln!(out, r#"{{"type":"command_lifecycle","command_uuid":"{uuid}","state":"completed"}}"#)?;
            writeln!(out, r#"{{"type":"system","subtype":"session_state_changed","state":"idle"}}"#)?;
        } else if line.contains(r#""subtype":"interrupt""#) {
            break;
        }
        out.flush()?;
    }
    Ok(())
}

enum Work {
    Flood { bytes: usize, line: usize },
    Pace { rate: usize, line: usize, seconds: usize },
    Ticks { count: usize, rate: usize, line: usize },
    Wait { count: usize, line: usize },
}

impl Work {
    fn asked(text: &str) -> Option<Self> {
        let numbers = |name: &str| {
            let numbers = text.split_once(name)?.1.split(|c: char| !c.is_ascii_digit());
            Some(numbers.map_while(|number| number.parse().ok()).collect::<Vec<usize>>())
        };
        if let Some([bytes, line, ..]) = numbers("flood:").as_deref() {
            return Some(Self::Flood { bytes: *bytes, line: *line });
        }
        if let Some([rate, line, seconds, ..]) = numbers("pace:").as_deref() {
            return Some(Self::Pace { rate: *rate, line: *line, seconds: *seconds });
        }
        if let Some([count, rate, line, ..]) = numbers("ticks:").as_deref() {
            return Some(Self::Ticks { count: *count, rate: *rate, line: *line });
        }
        let numbers = numbers("wait:")?;
        let [count, line, ..] = numbers[..] else { return None };
        Some(Self::Wait { count, line })
    }

    fn answer(&self, out: &mut impl Write) -> io::Result<()> {
        // Before the first line, so that whoever measures from there does not measure this.
        let messages = Messages::new(self.line(), TEXT);
        writeln!(out, r#"{{"type":"system","subtype":"init","cwd":"/","session_id":"stub","tools":[]}}"#)?;
        out.flush()?;
        match *self {
            Self::Flood { bytes, .. } => flood(&messages, bytes.div_ceil(messages.line()), out)?,
            Self::Wait { count, .. } => {
                while !Path::new(GO).exists() {
                    sleep(Duration::from_millis(2));
                }
                flood(&messages, count, out)?;
            }
            Self::Pace { rate, seconds, .. } => pace(&messages, rate.div_ceil(messages.line()), seconds, out)?,
            Self::Ticks { count, rate, .. } => ticks(&messages, count, rate, out)?,
        }
        let result = r#"{"type":"result","subtype":"success","is_error":false,"num_turns":1,"result":"written"}"#;
        writeln!(out, "{result}")?;
        out.flush()
    }

    fn line(&self) -> usize {
        match *self {
            Self::Flood { line, .. } | Self::Pace { line, .. } | Self::Ticks { line, .. } | Self::Wait { line, .. } => {
                line
            }
        }
    }
}

fn flood(messages: &Messages, count: usize, out: &mut impl Write) -> io::Result<()> {
    let mut left = count * messages.line();
    for block in messages.text().chunks(BLOCK).cycle() {
        let block = &block[..block.len().min(left)];
        out.write_all(block)?;
        left -= block.len();
        if left == 0 {
            break;
        }
    }
    Ok(())
}

fn pace(messages: &Messages, per_second: usize, seconds: usize, out: &mut impl Write) -> io::Result<()> {
    let begun = Instant::now();
    for (number, message) in messages.iter().cycle().take(per_second * seconds).enumerate() {
        wait_until(begun, number, per_second);
        out.write_all(message)?;
    }
    Ok(())
}

fn ticks(messages: &Messages, count: usize, per_second: usize, out: &mut impl Write) -> io::Result<()> {
    let begun = Instant::now();
    let mut line = Vec::new();
    for (number, message) in messages.iter().cycle().take(count).enumerate() {
        wait_until(begun, number, per_second);
        let rest = message.strip_prefix(b"{").unwrap_or(message);
        let now = clock_gettime(ClockId::Monotonic);
        line.clear();
        write!(line, r#"{{"bench_ns":{}{:09},"#, now.tv_sec, now.tv_nsec)?;
        line.extend_from_slice(rest);
        out.write_all(&line)?;
    }
    Ok(())
}

/// Waits for the moment of message `number`; what is late is not waited for, so the rate is kept.
fn wait_until(begun: Instant, number: usize, per_second: usize) {
    let nanoseconds = number as u128 * 1_000_000_000 / per_second as u128;
    let due = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
    if let Some(early) = due.checked_sub(begun.elapsed()).filter(|early| *early > Duration::from_micros(100)) {
        sleep(early);
    }
}

/// What is left of the text of a run, compressed chunk by chunk: by the log's level, and by zstd's first ordinary one.
fn ratio(line: usize, out: &mut impl Write) -> io::Result<()> {
    let messages = Messages::new(line, TEXT);
    let compressed = |level| -> io::Result<usize> {
        let mut compressor = zstd::bulk::Compressor::new(level)?;
        messages.text().chunks(CHUNK).map(|chunk| Ok(compressor.compress(chunk)?.len())).sum()
    };
    let (log, ordinary) = (compressed(-1)?, compressed(1)?);
    writeln!(out, r#"{{"text":{},"log_level":{log},"level_1":{ordinary}}}"#, messages.text().len())
}

/// The first string of this name; enough for the few lines that are looked at.
fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let value = line.split_once(&format!("\"{name}\":\"")).map_or("", |(_, rest)| rest);
    value.split('"').next().unwrap_or_default()
}
