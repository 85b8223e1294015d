//! A word of a command, taken apart: text, quotes and expansions. By hand and in one pass: the grammar of brush-parser
//! tries forms of a word again and again, so that its time grows exponentially with some nesting, and keeps words.

use super::scan::{backquoted, braced, bracketed, command};
use super::word::decode;

/// A part of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// As it stands there; `*` and `?` in it are patterns.
    Plain(String),
    /// Text with its quoting taken off.
    Quoted(String),
    /// What stands between double quotes.
    Double(Vec<Piece>),
    /// What follows a `~` at the beginning.
    Tilde(String),
    /// `$x` and `${…}`.
    Value(Value),
    /// `$(…)` and backquotes.
    Script(String),
    /// `$((…))` and `$[…]`.
    Arithmetic(String),
}

/// An expansion of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// `$x`, `${x}`.
    Of(Variable),
    /// `${x:?…}`.
    Filled(Variable),
    /// `${x:-…}`, or `${x:=…}`, which sets it as well.
    Default { variable: Variable, word: String, is_set: bool },
    /// `${x:+…}`.
    Instead(String),
    /// `${#x}`.
    Length,
    /// What comes of it is not known; this stands between the braces.
    Other(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Variable {
    Named(String),
    /// `${x[@]}`.
    All(String),
    /// `${x[1]}`.
    Element(String),
    /// `$@` and `$*`.
    Arguments,
    /// `$1`, `$0`, `$-`.
    Argument,
    /// `$?`, `$#`, `$$`, `$!`.
    Number,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Word,
    Quotes,
    /// A here-document, in which quotes are text.
    Document,
}

/// The parts of a word; `None` when something in it is not closed, or too much is nested.
pub(super) fn pieces(word: &str) -> Option<Vec<Piece>> {
    let mut reader = Reader { text: word, at: 0 };
    let mut pieces = Vec::new();
    pieces.extend(reader.tilde());
    reader.read(Within::Word, &mut pieces)?;
    Some(pieces)
}

/// The parts of a here-document in which variables are replaced.
pub(super) fn pieces_of_document(text: &str) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    Reader { text, at: 0 }.read(Within::Document, &mut pieces)?;
    Some(pieces)
}

/// Something is not closed, or too much is nested.
struct Unclosed;

type Special = Result<Option<Piece>, Unclosed>;

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    /// What lies between here and `end`, where a delimiter of one byte stands that is passed.
    fn take(&mut self, end: usize) -> Option<&'a str> {
        let inner = self.text.get(self.at..end)?;
        self.at = end + 1;
        Some(inner)
    }

    fn tilde(&mut self) -> Option<Piece> {
        let rest = self.text.strip_prefix('~')?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+');
        let name = &rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())];
        if !matches!(rest.as_bytes().get(name.len()), None | Some(b'/' | b':' | b';' | b'}')) {
            return None;
        }
        self.at = 1 + name.len();
        Some(Piece::Tilde(name.to_owned()))
    }

    /// To the end of the text, or to the closing quote.
    fn read(&mut self, within: Within, pieces: &mut Vec<Piece>) -> Option<()> {
        let plain = |text: &str| {
            let text = text.to_owned();
            if within == Within::Word { Piece::Plain(text) } else { Piece::Quoted(text) }
        };
        let mut start = self.at;
        while let Some(byte) = self.peek(0) {
            let is_word = within == Within::Word;
            let is_special = match byte {
                b'$' | b'\\' | b'`' => true,
                b'"' => within != Within::Document,
                b'\'' => is_word,
                _ => false,
            };
            if !is_special {
                self.at += 1;
                continue;
            }
            if start < self.at {
                pieces.push(plain(&self.text[start..self.at]));
            }
            if byte == b'"' && within == Within::Quotes {
                self.at += 1;
                return Some(());
            }
            let before = self.at;
            match self.special(byte, within).ok()? {
                Some(piece) => pieces.push(piece),
                None if self.at == before => {
                    // A `$` or backslash that means itself.
                    pieces.push(Piece::Quoted((byte as char).to_string()));
                    self.at += 1;
                }
                None => {}
            }
            start = self.at;
        }
        if start < self.at {
            pieces.push(plain(&self.text[start..self.at]));
        }
        (within != Within::Quotes).then_some(())
    }

    /// What begins with this byte: `Ok(None)` for nothing (a line that goes on), or for a byte that means itself, and
    /// then it is still to be read.
    fn special(&mut self, byte: u8, within: Within) -> Special {
        match byte {
            b'\\' => Ok(self.escape(within)),
            b'\'' => {
                self.at += 1;
                let end = self.at + self.text[self.at..].find('\'').ok_or(Unclosed)?;
                Ok(Some(Piece::Quoted(self.take(end).ok_or(Unclosed)?.to_owned())))
            }
            b'"' => {
                self.at += 1;
                self.double()
            }
            b'`' => {
                self.at += 1;
                let end = backquoted(self.text, self.at).ok_or(Unclosed)?;
                let script =
                    self.take(end).ok_or(Unclosed)?.replace("\\`", "`").replace("\\$", "$").replace("\\\\", "\\");
                Ok(Some(Piece::Script(script)))
            }
            _ => self.dollar(within),
        }
    }

    fn double(&mut self) -> Special {
        let mut pieces = Vec::new();
        self.read(Within::Quotes, &mut pieces).ok_or(Unclosed)?;
        Ok(Some(Piece::Double(pieces)))
    }

    fn escape(&mut self, within: Within) -> Option<Piece> {
        let next = self.text[self.at + 1..].chars().next()?;
        let counts = match within {
            Within::Word => true,
            Within::Quotes => matches!(next, '$' | '`' | '"' | '\\' | '\n'),
            Within::Document => matches!(next, '$' | '`' | '\\' | '\n'),
        };
        if !counts {
            return None;
        }
        self.at += 1 + next.len_utf8();
        (next != '\n').then(|| Piece::Quoted(next.into()))
    }

    fn dollar(&mut self, within: Within) -> Special {
        match self.peek(1) {
            Some(b'(') => {
                self.at += 2;
                let end = command(self.text, self.at).ok_or(Unclosed)?;
                let inner = self.take(end).ok_or(Unclosed)?;
                let is_arithmetic = inner.starts_with('(') && command(inner, 1) == Some(inner.len() - 1);
                Ok(Some(if is_arithmetic {
                    Piece::Arithmetic(inner[1..inner.len() - 1].to_owned())
                } else {
                    Piece::Script(inner.to_owned())
                }))
            }
            Some(b'[') => {
                self.at += 2;
                let end = bracketed(self.text, self.at).ok_or(Unclosed)?;
                Ok(Some(Piece::Arithmetic(self.take(end).ok_or(Unclosed)?.to_owned())))
            }
            Some(b'{') => {
                self.at += 2;
                let end = braced(self.text, self.at, within != Within::Word).ok_or(Unclosed)?;
                Ok(Some(Piece::Value(expansion(self.take(end).ok_or(Unclosed)?))))
            }
            Some(b'"') if within == Within::Word => {
                self.at += 2;
                self.double()
            }
            Some(b'\'') if within == Within::Word => {
                self.at += 2;
                let bytes = self.text.as_bytes();
                let mut end = self.at;
                while *bytes.get(end).ok_or(Unclosed)? != b'\'' {
                    end += if bytes[end] == b'\\' { 2 } else { 1 };
                }
                Ok(Some(Piece::Quoted(decode(self.take(end).ok_or(Unclosed)?))))
            }
            _ => {
                let Some((variable, rest)) = variable(&self.text[self.at + 1..], false) else { return Ok(None) };
                self.at = self.text.len() - rest.len();
                Ok(Some(Piece::Value(Value::Of(variable))))
            }
        }
    }
}

