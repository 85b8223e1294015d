//! `{a,b}`: the words that one word becomes before anything else is expanded.

use super::scan::next;
use super::word::UNKNOWN;

/// Braces of one word that are looked at.
const MAX_BRACES: usize = 20;

/// Words that one word becomes.
const MAX_WORDS: usize = 64;

/// The words; an unknown one where there are too many.
pub(super) fn braces(word: &str) -> Vec<String> {
    if !word.contains('{') {
        return vec![word.to_owned()];
    }
    let mut left = MAX_BRACES;
    expanded(word, &mut left).unwrap_or_else(|| vec![UNKNOWN.to_string()])
}

/// `None` when it is too much.
fn expanded(word: &str, left: &mut usize) -> Option<Vec<String>> {
    let bytes = word.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'{' {
            // Something that is not closed is no brace of ours, nor is what follows.
            let Some(after) = next(word, at) else { break };
            at = after;
            continue;
        }
        *left = left.checked_sub(1)?;
        let Some((members, end)) = members(word, at + 1) else {
            at += 1;
            continue;
        };
        let mut middles = Vec::new();
        if let [only] = &*members {
            if !is_sequence(only) {
                at += 1;
                continue;
            }
            // No word that a rule knows is spelt by counting.
            middles.push(UNKNOWN.to_string());
        } else {
            for member in members {
                middles.extend(expanded(member, left)?);
            }
        }
        let tails = expanded(&word[end + 1..], left)?;
        if middles.len() * tails.len() > MAX_WORDS {
            return None;
        }
        let head = &word[..at];
        let join = |middle: &String| tails.iter().map(|tail| format!("{head}{middle}{tail}")).collect::<Vec<_>>();
        return Some(middles.iter().flat_map(join).collect());
    }
    Some(vec![word.to_owned()])
}

/// What stands between the commas of a brace that begins before `from`, and where it ends.
fn members(word: &str, from: usize) -> Option<(Vec<&str>, usize)> {
    let bytes = word.as_bytes();
    let (mut at, mut start, mut nested) = (from, from, 0_usize);
    let mut members = Vec::new();
    loop {
        match bytes.get(at)? {
            b'{' => nested += 1,
            b'}' if nested == 0 => {
                members.push(&word[start..at]);
                return Some((members, at));
            }
            b'}' => nested -= 1,
            b',' if nested == 0 => {
                members.push(&word[start..at]);
                start = at + 1;
            }
            _ => {
                at = next(word, at)?;
                continue;
            }
        }
        at += 1;
    }
}

/// `1..9`, `a..z`.
fn is_sequence(text: &str) -> bool {
    let is_end = |part: &str| {
        let digits = part.trim_start_matches(['-', '+']);
        let is_letter = part.len() == 1 && part.bytes().all(|byte| byte.is_ascii_alphabetic());
        is_letter || !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    text.contains("..") && text.split("..").all(is_end)
}
