//! Server-sent events as `/ask` sends them: the CLI's own lines.

use claude::frame::Frame;

use super::push_line;
use crate::runs::event::{AGENT, WARNING};
use crate::runs::warning::{Warning, WarningCode};
use crate::runs::{Finished, RunState};
use crate::store::chunk::EventRef;

/// A comment that keeps a silent stream open.
pub const HEARTBEAT: &[u8] = b": heartbeat\n\n";

/// Appends an event; nothing for what this stream does not show.
pub fn encode(event: &EventRef<'_>, out: &mut Vec<u8>) {
    if let Some(kind) = event.kind.strip_prefix(AGENT) {
        if !Frame::says_state(kind, event.data) {
            out.reserve(event.data.len() + 8);
            out.extend_from_slice(b"data: ");
            push_line(event.data, out);
            out.extend_from_slice(b"\n\n");
        }
    } else if event.kind == WARNING {
        if let Some(message) = warning(event) {
            // A comment: clients of the Node server do not know warnings, people who look at the stream see them.
            out.extend_from_slice(b": warning: ");
            push_line(&message, out);
            out.extend_from_slice(b"\n\n");
        }
    } else if let Some(finished) = Finished::of_event(event) {
        end(&finished, out);
    }
}

/// The text of a warning; `None` for one that `/ask` does not show: which CLI the server has concerns its operator, and would
/// be said with every answer.
pub fn warning(event: &EventRef<'_>) -> Option<String> {
    let warning: Warning = serde_json::from_str(event.data).ok()?;
    (warning.code != WarningCode::CliVersion).then_some(warning.message)
}

/// The end of a stream whose run's end is not known.
pub fn cut_off(message: &str, out: &mut Vec<u8>) {
    let data = serde_json::json!({ "error": message });
    out.extend_from_slice(format!("event: error\ndata: {data}\n\nevent: done\ndata: {{\"code\":1}}\n\n").as_bytes());
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
    use super::*;
    use crate::runs::RunErrorKind;
    use crate::runs::event::EventBody;

    fn encoded(body: &EventBody) -> String {
        let mut out = Vec::new();
        encode(&EventRef { seq: 1, time_ms: 0, kind: &body.kind(), data: &body.data() }, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn agent(line: &str) -> String {
        encoded(&EventBody::Agent(Frame::parse(line.into()).unwrap()))
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
        let started = EventBody::Started { cli_version: "2.1.330".into() };
        assert_eq!(encoded(&EventBody::Queued) + &encoded(&started), "");
    }

    #[test]
    fn the_end_says_whether_it_succeeded() {
        insta::assert_snapshot!(encoded(&EventBody::Finished(Finished::completed().into())), @r#"
        event: done
        data: {"code":0}
        "#);
        insta::assert_snapshot!(encoded(&EventBody::Finished(Finished::failed(RunErrorKind::Run, "it \"failed\"\n").into())), @r#"
        event: error
        data: {"error":"it \"failed\"\n"}

        event: done
        data: {"code":1}
        "#);
    }

    #[test]
    fn a_warning_is_a_comment_of_one_line() {
        assert_eq!(
            encoded(&EventBody::Warning(Warning::new(WarningCode::Other, "a\ndata: b"))),
            ": warning: a data: b\n\n"
        );
        assert_eq!(encoded(&EventBody::Warning(Warning::new(WarningCode::CliVersion, "old"))), "");
    }
}
