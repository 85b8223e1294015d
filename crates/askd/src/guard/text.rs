//! The text of a command becomes a tree, within bounds.
//!
//! The grammar recurses into what is nested, and for some forms tries everything twice: nesting is bounded before it sees
//! the text. The figures are far beyond what people write.

use brush_parser::ast::Program;
use brush_parser::word::{BraceExpressionMember, BraceExpressionOrText, WordPiece, WordPieceWithSource};
use brush_parser::{ParserOptions, Token, TokenizerOptions};

use super::word::UNKNOWN;

/// In bytes. A longer one cannot be an argument of a shell on Linux anyway.
const MAX_TEXT: usize = 128 * 1024;

/// Brackets of any kind that are open at once, quoted ones included.
const MAX_BRACKETS: usize = 100;

/// `${` within each other: with indices in them, each level takes many times longer than the one below.
const MAX_EXPANSIONS: usize = 3;

/// Compound commands within each other. Where one is not closed, the grammar tries each of them twice and more.
const MAX_COMPOUNDS: usize = 7;

/// `!` in a row, on each of which the grammar recurses.
const MAX_NEGATIONS: usize = 16;

/// Braces of one word that may be expanded: the grammar tries each three times.
const MAX_BRACES: usize = 6;

/// Words that one word's braces become.
const MAX_EXPANDED: usize = 64;

pub(super) fn parse(text: &str) -> Result<Program, &'static str> {
    if text.len() > MAX_TEXT {
        return Err("it is too long");
    }
    if text.contains('\0') {
        return Err("it holds a null byte");
    }
    if brackets(text) > MAX_BRACKETS || expansions(text) > MAX_EXPANSIONS {
        return Err("too much is nested in it");
    }
    if has_endless_number(text) {
        return Err("a number in it is too long");
    }
    let unclear = "its shell syntax is not understood";
    let tokens = brush_parser::uncached_tokenize_str(text, &TokenizerOptions::default()).map_err(|_| unclear)?;
    if !is_flat(&tokens) {
        return Err("too much is nested in it");
    }
    brush_parser::parse_tokens(&tokens, &ParserOptions::default()).map_err(|_| unclear)
}

/// Whether there is a number that the grammar takes for a descriptor, a bound of braces or a place in the stack of
/// folders, and panics on because it does not fit (found by fuzzing brush-parser 0.4.0).
fn has_endless_number(text: &str) -> bool {
    /// Digits that always fit a descriptor, and the others.
    const FITS: (usize, usize) = (9, 18);
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from) = rest.split_at(start);
        let end = from.find(|c: char| !c.is_ascii_digit()).unwrap_or(from.len());
        let before = before.strip_suffix(['+', '-']).unwrap_or(before);
        if end > FITS.0 && from[end..].starts_with(['<', '>']) {
            return true;
        }
        if end > FITS.1 && (before.ends_with("..") || before.ends_with(['{', '~'])) {
            return true;
        }
        rest = &from[end..];
    }
    false
}

/// The most brackets that are open at once.
fn brackets(text: &str) -> usize {
    let (mut open, mut most) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' | b'{' | b'[' => open += 1,
            b')' | b'}' | b']' => open = open.saturating_sub(1),
            _ => {}
        }
        most = most.max(open);
    }
    most
}

/// The most `${` and `$[` that are open at once.
fn expansions(text: &str) -> usize {
    let (mut open, mut most) = (0_usize, 0);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'$' if matches!(text.as_bytes().get(at + 1), Some(b'{' | b'[')) => open += 1,
            b'}' | b']' => open = open.saturating_sub(1),
            _ => {}
        }
        most = most.max(open);
    }
    most
}

fn is_flat(tokens: &[Token]) -> bool {
    // Apart, because the pattern of a case ends with a bracket that was not opened.
    let (mut compounds, mut brackets, mut negations) = (0_usize, 0_usize, 0);
    for token in tokens {
        match token.to_str() {
            "if" | "while" | "until" | "for" | "case" | "select" | "[[" | "{" => compounds += 1,
            "fi" | "done" | "esac" | "]]" | "}" => compounds = compounds.saturating_sub(1),
            "(" => brackets += 1,
            "((" => brackets += 2,
            ")" => brackets = brackets.saturating_sub(1),
            "))" => brackets = brackets.saturating_sub(2),
            _ => {}
        }
        negations = if matches!(token.to_str(), "!" | "time" | "coproc" | "function") { negations + 1 } else { 0 };
        if compounds + brackets > MAX_COMPOUNDS || negations > MAX_NEGATIONS {
            return false;
        }
    }
    true
}

/// The parts of a word; `None` when it is not understood.
pub(super) fn pieces(word: &str) -> Option<Vec<WordPieceWithSource>> {
    if has_endless_number(word) { None } else { brush_parser::word::parse(word, &options()).ok() }
}

/// The parts of a here-document in which variables are replaced.
pub(super) fn pieces_of_document(text: &str) -> Option<Vec<WordPieceWithSource>> {
    if has_endless_number(text) { None } else { brush_parser::word::parse_heredoc(text, &options()).ok() }
}

fn options() -> ParserOptions {
    ParserOptions { tilde_expansion_at_word_start: true, ..ParserOptions::default() }
}

/// The words that a word's braces make of it, before anything else is expanded.
pub(super) fn braces(word: &str) -> Vec<String> {
    let whole = || vec![word.to_owned()];
    let unquoted = |pieces: &[WordPieceWithSource]| -> usize {
        let texts = pieces.iter().filter_map(|piece| match &piece.piece {
            WordPiece::Text(text) => Some(text.matches('{').count()),
            _ => None,
        });
        texts.sum()
    };
    if !word.contains('{') || pieces(word).is_none_or(|pieces| unquoted(&pieces) == 0) {
        return whole();
    }
    if word.matches('{').count() > MAX_BRACES || has_endless_number(word) {
        return vec![UNKNOWN.to_string()];
    }
    match brush_parser::word::parse_brace_expansions(word, &options()) {
        Ok(Some(parts)) => expanded(&parts).unwrap_or_else(|| vec![UNKNOWN.to_string()]),
        _ => whole(),
    }
}

/// `None` when there are too many.
fn expanded(parts: &[BraceExpressionOrText]) -> Option<Vec<String>> {
    let mut words = vec![String::new()];
    for part in parts {
        let tails = match part {
            BraceExpressionOrText::Text(text) => vec![text.clone()],
            BraceExpressionOrText::Expr(members) => {
                let mut tails = Vec::new();
                for member in members {
                    tails.extend(match member {
                        BraceExpressionMember::Child(parts) => expanded(parts)?,
                        // `{1..9}`, `{a..z}`: no word that a rule knows is spelt by counting.
                        _ => vec![UNKNOWN.to_string()],
                    });
                }
                tails
            }
        };
        if words.len() * tails.len() > MAX_EXPANDED {
            return None;
        }
        words = words.iter().flat_map(|head| tails.iter().map(move |tail| format!("{head}{tail}"))).collect();
    }
    Some(words)
}
