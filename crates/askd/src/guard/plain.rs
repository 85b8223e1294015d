//! Commands that need no grammar: one program with its arguments, and nothing in it that means something to a shell.

use super::word::Word;

/// In bytes. What is longer is seldom that plain, and not to be looked at in passing.
const MAX_TEXT: usize = 4096;

/// What a shell reads as the beginning of something else, where a program's name may stand.
const KEYWORDS: [&str; 17] = [
    "case", "coproc", "do", "done", "elif", "else", "esac", "fi", "for", "function", "if", "in", "select", "then",
    "time", "until", "while",
];

/// The words of such a command; `None` if it is another one.
pub(super) fn words(text: &str) -> Option<Vec<Word>> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./=:,@%+- ".contains(&byte);
    if text.len() > MAX_TEXT || !text.bytes().all(is_plain) {
        return None;
    }
    let words: Vec<Word> = text.split(' ').filter(|word| !word.is_empty()).map(Word::of).collect();
    let program = &*words.first()?.text;
    // With a `=` it sets a variable.
    (!KEYWORDS.contains(&program) && !program.contains('=')).then_some(words)
}
