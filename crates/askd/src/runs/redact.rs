//! Replaces the values of known credentials in what the CLI says.
//!
//! What leaves askd is replaced ([`super::log`] has the list of the ways), and nothing else: askd itself judges what the CLI
//! has said by its own words. A request chooses values of its own, and `completed` may be one of them.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use claude::notice::CUT;
use memchr::memmem;
use secrecy::{ExposeSecret, SecretString};

use self::finder::Finder;
use super::{Finished, Flaw, RunError};

mod deltas;
mod finder;
mod json;

pub use deltas::DeltaRedactor;

/// What stands in place of a credential.
const MARK: &str = "[redacted]";

/// A shorter value, in bytes, would be found in ordinary text, and is no credential.
const SHORTEST: usize = 8;

/// So many spellings are looked for one by one.
const FEW: usize = 16;

/// The values to replace.
pub struct Redactor {
    finder: Finder,
    count: usize,
    /// Where there are few, the spellings that a line of JSON usually has for them: ten times as fast to look for.
    usual: Vec<memmem::Finder<'static>>,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Redactor").field("values", &self.count).finish_non_exhaustive()
    }
}

/// What values come to that are to be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Of values of several lines each line is one. The same twice counts once.
    pub lines: usize,
    /// All lines together.
    pub bytes: usize,
}

impl Size {
    /// That of these values.
    pub fn of<'a>(values: impl IntoIterator<Item = &'a SecretString>) -> Self {
        let lines: BTreeSet<&str> = values.into_iter().flat_map(|value| lines(value.expose_secret())).collect();
        Self { lines: lines.len(), bytes: lines.iter().map(|line| line.len()).sum() }
    }
}

/// The lines of a value that are replaced: those that are long enough to tell from text.
fn lines(value: &str) -> impl Iterator<Item = &str> {
    value.lines().map(str::trim).filter(|line| line.len() >= SHORTEST)
}

impl Redactor {
    /// Credentials that are too short to tell from text are left out. Takes a while for large ones: milliseconds.
    pub fn new(values: impl IntoIterator<Item = SecretString>) -> Self {
        let mut spellings = BTreeSet::new();
        for value in values {
            // Of several lines, as of ANTHROPIC_CUSTOM_HEADERS, each is one secret: `name: value`.
            for line in lines(value.expose_secret()) {
                let secret = line.split_once(": ").map_or(line, |(_, secret)| secret).trim();
                // The whole, too: it may be a text with a colon in it, whose second part is a short one.
                for text in [secret, line].into_iter().filter(|text| text.len() >= SHORTEST) {
                    // JSON may stand in a text, also in one that stands in JSON itself.
                    spellings.extend(in_json(text));
                    spellings.insert(text.to_owned());
                }
            }
        }
        let (finder, count) = (Finder::new(&spellings), spellings.len());
        if count <= FEW {
            let in_json: Vec<_> = spellings.iter().map(|spelling| escaped(spelling)).collect();
            spellings.extend(in_json);
        } else {
            spellings.clear();
        }
        Self { finder, count, usual: spellings.iter().map(|text| memmem::Finder::new(text).into_owned()).collect() }
    }

    /// What is quickly seen of most lines.
    fn holds_none(&self, line: &str) -> bool {
        if self.usual.is_empty() {
            return self.count == 0 || (!line.contains('\\') && self.finder.find(line).is_empty());
        }
        // These two can spell a character that needs no escape.
        !self.usual.iter().any(|text| text.find(line.as_bytes()).is_some())
            && !(line.contains('\\') && (line.contains("\\u") || line.contains("\\/")))
    }

    /// A line of JSON as it may be told.
    fn line(&self, line: &str) -> String {
        self.json(line).unwrap_or_else(|| line.to_owned())
    }

    /// A line of JSON, if it has to be another one. It is then JSON of the same form.
    pub fn json(&self, line: &str) -> Option<String> {
        if self.holds_none(line) {
            return None;
        }
        json::redact(line, &self.finder)
    }

    /// A text.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.finder.find(text) {
            places if places.is_empty() => text.into(),
            places => replaced(text, &places).into(),
        }
    }

    /// How many bytes of a text, of which more is to come, are replaced alike whatever comes.
    fn settled(&self, text: &str) -> usize {
        self.finder.settled(text)
    }

    /// A text that askd has put together of what the CLI has said: also the beginning of a credential that was cut off there.
    pub fn telling(&self, text: &str) -> String {
        let text = self.text(text);
        replaced(&text, &self.finder.find_cut(&text, CUT, SHORTEST))
    }

    /// The end of a run.
    pub fn end(&self, end: Finished) -> Finished {
        let Finished { state, error } = end;
        let error =
            error.map(|RunError { kind, message, upstream_status, terminal_reason, hint, retry_at, details }| {
                let flaw = |Flaw { path, message }| Flaw { path: self.telling(&path), message: self.telling(&message) };
                RunError {
                    kind,
                    message: self.telling(&message),
                    upstream_status,
                    terminal_reason: terminal_reason.map(|reason| self.telling(&reason)),
                    hint: hint.map(|hint| self.telling(&hint)),
                    retry_at,
                    details: details.into_iter().map(flaw).collect(),
                }
            });
        Finished { state, error }
    }
}

