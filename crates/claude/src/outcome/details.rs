//! What a result says of how its turn went, besides whether it failed.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::frame::Frame;

/// How much of a text is looked at and kept, in characters. Answers may be tens of megabytes long.
const MAX_HEAD: usize = 1_000;

/// Read apart from [`ResultMessage`](super::ResultMessage): a field of another form than expected costs nothing but itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// The CLI's finer word for a failure of the provider; newer CLIs only.
    pub api_error: Option<String>,
    /// Why the model stopped.
    pub stop_reason: StopReason,
    /// How many turns it took; 0 if the model was not asked.
    pub turns: Option<u64>,
    /// The beginning of the answer; `None` if there is no such field.
    pub answer: Option<String>,
    /// Whether the CLI's own sums are all nought.
    pub has_no_usage: bool,
}

/// Why the model stopped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum StopReason {
    /// The result has no such field.
    #[default]
    Absent,
    /// `null`: nobody said why.
    Null,
    /// In the provider's words.
    Word(String),
}

impl Details {
    /// Of a `result`.
    pub(super) fn of(frame: &Frame) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Body {
            #[serde(deserialize_with = "lenient")]
            api_error: Option<String>,
            stop_reason: StopReason,
            #[serde(deserialize_with = "lenient")]
            num_turns: Option<u64>,
            #[serde(deserialize_with = "lenient")]
            result: Option<String>,
            usage: Tokens,
            #[serde(rename = "modelUsage")]
            models: Count,
        }
        let Body { api_error, stop_reason, num_turns, result, usage, models } = frame.body().unwrap_or_default();
        Self {
            api_error,
            stop_reason,
            turns: num_turns,
            answer: result.map(head),
            has_no_usage: usage.are_none() && models == Count(Some(0)),
        }
    }

    /// Whether there is a text, and nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.answer.as_deref().is_some_and(|answer| answer.trim().is_empty())
    }
}

/// The beginning of a text. A long one is copied, not kept whole.
pub(super) fn head(text: String) -> String {
    match text.char_indices().nth(MAX_HEAD) {
        Some((end, _)) => text[..end].to_owned(),
        None => text,
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tokens {
    #[serde(deserialize_with = "lenient")]
    input_tokens: Option<u64>,
    #[serde(deserialize_with = "lenient")]
    output_tokens: Option<u64>,
}

impl Tokens {
    fn are_none(&self) -> bool {
        [self.input_tokens, self.output_tokens].iter().all(|tokens| tokens.unwrap_or(0) == 0)
    }
}

/// How many entries an object has; `None` if it is none.
#[derive(Default, PartialEq)]
struct Count(Option<usize>);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = usize;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<usize, A::Error> {
                let mut count = 0;
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(count)
            }
        }
        deserializer.deserialize_map(Entries).map(|count| Self(Some(count)))
    }
}

impl<'de> Deserialize<'de> for StopReason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<String>::deserialize(deserializer)?.map_or(Self::Null, Self::Word))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn details(fields: &str) -> Details {
        Details::of(&Frame::parse(format!(r#"{{"type":"result",{fields}}}"#)).unwrap())
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
    fn long_answers_are_not_kept() {
        let long = "é".repeat(MAX_HEAD * 2);
        assert_eq!(details(&format!(r#""result":"{long}""#)).answer.unwrap().chars().count(), MAX_HEAD);
    }
}
