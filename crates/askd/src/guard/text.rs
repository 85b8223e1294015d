//! The text of a command becomes a tree, within bounds.
//!
//! The grammar recurses into what is nested, and for some forms tries everything twice: nesting is bounded before it sees
//! the text, and what closes something is counted only where the grammar must take it for that. The figures are far beyond
//! what people write.

use brush_parser::ast::Program;
use brush_parser::{ParserOptions, Token, TokenizerOptions};

use super::scan::is_closed;

/// In bytes. A longer one cannot be an argument of a shell on Linux anyway.
pub(super) const MAX_TEXT: usize = 128 * 1024;

/// `$(`, `${` and `$[` of one text, closed or not: the tokenizer recurses into each that it takes for open.
const MAX_EXPANSIONS: usize = 1_000;

/// Compound commands within each other. Where one is not closed, the grammar tries each of them twice and more.
const MAX_COMPOUNDS: usize = 7;

/// `!` in a row, on each of which the grammar recurses.
const MAX_NEGATIONS: usize = 16;

/// `coproc`, whose command the grammar recurses into.
const MAX_PROCESSES: usize = 4;

/// Brackets in a word that may be an assignment to an element of an array: the grammar tries each twice.
const MAX_IN_INDEX: usize = 6;

pub(super) fn parse(text: &str) -> Result<Program, &'static str> {
    if text.len() > MAX_TEXT {
        return Err("it is too long");
    }
    if text.contains('\0') {
        return Err("it holds a null byte");
    }
    if expansions(text) > MAX_EXPANSIONS {
        return Err("too many expansions are in it");
    }
    let unclear = "its shell syntax is not understood";
    // The tokenizer does not end on some here-documents without a name (found by a review of brush-parser 0.4.0).
    if !is_closed(text) {
        return Err(unclear);
    }
    let tokens = brush_parser::uncached_tokenize_str(text, &TokenizerOptions::default()).map_err(|_| unclear)?;
    if has_endless_number(&tokens) {
        return Err("a number in it is too long");
    }
    if !is_flat(&tokens) || tokens.iter().any(has_deep_index) {
        return Err("too much is nested in it");
    }
    brush_parser::parse_tokens(&tokens, &ParserOptions::default()).map_err(|_| unclear)
}

/// Whether there is a number that the grammar takes for a descriptor, and panics on because it does not fit (found by
/// fuzzing brush-parser 0.4.0).
fn has_endless_number(tokens: &[Token]) -> bool {
    /// Digits that always fit.
    const FITS: usize = 9;
    let is_long = |word: &str| word.len() > FITS && word.bytes().all(|byte| byte.is_ascii_digit());
    tokens.windows(2).any(|pair| match pair {
        [Token::Word(word, first), Token::Operator(operator, next)] => {
            is_long(word) && operator.starts_with(['<', '>']) && first.end.index == next.start.index
        }
        _ => false,
    })
}

fn expansions(text: &str) -> usize {
    text.as_bytes().windows(2).filter(|pair| matches!(pair, [b'$', b'(' | b'{' | b'['])).count()
}

fn has_deep_index(token: &Token) -> bool {
    let Token::Word(word, _) = token else { return false };
    let name = word.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(word.len());
    name > 0 && word[name..].starts_with('[') && word.matches(['[', '(', '{', '"', '`']).count() > MAX_IN_INDEX
}

/// Whether no more is open at once than the grammar bears.
fn is_flat(tokens: &[Token]) -> bool {
    let mut open: Vec<&str> = Vec::new();
    let (mut negations, mut processes) = (0, 0);
    for (at, token) in tokens.iter().enumerate() {
        match effect(tokens, at) {
            Effect::Opens => open.push(token.to_str()),
            Effect::Closes(kinds) => {
                if open.last().is_some_and(|last| kinds.contains(last)) {
                    open.pop();
                }
            }
            Effect::None => {}
        }
        negations = if token.to_str() == "!" { negations + 1 } else { 0 };
        processes += usize::from(token.to_str() == "coproc");
        if open.len() > MAX_COMPOUNDS || negations > MAX_NEGATIONS || processes > MAX_PROCESSES {
            return false;
        }
    }
    true
}

enum Effect {
    None,
    Opens,
    /// Any of these, if it was opened last.
    Closes(&'static [&'static str]),
}

/// What a token does to what is open. A word opens something wherever the grammar could take it for that, and closes only
/// where the grammar must: the count may be too high, and never too low.
fn effect(tokens: &[Token], at: usize) -> Effect {
    let before = |back: usize| at.checked_sub(back).map(|at| &tokens[at]);
    let after = tokens.get(at + 1).map_or("", |token| token.to_str());
    let word = match &tokens[at] {
        Token::Operator(operator, _) => {
            return match &**operator {
                "(" => Effect::Opens,
                ")" => Effect::Closes(&["("]),
                _ => Effect::None,
            };
        }
        Token::Word(word, _) => &**word,
    };
    let ends_a_command = |token: &Token| match token {
        Token::Operator(operator, _) => {
            matches!(&**operator, ";" | "&" | "\n") || word == "esac" && operator.starts_with(';')
        }
        Token::Word(..) => false,
    };
    let is_after = before(1).is_some_and(ends_a_command);
    match word {
        "if" | "while" | "until" | "for" | "case" | "select" | "[[" | "{" => {
            let is_named = before(2).is_some_and(|token| matches!(token.to_str(), "function" | "coproc"));
            let opens = is_named || before(1).is_none_or(may_precede_a_command);
            if opens { Effect::Opens } else { Effect::None }
        }
        "]]" => Effect::Closes(&["[["]),
        "fi" if is_after => Effect::Closes(&["if"]),
        "}" if is_after => Effect::Closes(&["{"]),
        "done" if is_after => Effect::Closes(&["for", "while", "until", "select"]),
        // The grammar takes it for a pattern too.
        "esac" if is_after && !matches!(after, ")" | "|") => Effect::Closes(&["case"]),
        _ => Effect::None,
    }
}

/// Whether a command may begin after this.
fn may_precede_a_command(token: &Token) -> bool {
    match token {
        Token::Operator(..) => true,
        Token::Word(word, _) => matches!(
            &**word,
            "if" | "then"
                | "elif"
                | "else"
                | "while"
                | "until"
                | "do"
                | "{"
                | "!"
                | "time"
                | "-p"
                | "coproc"
                | "function"
        ),
    }
}