/// The text with the mark at each of the places, which are in order.
fn replaced(text: &str, places: &[Range<usize>]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for place in places {
        out.push_str(&text[from..place.start]);
        out.push_str(MARK);
        from = place.end;
    }
    out + &text[from..]
}

/// As it can stand in a JSON string: as most programs write it, with `\/` as some do, with nothing but ASCII, and with what
/// HTML would take for its own as `\u0026`.
fn in_json(secret: &str) -> [String; 4] {
    let usual = escaped(secret);
    let as_numbers = |is_number: fn(char) -> bool| {
        let mut units = [0; 2];
        let mut spell = |char: char| match char {
            char if is_number(char) => {
                char.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect::<Vec<_>>().concat()
            }
            char => char.to_string(),
        };
        usual.chars().map(&mut spell).collect::<String>()
    };
    let (ascii, html) = (as_numbers(|char| !char.is_ascii()), as_numbers(|char| "<>&".contains(char)));
    [usual.replace('/', "\\/"), ascii, html, usual]
}

/// As it stands in a JSON string.
fn escaped(secret: &str) -> String {
    let quoted = serde_json::Value::from(secret).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::{RunErrorKind, RunState};

    fn of(values: &[&str]) -> Redactor {
        Redactor::new(values.iter().map(|value| SecretString::from((*value).to_owned())))
    }

    #[test]
    fn credentials_are_replaced_and_the_rest_is_untouched() {
        let redactor = of(&["sk-ant-secret", "short"]);
        assert_eq!(redactor.text("key=sk-ant-secret, sk-ant-secret"), "key=[redacted], [redacted]");
        assert_eq!(redactor.text("a short text"), "a short text");
        assert_eq!(redactor.json(r#"{"a":"a short text\n"}"#), None);
        assert!(!format!("{redactor:?}").contains("sk-ant"));
    }

    #[test]
    fn every_spelling_of_a_credential_is_known() {
        let redactor = of(&["pass\"word\\1", "x-one: first-value\nx-two: second-value"]);
        assert_eq!(redactor.json(r#"{"a":"pass\"word\\1"}"#).unwrap(), r#"{"a":"[redacted]"}"#);
        assert_eq!(redactor.text(r#"{"a":"pass\"word\\1"}"#), r#"{"a":"[redacted]"}"#);
        // A text that is JSON, in JSON.
        assert_eq!(redactor.json(r#"{"a":"[\"pass\\\"word\\\\1\"]"}"#).unwrap(), r#"{"a":"[\"[redacted]\"]"}"#);
        assert_eq!(redactor.text("first-value second-value x-one"), "[redacted] [redacted] x-one");
        assert_eq!(of(&["what to say: hush"]).text("I was told what to say: hush"), "I was told [redacted]");
    }

    #[test]
    fn of_credentials_that_overlap_nothing_is_left() {
        let redactor = of(&["one-and-two", "two-and-three", "two-and"]);
        assert_eq!(redactor.text("one-and-two-and-three"), "[redacted]");
    }

    #[test]
    fn an_end_has_none_in_any_of_its_texts() {
        let secret = "sesame-sesame";
        let error = RunError {
            hint: Some(format!("without {secret}")),
            terminal_reason: Some(secret.to_owned()),
            details: vec![Flaw { path: format!("/{secret}"), message: format!("{secret} is none, sesame-se…") }],
            ..RunError::new(RunErrorKind::Schema, format!("{secret}, sesame-ses…"))
        };
        let end = of(&[secret]).end(Finished { state: RunState::Incomplete, error: Some(error) });
        let told = end.to_json();
        assert!(!told.contains("sesame"), "{told}");
        assert_eq!(end.error.unwrap().message, "[redacted], [redacted]…");
    }

    #[test]
    fn values_are_counted_by_what_is_looked_for() {
        let values = ["eight888", "eight888", "short", "line one\n\n  line two  \nx"].map(|it| it.to_owned().into());
        assert_eq!(Size::of(&values), Size { lines: 3, bytes: 24 });
    }
}
