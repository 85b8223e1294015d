//! What the CLI expands in the body of a skill or a command when it is called.
//!
//! Checked with CLI 2.1.330: `` !`cmd` `` after a blank or at a start runs `cmd`, also across lines; three
//! or more backticks with `!` run what follows, anywhere in a line, with words or blanks after the `!`.
//! Arguments are put in **first**, so `$ARGUMENTS!` before a backtick works as well. Every search here
//! therefore looks at the text as it is and at the text without its `$` arguments.

use std::borrow::Cow;

/// The longest `${…}`; looking further for its end would make a hostile text expensive.
const MAX_ARGUMENT: usize = 100;

/// The line of the first inline command.
pub fn command(text: &str) -> Option<u32> {
    first_command(text).or_else(|| first_command(&without_arguments(text)))
}

fn first_command(text: &str) -> Option<u32> {
    text.match_indices('!')
        .map(|(at, _)| at)
        .find(|at| is_command(&text[..*at], &text[at + 1..]))
        .map(|at| line_at(text, at))
}

/// Wider than the CLI: any `!` before a backtick that does not end a word (`println!` in backticks does),
/// and any `!` after two backticks or tildes.
fn is_command(before: &str, after: &str) -> bool {
    let ends_a_word = before.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_');
    let fence = before.trim_end_matches([' ', '\t']);
    (after.starts_with('`') && !ends_a_word) || fence.ends_with("``") || fence.ends_with("~~~")
}

/// An `@` with what the CLI would take for a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mention {
    pub(super) line: u32,
    token: String,
}

impl Mention {
    /// Whether it is spelled as a path out of the folder, or not spelled out at all.
    pub(super) fn leads_out(&self) -> bool {
        self.token.starts_with(['/', '~'])
            || self.token.contains("..")
            || self.token.contains(['$', '\\'])
            || self.token.starts_with("file:")
    }

    /// The paths it may stand for: as it is, without a line range, without punctuation.
    pub(super) fn spellings(&self) -> impl Iterator<Item = &str> {
        let bare = self.token.split('#').next().unwrap_or_default();
        let trimmed = bare.trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']', '"', '\'', '*', '`', '>']);
        [self.token.as_str(), bare, trimmed].into_iter().filter(|path| !path.is_empty())
    }
}

/// The first mentions of both readings, at most `limit` of each. A mention counts only after a blank or at
/// a start: after quotes, brackets, punctuation or letters nothing is expanded (checked with CLI 2.1.330).
pub(super) fn mentions(text: &str, limit: usize) -> Vec<Mention> {
    let mut all: Vec<Mention> = mentions_in(text).take(limit).collect();
    if let Cow::Owned(filled) = without_arguments(text) {
        all.extend(mentions_in(&filled).take(limit).filter(|mention| !all.contains(mention)).collect::<Vec<_>>());
    }
    all
}

fn mentions_in(text: &str) -> impl Iterator<Item = Mention> {
    text.split('\n').enumerate().flat_map(|(index, line)| {
        let line_number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        line.match_indices('@').filter_map(move |(at, _)| {
            let token = token_at(line, at)?;
            Some(Mention { line: line_number, token: token.to_owned() })
        })
    })
}

/// What follows the `@` at a byte offset, if it begins a mention.
fn token_at(line: &str, at: usize) -> Option<&str> {
    if !line[..at].chars().next_back().is_none_or(is_blank) {
        return None;
    }
    let rest = &line[at + 1..];
    let token = match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => rest.split(is_blank).next(),
    };
    token.filter(|token| !token.is_empty())
}

/// A blank in the sense of JavaScript, and the invisible ones besides.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}'..='\u{200d}' | '\u{2060}')
}

/// The text with empty arguments: `$1`, `$NAME`, `$ARGUMENTS[0]`, `${…}` are gone, lines are kept.
fn without_arguments(text: &str) -> Cow<'_, str> {
    if !text.contains('$') {
        return Cow::Borrowed(text);
    }
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        kept.push_str(before);
        rest = after_argument(after);
        if rest.len() == after.len() {
            kept.push('$');
        }
    }
    kept.push_str(rest);
    Cow::Owned(kept)
}

/// What follows an argument's name, if there is one.
fn after_argument(text: &str) -> &str {
    if let Some(braced) = text.strip_prefix('{') {
        let end = braced.bytes().take(MAX_ARGUMENT).position(|byte| matches!(byte, b'}' | b'\n'));
        return match end.map(|end| braced[end..].strip_prefix('}')) {
            Some(Some(after)) => after,
            _ => text,
        };
    }
    let rest = text.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
    let index = rest.strip_prefix('[').map(|index| index.trim_start_matches(|c: char| c.is_ascii_digit()));
    match index.and_then(|index| index.strip_prefix(']')) {
        Some(after) if rest.len() < text.len() => after,
        _ => rest,
    }
}

fn line_at(text: &str, at: usize) -> u32 {
    let breaks = text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count();
    u32::try_from(breaks + 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_that_the_cli_ran_is_a_command() {
        let forms = [
            "x !`touch a` y",
            "!`a`",
            "a\n!`touch \\\n a`",
            "```!\nls\n```",
            "text ```!\nls\n```",
            "  ````!\nls\n",
            "```!bash\nls\n```",
            "```! bash\nls\n```",
            "x ``` !`ls`\n```",
            "a\r\n```!\r\nls\r\n```",
            "x $ARGUMENTS!`ls` y",
            "x $foo!`ls`",
            "x !$1`ls`",
            "$ARGUMENTS[0]!`ls`",
            "~~~!\nls\n",
            "x !${A}`ls`",
        ];
        for form in forms {
            assert!(command(form).is_some(), "{form:?}");
        }
        assert_eq!(command("a\nb\nc !`ls`"), Some(3));
    }

    #[test]
    fn prose_is_no_command() {
        for text in ["Use `println!` and `vec![]`.", "Wow! `code`", "a != b", "![image](x.png)", "`!x`", "$5 off!"] {
            assert_eq!(command(text), None, "{text:?}");
        }
    }

    #[test]
    fn mentions_are_found_where_the_cli_expands_them() {
        let out = |text: &str| mentions(text, 9).iter().any(Mention::leads_out);
        for text in [
            "see @/etc/passwd",
            "@~/h.md",
            "@../up.md",
            "@\"/a b\"",
            "x\u{a0}@/s",
            "$ARGUMENTS@/s",
            "@$1/s",
            "@${CLAUDE_SKILL_DIR}/../x",
            "@a/../../b",
            "@file:///etc/passwd",
        ] {
            assert!(out(text), "{text:?}");
        }
        for text in ["mail a@/b", "'@/components'", "(@/x)", "`@/x`", "@scope/pkg", "-@/x", "see @docs/a.md"] {
            assert!(!out(text), "{text:?}");
        }
        let found = mentions("a\nsee @docs/a.md#L1, ok", 9);
        assert_eq!(found[0].line, 2);
        assert!(found[0].spellings().any(|path| path == "docs/a.md"));
    }
}
