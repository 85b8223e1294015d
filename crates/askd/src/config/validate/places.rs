//! Where in a YAML block each value stands.
//!
//! The values come from the parser that decides (`frontmatter`); this second one only says lines, and how a scalar was
//! written. Where the two disagree, the line of the block is told instead.

use std::fmt::Write as _;

use saphyr_parser::{Event, Parser, ScalarStyle};

/// The first line of a block in its file: line 1 is the fence.
const FIRST_LINE: usize = 2;
/// Values that are looked at. 64 KiB of YAML can hold some ten thousand.
const MAX_VALUES: usize = 40_000;

/// A block's values, by their paths. A list and not a tree: nothing here recurses.
#[derive(Debug, Default)]
pub(super) struct Places {
    values: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    /// The index of the mapping or list that it is in.
    parent: Option<usize>,
    /// As it is shown after its parent: a key, or `[2]`.
    step: String,
    line: u32,
    /// A scalar without quotes, as it was written.
    plain: Option<String>,
}

/// A mapping or a list that is open.
struct Open {
    index: Option<usize>,
    /// Items so far; `None` in a mapping.
    items: Option<usize>,
    /// The key whose value comes next, in a mapping.
    key: Option<(String, u32)>,
    /// How many mappings or lists are open within a key, which nobody writes.
    in_key: bool,
}

impl Places {
    /// Of a block's source.
    pub(super) fn of(yaml: &str) -> Self {
        let mut places = Self::default();
        let mut open: Vec<Open> = Vec::new();
        let mut parser = Parser::new_from_str(yaml);
        while let Some(Ok((event, span))) = parser.next_event() {
            if places.values.len() >= MAX_VALUES {
                break;
            }
            let line = u32::try_from(span.start.line() + FIRST_LINE - 1).unwrap_or(u32::MAX);
            match event {
                Event::Scalar(text, style, ..) => places.scalar(&mut open, &text, style, line),
                Event::Alias(_) => places.scalar(&mut open, "", ScalarStyle::SingleQuoted, line),
                Event::MappingStart(..) => places.opened(&mut open, None, line),
                Event::SequenceStart(..) => places.opened(&mut open, Some(0), line),
                Event::MappingEnd | Event::SequenceEnd => {
                    if let Some(closed) = open.pop()
                        && closed.in_key
                        && let Some(around) = open.last_mut()
                    {
                        around.key = Some((String::new(), line));
                    }
                }
                Event::StreamEnd | Event::DocumentEnd => break,
                _ => {}
            }
        }
        places
    }

    fn scalar(&mut self, open: &mut [Open], text: &str, style: ScalarStyle, line: u32) {
        let Some(around) = open.last_mut() else { return };
        if around.items.is_none() && around.key.is_none() {
            around.key = Some((text.to_owned(), line));
            return;
        }
        let plain = (style == ScalarStyle::Plain).then(|| text.to_owned());
        self.add(around, line, plain);
    }

    fn opened(&mut self, open: &mut Vec<Open>, items: Option<usize>, line: u32) {
        let mut in_key = false;
        let index = match open.last_mut() {
            None => None,
            Some(around) if around.items.is_none() && around.key.is_none() => {
                in_key = true;
                None
            }
            Some(around) => Some(self.add(around, line, None)),
        };
        open.push(Open { index, items, key: None, in_key });
    }

    /// A value of the mapping or list around it.
    fn add(&mut self, around: &mut Open, line: u32, plain: Option<String>) -> usize {
        let (step, line) = match (&mut around.items, around.key.take()) {
            (Some(items), _) => {
                *items += 1;
                (format!("[{}]", *items - 1), line)
            }
            // The key's own line: that of a nested value is further down.
            (None, Some((key, line))) => (key, line),
            (None, None) => (String::new(), line),
        };
        self.values.push(Place { parent: around.index, step, line, plain });
        self.values.len() - 1
    }

    /// The line of a field such as `hooks.Stop[0].matcher`; that of the innermost part that is there.
    pub(super) fn line(&self, field: &str) -> Option<u32> {
        self.find(field).map(|(place, _)| place.line)
    }

    /// What was written for a field, if that is a scalar without quotes.
    pub(super) fn plain(&self, field: &str) -> Option<&str> {
        let (place, is_whole) = self.find(field)?;
        place.plain.as_deref().filter(|_| is_whole)
    }

    /// The innermost part of the field that is there, and whether that is all of it.
    fn find(&self, field: &str) -> Option<(&Place, bool)> {
        let (mut parent, mut rest) = (None, field);
        let mut found = None;
        while !rest.is_empty() {
            let inner = self.values.iter().enumerate().find_map(|(index, place)| {
                if place.parent != parent || place.step.is_empty() {
                    return None;
                }
                let after = rest.strip_prefix(place.step.as_str())?;
                let ends = after.is_empty() || after.starts_with(['.', '[']);
                ends.then(|| (index, place, after.strip_prefix('.').unwrap_or(after)))
            });
            let Some((index, place, after)) = inner else { break };
            (parent, rest, found) = (Some(index), after, Some(place));
        }
        Some((found?, rest.is_empty()))
    }
}

/// A field's name with an item's number.
pub(super) fn item(field: &str, index: usize) -> String {
    let mut text = field.to_owned();
    // Writing to a string cannot fail.
    let _ = write!(text, "[{index}]");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_the_line_it_stands_on() {
        let yaml = "name: 017\n\"description\": |\n  name: x\nhooks:\n  Stop:\n    - matcher: a\n      hooks:\n        - {type: command,\n           command: \"x\"}\n? [a, b]\n: c\ntools: [Read,\n  'Bash']\n";
        let places = Places::of(yaml);
        for (field, line) in [
            ("name", 2),
            ("description", 3),
            ("hooks.Stop", 6),
            ("hooks.Stop[0].matcher", 7),
            ("hooks.Stop[0].hooks[0].command", 10),
            ("hooks.Stop[0].hooks[0].nothing", 9),
            ("tools", 13),
            ("tools[1]", 14),
        ] {
            assert_eq!(places.line(field), Some(line), "{field}");
        }
        assert_eq!(places.line("nothing"), None);
        assert_eq!(places.plain("name"), Some("017"));
        assert_eq!(places.plain("tools[0]"), Some("Read"));
        assert_eq!(places.plain("tools[1]"), None);
        assert_eq!(places.plain("hooks.Stop[0].nothing"), None);
    }
}
