//! Where something that was opened in a word ends. Each letter is looked at once.

/// Things within each other. A person stops at three.
const MAX_DEPTH: usize = 30;

/// What is looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    /// Nothing: the whole text of a command.
    Text,
    /// `$(`
    Command,
    /// `${`; `quoted`: between double quotes, where a single quote is text.
    Brace { quoted: bool },
    /// `$[` and indices.
    Bracket,
    /// `"`
    Quotes,
}

/// Whether all that is opened in a command is closed, and here-documents have a name and an end.
pub(super) fn is_closed(text: &str) -> bool {
    end(text.as_bytes(), 0, Open::Text, 0).is_some()
}

/// Where the `)` of a `$(` stands whose script begins at `from`.
pub(super) fn command(text: &str, from: usize) -> Option<usize> {
    end(text.as_bytes(), from, Open::Command, 0)
}

/// Where the `}` of a `${` stands.
pub(super) fn braced(text: &str, from: usize, quoted: bool) -> Option<usize> {
    end(text.as_bytes(), from, Open::Brace { quoted }, 0)
}

/// Where the `]` of a `[` stands.
pub(super) fn bracketed(text: &str, from: usize) -> Option<usize> {
    end(text.as_bytes(), from, Open::Bracket, 0)
}

/// Where the closing backquote stands.
pub(super) fn backquoted(text: &str, from: usize) -> Option<usize> {
    backquote(text.as_bytes(), from)
}

/// Where the next thing begins after the one at `at`, be it quoted, an expansion or one byte.
pub(super) fn next(text: &str, at: usize) -> Option<usize> {
    step(text.as_bytes(), at, Open::Bracket, 0)
}

fn backquote(text: &[u8], mut at: usize) -> Option<usize> {
    while *text.get(at)? != b'`' {
        at += if text[at] == b'\\' { 2 } else { 1 };
    }
    Some(at)
}

fn end(text: &[u8], from: usize, open: Open, depth: usize) -> Option<usize> {
    if depth > MAX_DEPTH {
        return None;
    }
    let (opener, closer) = match open {
        Open::Text | Open::Command => (Some(b'('), b')'),
        Open::Brace { .. } => (None, b'}'),
        Open::Bracket => (Some(b'['), b']'),
        Open::Quotes => (None, b'"'),
    };
    let is_script = matches!(open, Open::Text | Open::Command);
    let mut nested = 0_usize;
    // How deep a calculation began, in which `<<` and `#` mean something else.
    let mut calculation = (open == Open::Command && text.get(from) == Some(&b'(')).then_some(0);
    let mut documents = Vec::new();
    let mut at = from;
    loop {
        let byte = match text.get(at) {
            Some(byte) => *byte,
            None => return (open == Open::Text && documents.is_empty()).then_some(at),
        };
        if byte == closer {
            if nested == 0 && open != Open::Text {
                return Some(at);
            }
            nested = nested.saturating_sub(1);
            calculation = calculation.filter(|began| *began < nested);
            at += 1;
        } else if Some(byte) == opener {
            if is_script && text.get(at + 1) == Some(&b'(') {
                calculation = calculation.or(Some(nested));
            }
            nested += 1;
            at += 1;
        } else if is_script
            && calculation.is_none()
            && byte == b'#'
            && is_blank(at.checked_sub(1).and_then(|at| text.get(at)))
        {
            at += text[at..].iter().position(|byte| *byte == b'\n').unwrap_or(text.len() - at);
        } else if is_script && calculation.is_none() && text[at..].starts_with(b"<<") {
            let (tag, after) = document(text, at)?;
            documents.extend(tag);
            at = after;
        } else if byte == b'\n' && !documents.is_empty() {
            at = bodies(text, at + 1, &documents)?;
            documents.clear();
        } else {
            at = step(text, at, open, depth)?;
        }
    }
}

fn is_blank(byte: Option<&u8>) -> bool {
    byte.is_none_or(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b';' | b'&' | b'|' | b'('))
}

fn step(text: &[u8], at: usize, open: Open, depth: usize) -> Option<usize> {
    let has_quotes = !matches!(open, Open::Quotes | Open::Brace { quoted: true });
    match (text.get(at)?, text.get(at + 1)) {
        (b'\\', _) => Some((at + 2).min(text.len())),
        (b'\'', _) if has_quotes => Some(at + 2 + text[at + 1..].iter().position(|byte| *byte == b'\'')?),
        (b'$', Some(b'\'')) if has_quotes => {
            let mut end = at + 2;
            while *text.get(end)? != b'\'' {
                end += if text[end] == b'\\' { 2 } else { 1 };
            }
            Some(end + 1)
        }
        (b'"', _) if open != Open::Quotes => Some(end(text, at + 1, Open::Quotes, depth + 1)? + 1),
        (b'`', _) => Some(backquote(text, at + 1)? + 1),
        (b'$', Some(b'(')) => Some(end(text, at + 2, Open::Command, depth + 1)? + 1),
        (b'$', Some(b'{')) => Some(end(text, at + 2, Open::Brace { quoted: !has_quotes }, depth + 1)? + 1),
        (b'$', Some(b'[')) => Some(end(text, at + 2, Open::Bracket, depth + 1)? + 1),
        _ => Some(at + 1),
    }
}

/// The name of a here-document whose `<<` stands at `at`, and where the text goes on; `None` if it has none.
fn document(text: &[u8], at: usize) -> Option<(Option<Vec<u8>>, usize)> {
    let mut from = at + 2;
    if text.get(from) == Some(&b'<') {
        return Some((None, from + 1));
    }
    while matches!(text.get(from), Some(b'-' | b' ' | b'\t')) {
        from += 1;
    }
    let is_end =
        |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'<' | b'>' | b'|' | b'&' | b';' | b'(' | b')');
    let length = text[from..].iter().position(is_end).unwrap_or(text.len() - from);
    let tag = text[from..from + length].iter().copied().filter(|byte| !matches!(byte, b'\'' | b'"' | b'\\'));
    let tag: Vec<u8> = tag.collect();
    (!tag.is_empty()).then_some((Some(tag), from + length))
}

/// Where the text goes on after the bodies of here-documents, the first of which begins at `at`.
fn bodies(text: &[u8], mut at: usize, tags: &[Vec<u8>]) -> Option<usize> {
    for tag in tags {
        loop {
            let rest = text.get(at..).filter(|rest| !rest.is_empty())?;
            let length = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            at = (at + length + 1).min(text.len());
            if rest[..length].trim_ascii_start() == tag {
                break;
            }
        }
    }
    Some(at)
}
