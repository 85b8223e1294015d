//! Replaces in the strings of a line of JSON. What stands outside of them never changes, so the line stays JSON of the same
//! form, and whoever reads messages of the CLI still can.
//!
//! Strings are searched as what they mean: an escape of any spelling hides nothing.

use std::borrow::Cow;
use std::ops::Range;

use memchr::{memchr, memchr2};

use super::finder::Finder;
use super::{MARK, replaced};

/// The members whose values say what a message is.
const PROTOCOL: [&str; 2] = ["type", "subtype"];

/// What JSON takes for blanks.
const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

/// The line with its strings replaced, if there is something to replace. Names that are plain words stay, and so do plain
/// words in the members that say what a message is.
pub(super) fn redact(line: &str, finder: &Finder) -> Option<String> {
    let (mut out, mut copied, mut at) = (String::new(), 0, 0);
    // The end of the last name, if its value may be a word of the protocol.
    let mut named: Option<usize> = None;
    while let Some(open) = memchr(b'"', &line.as_bytes()[at..]).map(|place| at + place) {
        let Some(close) = end(line, open + 1) else {
            // It is no JSON after all.
            return Some(replaced(line, &finder.find(line))).filter(|new| new != line);
        };
        let (body, after) = (&line[open + 1..close], close + 1);
        let meant = meaning(body);
        let is_name = line[after..].trim_start_matches(BLANKS).starts_with(':');
        let stays = if is_name {
            named = PROTOCOL.contains(&&*meant).then_some(after);
            true
        } else {
            named.take().is_some_and(|end| line[end..open].trim_matches(BLANKS) == ":")
        };
        if !(stays && is_plain(&meant))
            && let Some(new) = string(body, &meant, finder)
        {
            out.push_str(&line[copied..=open]);
            out.push_str(&new);
            copied = close;
        }
        at = after;
    }
    (copied > 0).then(|| out + &line[copied..])
}

/// Words of the protocol and names of members are such.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_')
}

/// Where the string ends whose inside begins here.
fn end(line: &str, from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += memchr2(b'"', b'\\', line.as_bytes().get(at..)?)?;
        if line.as_bytes()[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

/// What the inside of a string means.
fn meaning(body: &str) -> Cow<'_, str> {
    if memchr(b'\\', body.as_bytes()).is_none() {
        return Cow::Borrowed(body);
    }
    let mut meant = String::with_capacity(body.len());
    for Piece { spelt, means } in Pieces(body) {
        match means {
            Some(char) => meant.push(char),
            None => meant.push_str(spelt),
        }
    }
    Cow::Owned(meant)
}

/// The inside of a string with what is found in its meaning replaced, if something is.
fn string(body: &str, meant: &str, finder: &Finder) -> Option<String> {
    let places = finder.find(meant);
    // An escape is longer than what it means.
    let is_spelt_out = body.len() == meant.len();
    (!places.is_empty()).then(|| if is_spelt_out { replaced(body, &places) } else { spelt_again(body, &places) })
}

/// The string again, as it was spelt, without what stands at these places of what it means.
fn spelt_again(body: &str, places: &[Range<usize>]) -> String {
    let mut out = String::with_capacity(body.len());
    let mut places = places.iter().peekable();
    let mut begin = 0;
    for Piece { spelt, means } in Pieces(body) {
        let end = begin + means.map_or(spelt.len(), char::len_utf8);
        let mut at = begin;
        while at < end {
            let upto = match places.peek() {
                Some(place) if place.start <= at => {
                    if place.start == at {
                        out.push_str(MARK);
                    }
                    at = place.end.min(end);
                    places.next_if(|place| place.end <= end);
                    continue;
                }
                Some(place) => place.start.min(end),
                None => end,
            };
            // A place holds whole characters, so never a part of an escape.
            out.push_str(if means.is_some() { spelt } else { &spelt[at - begin..upto - begin] });
            at = upto;
        }
        begin = end;
    }
    out
}

/// A part of a string.
struct Piece<'a> {
    /// As it stands there.
    spelt: &'a str,
    /// The character that it stands for, if it is an escape.
    means: Option<char>,
}

/// The parts of the inside of a string.
struct Pieces<'a>(&'a str);

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let length = match memchr(b'\\', self.0.as_bytes()) {
            Some(0) => {
                let (length, means) = escape(self.0);
                return Some(Piece { spelt: self.cut(length), means: Some(means) });
            }
            Some(length) => length,
            None if self.0.is_empty() => return None,
            None => self.0.len(),
        };
        Some(Piece { spelt: self.cut(length), means: None })
    }
}

impl<'a> Pieces<'a> {
    fn cut(&mut self, length: usize) -> &'a str {
        let (piece, rest) = self.0.split_at_checked(length).unwrap_or((self.0, ""));
        self.0 = rest;
        piece
    }
}

