//! The YAML block at the head of an agent, skill, command, rule or output style.
//!
//! Stricter than the CLI on purpose: CLI 2.1.330 repairs some broken YAML and then obeys what it finds
//! (checked: `description: a: b` followed by `hooks:` runs the hooks), so here broken is an error.
//! The fences are what that version takes for fences: `---` at the very start (after a byte order mark)
//! and `---` alone on a line, each with blanks after it at most. That version ends the block at the first further
//! `---` wherever it stands, also within a value (checked: of `description: a---b` and `tools: Read` below it, the
//! `tools` are lost and the agent has every tool), so a `---` within the block is an error too.

use serde_norway::{Mapping, Value};

/// The longest block that is read.
const MAX_YAML: usize = 64 * 1024;
/// The deepest nesting of brackets. The YAML parser's time grows with its square, and recursion has an end.
const MAX_DEPTH: usize = 64;
/// The longest text of the YAML parser that is passed on.
const MAX_MESSAGE: usize = 160;
/// The longest key that is passed on, in characters.
const MAX_KEY: usize = 60;

/// A text cut into its frontmatter and its body.
#[derive(Debug)]
pub struct Document<'a> {
    /// The block's keys and values; empty when the text has no block.
    pub frontmatter: Mapping,
    /// The block's source, without the fences; its first line is line 2 of the file.
    pub yaml: &'a str,
    /// What follows the block.
    pub body: &'a str,
    /// The line, from 1, that the body begins on.
    pub body_line: u32,
}

/// Why a text has no usable frontmatter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrontmatterError {
    /// A fence that is not at the very start, is indented, or has further characters.
    #[error("line {line}: the opening `---` must be the first line, alone and not indented")]
    Misplaced {
        /// Where that fence is.
        line: u32,
    },
    /// No closing fence.
    #[error("line {line}: the frontmatter that begins here has no closing `---`")]
    NotClosed {
        /// Where the block opens.
        line: u32,
    },
    /// More than 64 KiB.
    #[error("line {line}: the frontmatter is longer than 64 KiB")]
    TooLong {
        /// Where the block opens.
        line: u32,
    },
    /// Three dashes that are no fence of their own.
    #[error("line {line}: `---` within the frontmatter, which would end it there; write it in other words")]
    Fence {
        /// The line it is in.
        line: u32,
    },
    /// Brackets within brackets within brackets.
    #[error("line {line}: the frontmatter is nested deeper than {MAX_DEPTH} levels")]
    TooDeep {
        /// The line of the bracket that is too many.
        line: u32,
    },
    /// A line break that YAML parsers read differently.
    #[error("line {line}: a line break other than LF or CRLF")]
    LineBreak {
        /// The line it is in.
        line: u32,
    },
    /// Anchors with aliases: a few bytes of them expand to gigabytes.
    #[error("line {line}: YAML anchors and aliases are not accepted")]
    Alias {
        /// Where the block opens.
        line: u32,
    },
    /// Not YAML.
    #[error("line {line}: not valid YAML: {message}")]
    Yaml {
        /// Where the parser stopped.
        line: u32,
        /// What the parser says.
        message: String,
    },
    /// A key that is read differently by different readers.
    #[error("line {line}: `{key}` cannot be a key: use letters, digits, `-` and `_`")]
    Key {
        /// Its line.
        line: u32,
        /// The key.
        key: String,
    },
    /// YAML, but not keys with values.
    #[error("line {line}: the frontmatter is not a list of keys and values")]
    NotAMapping {
        /// Where the block opens.
        line: u32,
    },
}

impl FrontmatterError {
    /// The line of the file, from 1.
    pub fn line(&self) -> u32 {
        match self {
            Self::Misplaced { line }
            | Self::NotClosed { line }
            | Self::TooLong { line }
            | Self::Fence { line }
            | Self::TooDeep { line }
            | Self::LineBreak { line }
            | Self::Alias { line }
            | Self::Yaml { line, .. }
            | Self::Key { line, .. }
            | Self::NotAMapping { line } => *line,
        }
    }
}

/// Cuts `text` into frontmatter and body; a text without a block has an empty mapping.
pub fn parse(text: &str) -> Result<Document<'_>, FrontmatterError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let Some(rest) = after_fence(text) else {
        return without_block(text);
    };
    let (yaml, body, body_line) = split_at_closing(rest).ok_or(FrontmatterError::NotClosed { line: 1 })?;
    refuse_oddities(yaml)?;
    Ok(Document { frontmatter: mapping(yaml)?, yaml, body, body_line })
}

