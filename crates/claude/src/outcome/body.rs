//! A `result` as the CLI writes it, read once.
//!
//! The fields that say whether it failed have the form that is known, or the whole is of a form that nobody knows. Of the
//! others, one of another form costs nothing but itself: what it would have said may be what tells a success from a refusal.

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};
use serde_json::{Map, Value};

use super::ResultMessage;
use super::details::{Details, StopReason, head};
use super::signs::Signs;
use crate::frame::Frame;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    subtype: String,
    is_error: bool,
    result: Option<String>,
    errors: Vec<String>,
    api_error_status: Option<u16>,
    terminal_reason: Option<String>,
    startup_failure_reason: Option<String>,
    permission_denials: Vec<IgnoredAny>,
    structured_output: Option<IgnoredAny>,
    #[serde(deserialize_with = "lenient")]
    api_error: Option<String>,
    #[serde(deserialize_with = "stop_reason")]
    stop_reason: StopReason,
    #[serde(deserialize_with = "lenient")]
    num_turns: Option<u64>,
    #[serde(deserialize_with = "lenient")]
    usage: Option<Tokens>,
    #[serde(rename = "modelUsage", deserialize_with = "lenient")]
    models: Option<Map<String, Value>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tokens {
    #[serde(deserialize_with = "lenient")]
    input_tokens: Option<u64>,
    #[serde(deserialize_with = "lenient")]
    output_tokens: Option<u64>,
}

/// A `result` frame of a form that is known.
pub(super) fn read(frame: &Frame) -> Option<ResultMessage> {
    let body: Body = frame.body()?;
    let has_structured_output = body.structured_output.is_some();
    let tokens = body.usage.unwrap_or_default();
    let has_no_tokens = [tokens.input_tokens, tokens.output_tokens].iter().all(|tokens| tokens.unwrap_or(0) == 0);
    let answer = body.result.as_deref().map(head);
    Some(ResultMessage {
        subtype: body.subtype,
        is_error: body.is_error,
        result: answer.clone().filter(|_| body.is_error),
        errors: body.errors,
        api_error_status: body.api_error_status,
        terminal_reason: body.terminal_reason,
        startup_failure_reason: body.startup_failure_reason,
        denials: body.permission_denials.len(),
        raw: has_structured_output.then(|| frame.as_str().into()),
        has_structured_output,
        details: Details {
            api_error: body.api_error,
            stop_reason: body.stop_reason,
            turns: body.num_turns,
            answer,
            has_no_usage: has_no_tokens && body.models.is_some_and(|models| models.is_empty()),
        },
        signs: Signs::default(),
        is_unreadable: false,
    })
}

/// A value of another type counts as none.
fn lenient<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either<T> {
        Value(T),
        Other(IgnoredAny),
    }
    Ok(match Either::deserialize(deserializer)? {
        Either::Value(value) => Some(value),
        Either::Other(_) => None,
    })
}

/// Only where the field is there.
fn stop_reason<'de, D: Deserializer<'de>>(deserializer: D) -> Result<StopReason, D::Error> {
    Ok(lenient(deserializer)?.map_or(StopReason::Null, StopReason::Word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details(fields: &str) -> Details {
        let frame = Frame::parse(format!(r#"{{"type":"result",{fields}}}"#)).unwrap();
        read(&frame).expect("a form that is known").details
    }

    #[test]
    fn a_null_is_told_from_a_field_that_is_not_there() {
        assert_eq!(details(r#""a":1"#).stop_reason, StopReason::Absent);
        assert_eq!(details(r#""stop_reason":null"#).stop_reason, StopReason::Null);
        assert_eq!(details(r#""stop_reason":"refusal""#).stop_reason, StopReason::Word("refusal".into()));
        assert!(!details(r#""a":1"#).is_empty() && !details(r#""result":null"#).is_empty());
        assert!(details(r#""result":" \n""#).is_empty() && !details(r#""result":"x""#).is_empty());
    }

    #[test]
    fn no_usage_is_what_the_cli_says_and_not_what_it_leaves_out() {
        assert!(details(r#""usage":{"input_tokens":0,"output_tokens":0},"modelUsage":{}"#).has_no_usage);
        assert!(!details(r#""usage":{"input_tokens":1},"modelUsage":{}"#).has_no_usage);
        assert!(!details(r#""usage":{},"modelUsage":{"opus":{}}"#).has_no_usage);
        assert!(!details(r#""usage":{}"#).has_no_usage);
    }

    #[test]
    fn a_field_of_another_form_takes_no_other_field_with_it() {
        let fields = [
            ("api_error", r#""rate_limit""#),
            ("stop_reason", r#""refusal""#),
            ("num_turns", "3"),
            ("usage", r#"{"input_tokens":0}"#),
            ("modelUsage", "{}"),
        ];
        let whole = details(&fields.map(|(name, value)| format!(r#""{name}":{value}"#)).join(","));
        assert!(whole.has_no_usage, "{whole:?}");
        for (broken, _) in fields {
            for form in ["null", "[]", "[1]", "1", "1.5", "-1", "true", r#""x""#, "{}", r#"{"a":[]}"#] {
                let others =
                    fields.map(|(name, value)| format!(r#""{name}":{}"#, if name == broken { form } else { value }));
                let read = details(&others.join(","));
                let is_other = |name, differs: bool| name == broken || !differs;
                assert!(is_other("api_error", read.api_error != whole.api_error), "{broken}: {form}: {read:?}");
                assert!(is_other("stop_reason", read.stop_reason != whole.stop_reason), "{broken}: {form}: {read:?}");
                assert!(is_other("num_turns", read.turns != whole.turns), "{broken}: {form}: {read:?}");
                let is_of_usage = matches!(broken, "usage" | "modelUsage");
                assert!(is_of_usage || read.has_no_usage, "{broken}: {form}: {read:?}");
            }
        }
        for form in ["null", "[]", "1", "{}"] {
            let read = details(&format!(r#""usage":{{"input_tokens":{form},"output_tokens":0}},"modelUsage":{{}}"#));
            assert_eq!(read.has_no_usage, form != "1", "{form}");
            assert_eq!(details(&format!(r#""stop_reason":{form}"#)).stop_reason, StopReason::Null, "nobody said why");
        }
    }

    #[test]
    fn long_answers_are_not_kept() {
        let long = "é".repeat(2_000);
        assert_eq!(details(&format!(r#""result":"{long}""#)).answer.unwrap().chars().count(), 1_001);
    }
}