/// How long the escape is that a text begins with, in bytes, and what it means. Half of a pair, which JSON has and no text
/// can hold, is no character of any text that is looked for.
fn escape(text: &str) -> (usize, char) {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    match text.as_bytes().get(1) {
        Some(b'n') => (2, '\n'),
        Some(b't') => (2, '\t'),
        Some(b'r') => (2, '\r'),
        Some(b'b') => (2, '\u{8}'),
        Some(b'f') => (2, '\u{c}'),
        Some(b'u') => {
            let units = [unit(0), unit(6)].into_iter().map_while(|unit| unit);
            let mut read = char::decode_utf16(units);
            match read.next() {
                Some(Ok(char)) => (6 * char.len_utf16(), char),
                _ => (6, char::REPLACEMENT_CHARACTER),
            }
        }
        Some(byte) if byte.is_ascii() => (2, char::from(*byte)),
        _ => (1, '\\'),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn of(texts: &[&str]) -> Finder {
        Finder::new(&texts.iter().map(|text| (*text).to_owned()).collect())
    }

    #[test]
    fn strings_change_and_nothing_else() {
        let finder = of(&["hush-hush", "completed", "\"type\":\"", "12345678", "is_error"]);
        let table = [
            (r#"{"a" : "say hush-hush now"}"#, r#"{"a" : "say [redacted] now"}"#),
            (r#"{"type":"completed","state":"completed"}"#, r#"{"type":"completed","state":"[redacted]"}"#),
            (r#"{"type":["completed"],"b":12345678}"#, r#"{"type":["[redacted]"],"b":12345678}"#),
            (r#"{"is_error":true,"is_error 2":"x"}"#, r#"{"is_error":true,"[redacted] 2":"x"}"#),
            (r#"{"type":"hush-hush","hush-hush":1}"#, r#"{"type":"[redacted]","[redacted]":1}"#),
            (r#"{"a":"{\"type\":\"x\"}"}"#, r#"{"a":"{[redacted]x\"}"}"#),
            (r#"{"a":"\\hush-hush\n","b":"\nhush-hus\u0068"}"#, r#"{"a":"\\[redacted]\n","b":"\n[redacted]"}"#),
            (r#"{"is_err\u006fr":"hush-hus\u0068"}"#, r#"{"is_err\u006fr":"[redacted]"}"#),
            (r#"{"a":"hush-hush"#, r#"{"a":"[redacted]"#),
        ];
        for (line, expected) in table {
            assert_eq!(redact(line, &finder).as_deref(), Some(expected), "{line}");
        }
        for line in [
            r#"{"typ\u0065":"complet\u0065d"}"#,
            r#"{"a":"\\"}"#,
            r#"{"a":"\ud83d","b":"\udd11\ud83d"}"#,
            r#"{"12":12345678}"#,
            "",
            "{}",
        ] {
            assert_eq!(redact(line, &finder), None, "{line}");
        }
    }

    #[test]
    fn an_escape_is_whole_or_gone() {
        let finder = of(&["nsecret12", "u00e9 and more", "key 🔑 of all"]);
        assert_eq!(redact(r#"{"a":"\nsecret12"}"#, &finder), None, "a line end and `secret12`");
        assert_eq!(redact(r#"{"a":"\u00e9 and more"}"#, &finder), None);
        let line = r#"{"a":"\u00e9key \ud83d\udd11 of all\u00e9"}"#;
        assert_eq!(redact(line, &finder).unwrap(), r#"{"a":"\u00e9[redacted]\u00e9"}"#);
    }

    /// JSON in any spelling that a program may have for it.
    fn spelt(value: &Value, escape: bool) -> String {
        let text = value.to_string();
        if !escape {
            return text;
        }
        text.chars()
            .flat_map(|char| match char {
                'a'..='c' => format!("\\u{:04x}", u32::from(char)).chars().collect::<Vec<_>>(),
                char => vec![char],
            })
            .collect()
    }

    fn anything() -> impl Strategy<Value = Value> {
        let words = prop::sample::select(vec!["type", "subtype", "abc_abc", "ab\"\\\n", "b 1", "\u{1}🔑"]);
        let text = prop::collection::vec(prop_oneof![words.prop_map(str::to_owned), "[abc\"\\\\ 🔑\n]{0,6}"], 0..4);
        let text = text.prop_map(|parts| parts.concat());
        let leaf = prop_oneof![text.clone().prop_map(Value::from), any::<i32>().prop_map(Value::from)];
        leaf.prop_recursive(3, 30, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(text.clone(), inner, 0..5).prop_map(|members| json!(members)),
            ]
        })
    }

    /// Every string but those that stay; whether the forms are the same.
    fn compare(before: &Value, after: &Value, name: &str, seen: &mut Vec<String>) -> bool {
        match (before, after) {
            (Value::Array(before), Value::Array(after)) => {
                before.len() == after.len() && before.iter().zip(after).all(|(a, b)| compare(a, b, "", seen))
            }
            (Value::Object(before), Value::Object(after)) => {
                after.keys().filter(|name| !is_plain(name)).for_each(|name| seen.push(name.clone()));
                // Other names may become the same.
                before
                    .iter()
                    .filter(|(name, _)| is_plain(name))
                    .all(|(name, value)| after.get(name).is_some_and(|after| compare(value, after, name, seen)))
            }
            (Value::String(before), Value::String(after)) => {
                let stays = PROTOCOL.contains(&name) && is_plain(before);
                if !stays {
                    seen.push(after.clone());
                }
                !stays || before == after
            }
            (before, after) => before == after,
        }
    }

    proptest! {
        #[test]
        fn the_form_stays_and_nothing_is_left(
            value in anything(),
            texts in prop::collection::btree_set("[abc\"\\\\🔑\n]{2,5}", 1..6),
            escape in any::<bool>(),
        ) {
            let texts: BTreeSet<String> = texts;
            let line = spelt(&value, escape);
            prop_assume!(serde_json::from_str::<Value>(&line).is_ok_and(|read| read == value));
            let line = redact(&line, &Finder::new(&texts)).unwrap_or(line);
            let after: Value = serde_json::from_str(&line).map_err(|error| TestCaseError::fail(format!("{error}: {line}")))?;
            let mut seen = Vec::new();
            prop_assert!(compare(&value, &after, "", &mut seen), "{}", line);
            for text in seen {
                for part in text.split(MARK) {
                    prop_assert!(!texts.iter().any(|needle| part.contains(needle.as_str())), "{:?} in {}", texts, line);
                }
            }
        }
    }
}