/// The text after an opening fence, if it starts with one.
fn after_fence(text: &str) -> Option<&str> {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    is_fence(first).then_some(rest)
}

fn is_fence(line: &str) -> bool {
    line.trim_end_matches([' ', '\t', '\r']) == "---"
}

/// No block, unless something looks so much like one that another parser may take it for one.
fn without_block(text: &str) -> Result<Document<'_>, FrontmatterError> {
    let head = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    if head.starts_with("---") {
        let line = line_at(text, text.len() - head.len());
        return Err(FrontmatterError::Misplaced { line });
    }
    Ok(Document { frontmatter: Mapping::new(), yaml: "", body: text, body_line: 1 })
}

fn split_at_closing(rest: &str) -> Option<(&str, &str, u32)> {
    let mut at = 0;
    for (index, line) in rest.split_inclusive('\n').enumerate() {
        let end = at + line.len();
        if is_fence(line.trim_end_matches('\n')) {
            // Line 1 is the opening fence, so the line with this index is line `index + 2`.
            return Some((&rest[..at], &rest[end..], number(index + 3)));
        }
        at = end;
    }
    None
}

fn refuse_oddities(yaml: &str) -> Result<(), FrontmatterError> {
    if yaml.len() > MAX_YAML {
        return Err(FrontmatterError::TooLong { line: 1 });
    }
    if let Some(at) = yaml.find("---") {
        return Err(FrontmatterError::Fence { line: line_at(yaml, at) + 1 });
    }
    if let Some(at) = too_deep(yaml) {
        return Err(FrontmatterError::TooDeep { line: line_at(yaml, at) + 1 });
    }
    let lone_cr = yaml.bytes().zip(yaml.bytes().skip(1)).position(|(a, b)| a == b'\r' && b != b'\n');
    if let Some(at) = lone_cr.or_else(|| yaml.find(['\u{85}', '\u{2028}', '\u{2029}'])) {
        return Err(FrontmatterError::LineBreak { line: line_at(yaml, at) + 1 });
    }
    if has_sigil(yaml, '&') && has_sigil(yaml, '*') {
        return Err(FrontmatterError::Alias { line: 1 });
    }
    Ok(())
}

/// Where more brackets are open than may be. Those in quotes count as well, which no honest text notices.
fn too_deep(yaml: &str) -> Option<usize> {
    let mut depth = 0_usize;
    yaml.bytes().position(|byte| {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > MAX_DEPTH
    })
}

/// Whether `sigil` stands where YAML could read an anchor or an alias: before a name, after a break.
fn has_sigil(yaml: &str, sigil: char) -> bool {
    let mut before = '\n';
    let mut chars = yaml.chars().peekable();
    while let Some(c) = chars.next() {
        let opens = before.is_whitespace() || "[]{},:-?\"'".contains(before);
        if c == sigil && opens && chars.peek().is_some_and(|next| next.is_alphanumeric() || *next == '_') {
            return true;
        }
        before = c;
    }
    false
}

fn mapping(yaml: &str) -> Result<Mapping, FrontmatterError> {
    match serde_norway::from_str::<Value>(yaml) {
        Ok(Value::Mapping(mapping)) => match mapping.keys().filter_map(Value::as_str).find(|key| !is_plain(key)) {
            None => Ok(mapping),
            Some(key) => Err(FrontmatterError::Key { line: line_of(yaml, key).unwrap_or(1), key: shown(key) }),
        },
        Ok(Value::Null) => Ok(Mapping::new()),
        Ok(_) => Err(FrontmatterError::NotAMapping { line: 1 }),
        Err(error) => Err(FrontmatterError::Yaml {
            // The parser may notice only at the end, which is the closing fence.
            line: number(error.location().map_or(1, |place| place.line()).min(yaml.lines().count()) + 1),
            message: without_place(&error.to_string()),
        }),
    }
}

/// A key that no reader could take for another one: blanks of other alphabets, or a name that JavaScript gives a meaning.
fn is_plain(key: &str) -> bool {
    let plain = |c: char| c.is_ascii_graphic() || c == ' ';
    key.chars().all(plain) && !matches!(key, "__proto__" | "constructor" | "prototype")
}

fn shown(key: &str) -> String {
    key.escape_debug().take(MAX_KEY).collect()
}

/// The parser's text without its places, which count from the block's begin and not from the file's.
fn without_place(message: &str) -> String {
    let what = message.split(" at line ").next().unwrap_or_default();
    what.chars().filter(|c| !c.is_control()).take(MAX_MESSAGE).collect()
}

