//! Events as `/v1` sends them: an envelope around the data, which is copied byte for byte.

use std::io::Write as _;

use super::push_line;
use super::time::rfc3339;
use crate::runs::RunId;
use crate::store::chunk::EventRef;

/// How often a browser tries again, in milliseconds; said once at the beginning.
const RETRY: &[u8] = b"retry: 2000\n\n";
/// The type of a partial message.
pub const DELTA: &str = "agent.stream_event";

/// The form of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// Server-sent events.
    Sse,
    /// One JSON value a line.
    Ndjson,
}

/// Writes the events of one run.
#[derive(Debug, Clone)]
pub struct Encoder {
    wire: Wire,
    run: String,
}

impl Encoder {
    /// For one run and one client.
    pub fn new(wire: Wire, run: RunId) -> Self {
        Self { wire, run: run.to_string() }
    }

    /// What comes before the first event.
    pub fn beginning(&self, out: &mut Vec<u8>) {
        if self.wire == Wire::Sse {
            out.extend_from_slice(RETRY);
        }
    }

    /// An event.
    pub fn event(&self, event: &EventRef<'_>, out: &mut Vec<u8>) {
        out.reserve(event.data.len() + 256);
        if self.wire == Wire::Sse {
            let _ = write!(out, "id: {}\nevent: ", event.seq);
            // A type is the CLI's word.
            push_line(event.kind, out);
            out.extend_from_slice(b"\ndata: ");
        }
        envelope(&self.run, event, out);
        self.end(out);
    }

    /// A partial message. It has no number, so that a client which reconnects is not set back or forth by it.
    pub fn delta(&self, data: &str, out: &mut Vec<u8>) {
        if self.wire == Wire::Sse {
            out.extend_from_slice(format!("event: {DELTA}\ndata: ").as_bytes());
        }
        out.extend_from_slice(format!(r#"{{"run_id":"{}","type":"{DELTA}","data":"#, self.run).as_bytes());
        push_line(data, out);
        out.push(b'}');
        self.end(out);
    }

    /// A word for people; NDJSON has no place for it.
    pub fn comment(&self, text: &str, out: &mut Vec<u8>) {
        if self.wire == Wire::Sse {
            out.extend_from_slice(b": ");
            push_line(text, out);
            out.extend_from_slice(b"\n\n");
        }
    }

    /// A sign of life: a comment, or a blank, with which the next line of NDJSON may begin.
    pub fn heartbeat(&self, out: &mut Vec<u8>) {
        match self.wire {
            Wire::Sse => self.comment("heartbeat", out),
            Wire::Ndjson => out.push(b' '),
        }
    }

    /// What went wrong in the middle of the stream: the body of an error, in JSON.
    pub fn error(&self, body: &[u8], out: &mut Vec<u8>) {
        if self.wire == Wire::Sse {
            out.extend_from_slice(b"event: error\ndata: ");
        }
        out.extend_from_slice(body);
        self.end(out);
    }

    fn end(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.wire == Wire::Sse { b"\n\n" } else { b"\n" });
    }
}

/// An event as a JSON value in one line.
pub fn envelope(run: &str, event: &EventRef<'_>, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail, and a string always serialises.
    let _ = write!(out, r#"{{"seq":{},"run_id":"{run}","type":"#, event.seq);
    drop(serde_json::to_writer(&mut *out, event.kind));
    let _ = write!(out, r#","time":"{}","data":"#, rfc3339(event.time_ms));
    push_line(event.data, out);
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn text(write: impl Fn(&Encoder, &mut Vec<u8>)) -> [String; 2] {
        [Wire::Sse, Wire::Ndjson].map(|wire| {
            let mut out = Vec::new();
            write(&Encoder::new(wire, RunId(Uuid::from_u128(7))), &mut out);
            String::from_utf8(out).unwrap()
        })
    }

    fn event<'a>(kind: &'a str, data: &'a str) -> EventRef<'a> {
        EventRef { seq: 17, time_ms: 1_795_000_000_000, kind, data }
    }

    #[test]
    fn an_event_is_an_envelope_around_the_data() {
        let [sse, ndjson] = text(|encoder, out| {
            encoder.beginning(out);
            encoder.event(&event("agent.assistant", "{\"type\": \"assistant\",\r\"a\":1e400}"), out);
        });
        insta::assert_snapshot!(sse, @r#"
        retry: 2000

        id: 17
        event: agent.assistant
        data: {"seq":17,"run_id":"run_00000000-0000-0000-0000-000000000007","type":"agent.assistant","time":"2026-11-18T11:06:40.000Z","data":{"type": "assistant", "a":1e400}}
        "#);
        insta::assert_snapshot!(ndjson, @r#"{"seq":17,"run_id":"run_00000000-0000-0000-0000-000000000007","type":"agent.assistant","time":"2026-11-18T11:06:40.000Z","data":{"type": "assistant", "a":1e400}}"#);
    }

    #[test]
    fn a_type_of_the_cli_cannot_write_lines_of_its_own() {
        let [sse, ndjson] = text(|encoder, out| encoder.event(&event("agent.a\ndata: \"", "{}"), out));
        assert!(sse.starts_with("id: 17\nevent: agent.a data: \"\ndata: {\"seq\":17,"), "{sse}");
        assert!(sse.contains(r#""type":"agent.a\ndata: \"""#), "{sse}");
        assert_eq!(ndjson.lines().count(), 1);
    }

    #[test]
    fn a_partial_message_has_no_number() {
        let [sse, ndjson] = text(|encoder, out| encoder.delta(r#"{"type":"stream_event"}"#, out));
        insta::assert_snapshot!(sse, @r#"
        event: agent.stream_event
        data: {"run_id":"run_00000000-0000-0000-0000-000000000007","type":"agent.stream_event","data":{"type":"stream_event"}}
        "#);
        assert!(ndjson.ends_with("}}\n") && !ndjson.contains("seq"), "{ndjson}");
    }

    #[test]
    fn comments_and_heartbeats_are_for_people() {
        assert_eq!(text(|encoder, out| encoder.comment("a\nb", out)), [": a b\n\n", ""]);
        assert_eq!(text(Encoder::heartbeat), [": heartbeat\n\n", " "]);
        assert_eq!(text(|encoder, out| encoder.error(b"{}", out)), ["event: error\ndata: {}\n\n", "{}\n"]);
    }
}
