//! A word of a command as far as it is known.

use std::iter::Peekable;
use std::str::Chars;

/// Stands for text that is not known. It is from Unicode's private area; where a command holds it itself, it means the same.
pub(super) const UNKNOWN: char = '\u{F8FF}';

/// One argument, or the name of a program.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Word {
    /// [`UNKNOWN`] where it is not known.
    pub(super) text: String,
    /// Whether `*`, `?` and `[` in it are patterns.
    pub(super) has_pattern: bool,
    /// Whether it may be several words, or none.
    pub(super) splits: bool,
    /// Whether it comes from another program.
    pub(super) is_output: bool,
    /// Where the unknown part of it comes from.
    pub(super) origin: Origin,
    /// What stands in the file that it names, as far as a command of its own writes it: `<(echo x)`.
    pub(super) content: Option<String>,
}

/// Where something comes from that is not known, the least harmless first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// The command itself, which could mean anything by it.
    #[default]
    Command,
    /// A script that a program of others prints; as anything else it could be anything.
    Foreign,
    /// A variable that the command does not set: the operator's, and perhaps empty.
    Environment,
    /// Such a variable, and the command ends if it is empty: `${x:?}`.
    Filled,
}

impl Word {
    pub(super) fn of(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// Nothing is known of it.
    pub(super) fn unknown() -> Self {
        Self { text: UNKNOWN.into(), splits: true, ..Self::default() }
    }

    pub(super) fn is_known(&self) -> bool {
        !self.text.contains(UNKNOWN)
    }

    /// Whether not a letter of it is known.
    pub(super) fn is_blank(&self) -> bool {
        !self.text.is_empty() && self.text.chars().all(|letter| letter == UNKNOWN)
    }

    /// Whether it is all of what a program of others prints.
    pub(super) fn is_foreign_script(&self) -> bool {
        self.is_blank() && self.origin == Origin::Foreign
    }

    /// The program's name without its folder.
    pub(super) fn file_name(&self) -> &str {
        self.text.rsplit('/').next().unwrap_or_default()
    }
}

/// `$'…'` and `echo -e`, as bash reads them.
pub(super) fn decode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(letter) = rest.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        let Some(next) = rest.next() else {
            out.push('\\');
            break;
        };
        out.push(match next {
            'a' => '\x07',
            'b' => '\x08',
            'e' | 'E' => '\x1b',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            'x' => number(&mut rest, 0, 16, 2),
            'u' => number(&mut rest, 0, 16, 4),
            'U' => number(&mut rest, 0, 16, 8),
            // `echo -e` wants a zero before the three digits.
            '0' => number(&mut rest, 0, 8, 3),
            digit @ '1'..='7' => number(&mut rest, digit.to_digit(8).unwrap_or(0), 8, 2),
            'c' => rest.next().map_or(UNKNOWN, |key| char::from_u32(u32::from(key) & 0x1f).unwrap_or(UNKNOWN)),
            other => other,
        });
    }
    out
}

/// The letter whose number follows, in at most so many digits; a number that is none is an unknown letter.
fn number(rest: &mut Peekable<Chars<'_>>, first: u32, radix: u32, most: usize) -> char {
    let mut value = first;
    for _ in 0..most {
        let Some(digit) = rest.peek().and_then(|digit| digit.to_digit(radix)) else { break };
        value = value.saturating_mul(radix).saturating_add(digit);
        rest.next();
    }
    char::from_u32(value).unwrap_or(UNKNOWN)
}
