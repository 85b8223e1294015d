//! Plays a CLI that writes as fast as its reader reads, for `bench/throughput.mjs`.
//!
//! A prompt `flood:BYTES:LINE` asks for about BYTES in assistant messages of LINE bytes of ordinary text. With the prompt
//! in the arguments it is answered at once, as `claude -p PROMPT` would; otherwise the stub speaks the streaming protocol
//! on stdin, as far as askd needs it.

use std::io::{self, BufRead as _, Write};

/// How many different messages are made; then they repeat.
const VARIETY: usize = 64;
const BLOCK: usize = 64 * 1024;
const PROSE: &str = "The server reads what the child writes, line by line, and passes it on as it came: nothing is \
    held back, nothing is reordered, and a reader that is slow holds up its own run alone. ";

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut out = io::stdout().lock();
    if arguments.iter().any(|argument| argument == "--version") {
        return writeln!(out, "2.1.330 (Claude Code)");
    }
    if let Some(flood) = arguments.iter().find_map(|argument| Flood::asked(argument)) {
        return flood.answer(&mut out);
    }
    for line in io::stdin().lock().lines() {
        let line = line?;
        if line.contains(r#""subtype":"initialize""#) {
            let id = field(&line, "request_id");
            let response = format!(r#"{{"subtype":"success","request_id":"{id}","response":{{"agents":[]}}}}"#);
            writeln!(out, r#"{{"type":"control_response","response":{response}}}"#)?;
        } else if line.contains(r#""type":"user""#) {
            let flood = Flood::asked(&line).unwrap_or(Flood { bytes: 0, line: 0 });
            flood.answer(&mut out)?;
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

struct Flood {
    bytes: usize,
    line: usize,
}

impl Flood {
    fn asked(text: &str) -> Option<Self> {
        let mut numbers = text.split_once("flood:")?.1.split(|c: char| !c.is_ascii_digit());
        let mut number = || numbers.next()?.parse().ok();
        Some(Self { bytes: number()?, line: number()? })
    }

    fn answer(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, r#"{{"type":"system","subtype":"init","cwd":"/","session_id":"stub","tools":[]}}"#)?;
        let messages: Vec<_> = (0..VARIETY).map(|number| message(number, self.line)).collect();
        let (mut block, mut written) = (Vec::with_capacity(2 * BLOCK), 0);
        for message in messages.iter().cycle() {
            if written >= self.bytes {
                break;
            }
            written += message.len();
            block.extend_from_slice(message.as_bytes());
            if block.len() >= BLOCK {
                out.write_all(&block)?;
                block.clear();
            }
        }
        out.write_all(&block)?;
        let result = r#"{"type":"result","subtype":"success","is_error":false,"num_turns":1,"result":"flooded"}"#;
        writeln!(out, "{result}")?;
        out.flush()
    }
}

fn message(number: usize, bytes: usize) -> String {
    let head = format!(
        r#"{{"type":"assistant","message":{{"id":"msg_{number:04}","type":"message","role":"assistant","model":"stub","content":[{{"type":"text","text":""#
    );
    let tail = format!(
        r#""}}],"stop_reason":null}},"parent_tool_use_id":null,"session_id":"stub","uuid":"00000000-0000-0000-0000-{number:012}"}}"#
    );
    let room = bytes.saturating_sub(head.len() + tail.len() + 1);
    // Each message begins somewhere else in the text.
    let text: String = PROSE.chars().cycle().skip(number * 7).take(room).collect();
    format!("{head}{text}{tail}\n")
}

/// The first string of this name; enough for the few lines that are looked at.
fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let value = line.split_once(&format!("\"{name}\":\"")).map_or("", |(_, rest)| rest);
    value.split('"').next().unwrap_or_default()
}