/// The line of the file on which the block's source has `key:`, at whatever depth.
pub fn line_of(yaml: &str, key: &str) -> Option<u32> {
    let spelled = |line: &str| {
        let start = line.trim_start_matches(|c: char| c.is_whitespace() || "\"'{,-?".contains(c));
        let rest = start.strip_prefix(key).map(|rest| rest.trim_start_matches(['"', '\'', ' ', '\t']));
        rest.is_some_and(|rest| rest.starts_with(':'))
    };
    yaml.lines().position(spelled).map(|index| number(index + 2))
}

/// The line, from 1, of a byte offset.
fn line_at(text: &str, offset: usize) -> u32 {
    number(text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1)
}

fn number(line: usize) -> u32 {
    u32::try_from(line).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_cut_in_two() {
        let document = parse("---\nname: reviewer\nmaxTurns: 3\n---\nYou review.\n").unwrap();
        assert_eq!(document.frontmatter.get("name").unwrap().as_str(), Some("reviewer"));
        assert_eq!((document.body, document.body_line), ("You review.\n", 5));
    }

    #[test]
    fn a_byte_order_mark_crlf_and_blanks_after_the_fence_are_tolerated() {
        let document = parse("\u{feff}---  \r\nname: a\r\n---\t\r\nbody").unwrap();
        assert_eq!(document.frontmatter.get("name").unwrap().as_str(), Some("a"));
        assert_eq!((document.body, document.body_line), ("body", 4));
    }

    #[test]
    fn no_block_and_an_empty_block_are_empty_mappings() {
        assert!(parse("just text\n---\nmore").unwrap().frontmatter.is_empty());
        assert!(parse("").unwrap().frontmatter.is_empty());
        let empty = parse("---\n---\nbody").unwrap();
        assert_eq!((empty.frontmatter.len(), empty.body, empty.body_line), (0, "body", 3));
    }

    #[test]
    fn errors_name_the_line() {
        let bad = parse("---\nname: a\ndescription: a: b\n---\n").unwrap_err();
        assert!(matches!(bad, FrontmatterError::Yaml { line: 3, .. }), "{bad:?}");
        let cases = [
            ("\n\n---\nname: a\n---\n", FrontmatterError::Misplaced { line: 3 }),
            ("  ---\nname: a\n---\n", FrontmatterError::Misplaced { line: 1 }),
            ("----\nname: a\n----\n", FrontmatterError::Misplaced { line: 1 }),
            ("---\nname: a\n", FrontmatterError::NotClosed { line: 1 }),
            ("---\n# c\u{2028}hooks: {}\n---\n", FrontmatterError::LineBreak { line: 2 }),
            ("---\n# c\rhooks: {}\n---\n", FrontmatterError::LineBreak { line: 2 }),
            ("---\na: &x [1]\nb: [*x, *x]\n---\n", FrontmatterError::Alias { line: 1 }),
            ("---\n- a\n- b\n---\n", FrontmatterError::NotAMapping { line: 1 }),
            ("---\na: b\n__proto__: {}\n---\n", FrontmatterError::Key { line: 3, key: "__proto__".into() }),
            ("---\n\u{a0}hooks: {}\n---\n", FrontmatterError::Key { line: 1, key: "\\u{a0}hooks".into() }),
            ("---\nname: a\ndescription: a---b\n---\n", FrontmatterError::Fence { line: 3 }),
            ("---\n# -----\nname: a\n---\n", FrontmatterError::Fence { line: 2 }),
        ];
        for (text, error) in cases {
            assert_eq!(parse(text).unwrap_err(), error, "{text:?}");
        }
        let long = format!("---\na: {}\n---\n", "x".repeat(MAX_YAML));
        assert_eq!(parse(&long).unwrap_err().line(), 1);
        let deep = format!("---\na: b\nc: {}\n---\n", "[".repeat(30_000));
        assert_eq!(parse(&deep).unwrap_err(), FrontmatterError::TooDeep { line: 3 });
        let dashes = format!("---\na: {}\n---\n", "- ".repeat(30_000));
        assert!(matches!(parse(&dashes), Err(FrontmatterError::Yaml { .. })));
    }

    #[test]
    fn a_key_given_twice_is_an_error() {
        assert_eq!(parse("---\nname: a\nname: b\n---\n").unwrap_err().line(), 2);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "(\u{feff})?(---)?[\\s\\S]{0,200}(\n---\n)?[\\s\\S]{0,50}") {
            let _ = parse(&text);
        }
    }
}
