//! Server-sent events as `/ask` sends them: the CLI's own lines.

use crate::runs::event::{Event, EventBody};
use crate::runs::{Finished, RunState};

/// A comment that keeps a silent stream open.
pub const HEARTBEAT: &[u8] = b": heartbeat\n\n";

/// Appends an event; nothing for what this stream does not show.
pub fn encode(event: &Event, out: &mut Vec<u8>) {
    match &*event.body {
        EventBody::Agent(frame) if !frame.is_state() => {
            out.reserve(frame.as_str().len() + 8);
            out.extend_from_slice(b"data: ");
            // A JSON message in one line: the framer has cut at line ends, and SSE knows no other special bytes but CR,
            // which JSON allows between tokens only.
            push_line(frame.as_str(), out);
            out.extend_from_slice(b"\n\n");
        }
        // A comment: clients of the Node server do not know warnings, people who look at the stream see them.
        EventBody::Warning(text) => {
            out.extend_from_slice(b": warning: ");
            push_line(text, out);
            out.extend_from_slice(b"\n\n");
        }
        EventBody::Finished(finished) => end(finished, out),
        EventBody::Agent(_) | EventBody::Queued | EventBody::Started => {}
    }
}

fn push_line(text: &str, out: &mut Vec<u8>) {
    if text.bytes().any(|byte| matches!(byte, b'\r' | b'\n')) {
        out.extend(text.bytes().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }));
    } else {
        out.extend_from_slice(text.as_bytes());
    }
}

fn end(finished: &Finished, out: &mut Vec<u8>) {
    if let Some(error) = &finished.error {
        let data = serde_json::json!({ "error": error.message });
        out.extend_from_slice(format!("event: error\ndata: {data}\n\n").as_bytes());
    }
    let code = i32::from(finished.state != RunState::Completed);
    out.extend_from_slice(format!("event: done\ndata: {{\"code\":{code}}}\n\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use claude::frame::Frame;
    use jiff::Timestamp;

    use super::*;
    use crate::runs::RunErrorKind;

    fn encoded(body: EventBody) -> String {
        let mut out = Vec::new();
        encode(&Event { seq: 1, time: Timestamp::UNIX_EPOCH, body: Arc::new(body) }, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn agent(line: &str) -> String {
        encoded(EventBody::Agent(Frame::parse(line.into()).unwrap()))
    }

    #[test]
    fn the_cli_speaks_for_itself() {
        insta::assert_snapshot!(agent(r#"{"type":"assistant","message":{"content":"é\u2028 x"}}"#),
            @r#"data: {"type":"assistant","message":{"content":"é\u2028 x"}}"#);
        assert_eq!(agent("{\"type\":\"x\",\r\"a\":1}"), "data: {\"type\":\"x\", \"a\":1}\n\n");
    }

    #[test]
    fn states_are_not_shown() {
        assert_eq!(agent(r#"{"type":"system","subtype":"session_state_changed","state":"idle"}"#), "");
        assert_eq!(agent(r#"{"type":"command_lifecycle","state":"queued"}"#), "");
        assert_eq!(encoded(EventBody::Queued) + &encoded(EventBody::Started), "");
    }

    #[test]
    fn the_end_says_whether_it_succeeded() {
        insta::assert_snapshot!(encoded(EventBody::Finished(Finished { state: RunState::Completed, error: None })), @r#"
        event: done
        data: {"code":0}
        "#);
        insta::assert_snapshot!(encoded(EventBody::Finished(Finished::failed(RunErrorKind::Run, "it \"failed\"\n"))), @r#"
        event: error
        data: {"error":"it \"failed\"\n"}

        event: done
        data: {"code":1}
        "#);
    }

    #[test]
    fn a_warning_is_a_comment_of_one_line() {
        assert_eq!(encoded(EventBody::Warning("a\ndata: b".into())), ": warning: a data: b\n\n");
    }
}