/// The variable that a text begins with, and what follows.
fn variable(text: &str, is_braced: bool) -> Option<(Variable, &str)> {
    let first = text.chars().next()?;
    let end = |is_part: fn(char) -> bool| text.find(|c| !is_part(c)).unwrap_or(text.len());
    match first {
        '@' | '*' => Some((Variable::Arguments, &text[1..])),
        '?' | '#' | '$' | '!' => Some((Variable::Number, &text[1..])),
        '-' => Some((Variable::Argument, &text[1..])),
        '0'..='9' => {
            let end = if is_braced { end(|c| c.is_ascii_digit()) } else { 1 };
            Some((Variable::Argument, &text[end..]))
        }
        'a'..='z' | 'A'..='Z' | '_' => {
            let (name, rest) = text.split_at(end(|c| c.is_ascii_alphanumeric() || c == '_'));
            match rest.strip_prefix('[').filter(|_| is_braced) {
                Some(index) => {
                    let close = bracketed(index, 0)?;
                    let name = name.to_owned();
                    let is_all = matches!(&index[..close], "@" | "*");
                    let variable = if is_all { Variable::All(name) } else { Variable::Element(name) };
                    Some((variable, &index[close + 1..]))
                }
                None => Some((Variable::Named(name.to_owned()), rest)),
            }
        }
        _ => None,
    }
}

/// What stands between `${` and `}`.
fn expansion(inner: &str) -> Value {
    let other = || Value::Other(inner.to_owned());
    if let Some(("", _) | (_, "")) =
        inner.strip_prefix('#').and_then(|rest| variable(rest, true)).map(|(_, rest)| ("x", rest))
    {
        return Value::Length;
    }
    if inner.starts_with('!') && inner.len() > 1 {
        return other();
    }
    let Some((variable, rest)) = variable(inner, true) else { return other() };
    if rest.is_empty() {
        return Value::Of(variable);
    }
    let test = rest.strip_prefix(':').unwrap_or(rest);
    let Some(word) = test.get(1..) else { return other() };
    // An index may hold commands as well: it is looked at with the whole.
    let has_index = matches!(variable, Variable::Element(_));
    match test.as_bytes()[0] {
        _ if has_index => other(),
        b'-' => Value::Default { variable, word: word.to_owned(), is_set: false },
        b'=' => Value::Default { variable, word: word.to_owned(), is_set: true },
        b'?' if rest.starts_with(':') => Value::Filled(variable),
        b'?' => Value::Of(variable),
        b'+' => Value::Instead(word.to_owned()),
        _ => other(),
    }
}
