//! A line of the CLI's stdout: its head is parsed, its body kept byte for byte.

use std::borrow::Cow;

use serde::{Deserialize, de::DeserializeOwned};

/// One message of the CLI.
#[derive(Debug, Clone)]
pub struct Frame {
    /// `type`: `assistant`, `result`, `system`, … or a name that this version does not know.
    pub kind: String,
    /// `subtype`, where there is one.
    pub subtype: Option<String>,
    /// The whole message as the CLI wrote it; valid JSON.
    text: String,
}

/// A line that is no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAFrame {
    /// The CLI's libraries print such lines now and then, e.g. `[SandboxDebug] …`.
    #[error("the line is not a JSON object")]
    NotJson,
    /// JSON, but without the `type` that every message has.
    #[error("the line is a JSON object without a `type`")]
    NoType,
}

impl Frame {
    /// Parses a line without its newline; one that is no message comes back with the reason.
    pub fn parse(line: String) -> Result<Self, (NotAFrame, String)> {
        match Self::head(&line) {
            Ok((kind, subtype)) => Ok(Self { kind, subtype, text: line }),
            Err(reason) => Err((reason, line)),
        }
    }

    fn head(line: &str) -> Result<(String, Option<String>), NotAFrame> {
        #[derive(Deserialize)]
        struct Head<'a> {
            #[serde(borrow, rename = "type")]
            kind: Option<Cow<'a, str>>,
            #[serde(borrow, default)]
            subtype: Option<Cow<'a, str>>,
        }
        if !line.starts_with('{') {
            return Err(NotAFrame::NotJson);
        }
        let head: Head<'_> = serde_json::from_str(line).map_err(|_| NotAFrame::NotJson)?;
        let kind = head.kind.ok_or(NotAFrame::NoType)?.into_owned();
        Ok((kind, head.subtype.map(Cow::into_owned)))
    }

    /// The message as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same message with another text, which must be JSON with the same head.
    #[must_use]
    pub fn with_text(&self, text: String) -> Self {
        Self { kind: self.kind.clone(), subtype: self.subtype.clone(), text }
    }

    /// Whether this is `system` with the given subtype.
    pub fn is_system(&self, subtype: &str) -> bool {
        self.kind == "system" && self.subtype.as_deref() == Some(subtype)
    }

    /// Whether clients see this message in a run's event log: everything but the protocol between the CLI and us,
    /// and partial messages, which are not logged.
    pub fn is_event(&self) -> bool {
        !matches!(
            self.kind.as_str(),
            "control_request"
                | "control_response"
                | "control_cancel_request"
                | "keep_alive"
                | "transcript_mirror"
                | "stream_event"
        )
    }

    /// Whether this is a piece of a message that follows whole.
    pub fn is_delta(&self) -> bool {
        self.kind == "stream_event"
    }

    /// Whether this message says how far the work is, and nothing of the work itself.
    pub fn is_state(&self) -> bool {
        self.kind == "command_lifecycle" || self.is_system("session_state_changed")
    }

    /// [`Self::is_state`] for a message of which type and text are at hand. Cheap for all but the few that are.
    pub fn says_state(kind: &str, text: &str) -> bool {
        const CHANGED: &str = "session_state_changed";
        let changed = || Self::head(text).is_ok_and(|(_, subtype)| subtype.as_deref() == Some(CHANGED));
        kind == "command_lifecycle" || kind == "system" && text.contains(CHANGED) && changed()
    }

    /// Reads the fields of `T`; `None` if they are not what `T` expects.
    pub fn body<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(&self.text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_head_may_stand_anywhere_in_the_object() {
        let line = r#"{"duration_ms":1,"x":{"type":"inner"},"subtype":"success","type":"result"}"#;
        let frame = Frame::parse(line.into()).unwrap();
        assert_eq!((frame.kind.as_str(), frame.subtype.as_deref()), ("result", Some("success")));
        assert_eq!(frame.as_str(), line, "the body is kept byte for byte");
    }

    #[test]
    fn unknown_types_and_fields_pass() {
        let frame = Frame::parse(r#"{"type":"from_the_future","a":[1e400]}"#.into()).unwrap();
        assert!(frame.is_event());
    }

    #[test]
    fn a_line_that_is_no_message_says_why() {
        let table = [
            ("[SandboxDebug] x", NotAFrame::NotJson),
            (r#"{"type":"result""#, NotAFrame::NotJson),
            (r#"{"subtype":"x"}"#, NotAFrame::NoType),
            (r#"{"type":5}"#, NotAFrame::NotJson),
        ];
        for (line, reason) in table {
            assert_eq!(Frame::parse(line.into()).unwrap_err(), (reason, line.to_owned()));
        }
    }

    #[test]
    fn a_state_is_told_from_its_name_in_a_text() {
        let line = r#"{"type":"system","subtype":"session_state_changed","state":"idle"}"#;
        assert!(Frame::says_state("system", line) && Frame::says_state("command_lifecycle", "{}"));
        assert!(!Frame::says_state("system", r#"{"type":"system","subtype":"init","x":"session_state_changed"}"#));
        assert!(!Frame::says_state("assistant", line));
    }

    #[test]
    fn the_protocol_between_cli_and_server_is_no_event() {
        for kind in ["control_request", "control_response", "keep_alive", "transcript_mirror", "stream_event"] {
            let frame = Frame::parse(format!(r#"{{"type":"{kind}"}}"#)).unwrap();
            assert!(!frame.is_event(), "{kind}");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(line in "\\PC*") {
            let _ = Frame::parse(line);
        }
    }
}
