//! `paths` of rules and skills: patterns as in `.gitignore`.
//!
//! A pattern that cannot be read matches nothing, without a word, and what is no pattern at all is dropped, so that the
//! rule is always loaded. Each flaw here was tried with CLI 2.1.330.

use serde_norway::Value;

use super::head::{Head, shown};
use super::places;

/// Patterns after the expansion of braces. What is over it is taken as it is written, and matches nothing.
const MAX_EXPANDED: u64 = 1_000;
/// Each pattern's length times how many it expands to, together.
const MAX_BYTES: u64 = 4 << 20;
/// Patterns that are looked at.
const MAX_PATTERNS: usize = 5_000;

/// Checks the value of `paths`.
pub(super) fn check(head: &mut Head<'_>, value: &Value) {
    let Some(patterns) = patterns(head, value) else { return };
    if patterns.len() > MAX_PATTERNS {
        return head.error("paths", format!("has more than {MAX_PATTERNS} patterns"));
    }
    if patterns.is_empty() {
        return head.warn("paths", "has no pattern, which counts as if there were no `paths`; remove it");
    }
    for (field, pattern) in &patterns {
        if let Some(flaw) = flaw(pattern) {
            head.error(field, format!("{} {flaw}", shown(pattern)));
        } else if let Some(oddity) = oddity(pattern) {
            head.warn(field, format!("{} {oddity}", shown(pattern)));
        }
    }
    if patterns.iter().all(|(_, pattern)| pattern.starts_with('!')) {
        head.error("paths", "only excludes, and so matches nothing; add a pattern that includes, e.g. `**/*`");
    }
    budget(head, &patterns);
}

/// The patterns, each with its field.
fn patterns(head: &mut Head<'_>, value: &Value) -> Option<Vec<(String, String)>> {
    match value {
        Value::String(text) => {
            Some(split(text).into_iter().map(|part| ("paths".to_owned(), part.to_owned())).collect())
        }
        Value::Sequence(items) => {
            let mut all = Vec::new();
            for (index, item) in items.iter().enumerate() {
                let Some(text) = item.as_str() else {
                    head.item_error("paths", index, "must be a text, or the CLI drops it; put it into quotes");
                    return None;
                };
                let field = places::item("paths", index);
                all.extend(split(text).into_iter().map(|part| (field.clone(), part.to_owned())));
            }
            Some(all)
        }
        _ => {
            head.error("paths", "must be a list of patterns, or the CLI drops it and the text is always loaded");
            None
        }
    }
}

/// At the commas that are not in braces.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let ends = |c: char| {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && c == ','
    };
    text.split(ends).map(str::trim).filter(|part| !part.is_empty()).collect()
}

/// Why a pattern never matches, and what to write.
fn flaw(pattern: &str) -> Option<String> {
    let bare = pattern.strip_prefix('!').unwrap_or(pattern);
    let fixed = match bare {
        _ if bare.contains(['\n', '\r']) => "has a line break; write a list",
        _ if bare.starts_with('#') => "is a comment; write `\\#`",
        _ if bare.starts_with("./") => "never matches; leave the `./` out",
        _ if bare.starts_with('~') => "never matches: patterns are relative to the folder of the run",
        "/" | "." | ".." => "never matches: it names no file",
        _ if bare.split('/').any(|part| matches!(part, "." | "..")) => "never matches: `.` and `..` are not resolved",
        _ if bare.contains("//") => "never matches: two `/` after each other",
        _ if is_drive(bare) => "never matches: patterns are relative to the folder of the run",
        _ if ["@(", "+(", "!(", "?(", "*("].iter().any(|opening| bare.contains(opening)) => {
            "never matches: there are no such groups; write braces, e.g. `{a,b}`"
        }
        _ => return backslash(bare).or_else(|| class(bare)).or_else(|| braces(bare)).map(str::to_owned),
    };
    Some(fixed.to_owned())
}

fn is_drive(pattern: &str) -> bool {
    let mut chars = pattern.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic()) && chars.next() == Some(':')
}

/// A backslash takes the meaning of what follows, and of letters it takes none: it is one of Windows.
fn backslash(pattern: &str) -> Option<&'static str> {
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c == '\\' && chars.next().is_none_or(char::is_alphanumeric) {
            return Some("never matches: write `/` between folders");
        }
    }
    None
}

fn class(pattern: &str) -> Option<&'static str> {
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\\' {
            chars.next();
        }
        if c != '[' {
            continue;
        }
        let mut inner = Vec::new();
        loop {
            match chars.next() {
                None => return Some("never matches: a `[` has no `]`; write `\\[` for the character"),
                Some(']') => break,
                Some('\\') => inner.extend(chars.next()),
                Some(c) => inner.push(c),
            }
        }
        match inner.first() {
            None => return Some("never matches: `[]` is empty"),
            Some('!' | '^') => {
                return Some("never matches: the CLI knows no `[!…]`; name the characters that may be there");
            }
            Some('[') => return Some("never matches: the CLI knows no classes such as `[:alpha:]`; write `[a-z]`"),
            Some(_) => {}
        }
        if inner.windows(3).any(|three| three[1] == '-' && three[0] > three[2]) {
            return Some("never matches: a range in `[…]` ends before it begins");
        }
    }
    None
}

fn braces(pattern: &str) -> Option<&'static str> {
    let mut open: Vec<usize> = Vec::new();
    let mut chars = pattern.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            '{' => open.push(at),
            '}' => {
                let inner = open.pop().map(|from| &pattern[from + 1..at]);
                if inner.is_some_and(|inner| inner.contains("..") && !inner.contains([',', '/'])) {
                    return Some("never matches: the CLI knows no `{1..3}`; write `{1,2,3}`");
                }
            }
            _ => {}
        }
    }
    (!open.is_empty()).then_some("never matches: a `{` has no `}`")
}

/// What matches, but hardly what is meant.
fn oddity(pattern: &str) -> Option<&'static str> {
    let is_list = pattern.split_whitespace().filter(|part| part.contains(['*', '/'])).count() > 1;
    if is_list {
        return Some("is one pattern with a blank in it; write a comma or a list for several");
    }
    let of_machine = ["/home/", "/Users/", "/root/", "/tmp/", "/var/", "/opt/", "/etc/"];
    if of_machine.iter().any(|path| pattern.starts_with(path)) {
        return Some("begins with `/`, which means the folder of the run and not the disk");
    }
    None
}

fn budget(head: &mut Head<'_>, patterns: &[(String, String)]) {
    let (mut count, mut bytes) = (0_u64, 0_u64);
    for (field, pattern) in patterns.iter().filter(|(_, pattern)| pattern.contains('{')) {
        let expanded = expanded(pattern);
        count = count.saturating_add(expanded);
        bytes = bytes.saturating_add(expanded.saturating_mul(pattern.encode_utf16().count() as u64));
        if count > MAX_EXPANDED || bytes > MAX_BYTES {
            let message = format!(
                "has braces for more than {MAX_EXPANDED} patterns, or for more than {} MiB of them, and the CLI takes them \
                 as they are written; write fewer",
                MAX_BYTES >> 20
            );
            return head.error(field, message);
        }
    }
}

/// How many patterns the braces stand for, without writing them out.
fn expanded(pattern: &str) -> u64 {
    // Of each open brace: the alternatives so far, and those of the one that is being read.
    let mut open: Vec<(u64, u64)> = vec![(0, 1)];
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        let is_inner = open.len() > 1;
        let Some((done, product)) = open.last_mut() else { break };
        match c {
            '\\' => {
                chars.next();
            }
            '{' => open.push((0, 1)),
            ',' if is_inner => {
                *done = done.saturating_add(*product);
                *product = 1;
            }
            '}' if is_inner => {
                let alternatives = done.saturating_add(*product);
                open.pop();
                if let Some((_, product)) = open.last_mut() {
                    *product = product.saturating_mul(alternatives);
                }
            }
            _ => {}
        }
    }
    open.first().map_or(1, |(_, product)| *product)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_are_counted_without_being_expanded() {
        for (pattern, count) in
            [("a", 1), ("{a,b}", 2), ("{a,b}{c,d,e}", 6), ("a{b,{c,d}e}", 3), ("{a}", 1), ("\\{a,b}", 1), ("a,b", 1)]
        {
            assert_eq!(expanded(pattern), count, "{pattern}");
        }
        assert_eq!(expanded(&"{a,b}".repeat(100_000)), u64::MAX);
    }

    #[test]
    fn patterns_that_match_nothing_are_told_and_others_are_not() {
        for pattern in [
            "[",
            "src/[ab.ts",
            "src/[].ts",
            "src/[!x].ts",
            "[^x].ts",
            "[z-a]",
            "[[:alpha:]].ts",
            "{a",
            "src/{a.ts",
            "a{1..3}",
            "./src",
            "../src",
            "src/../a",
            "src/./a",
            "~/x",
            "/",
            "a//b",
            "C:/src",
            "src\\a.ts",
            "a\\",
            "@(a|b)",
            "#a",
            "a\nb",
        ] {
            assert!(flaw(pattern).is_some(), "{pattern:?}");
        }
        for pattern in [
            "src/**/*.ts",
            "*.ts",
            "src",
            "src/",
            "/src/**",
            "**",
            "!src/**",
            "src/[ab].ts",
            "src/[a-c].ts",
            "[a!].ts",
            "src/*.{ts,tsx}",
            "src/*.{t{s,sx},js}",
            "{a}",
            "\\[a",
            "src/a b.ts",
            "src/ä.ts",
            "a]",
            "a}",
            "\\#a",
        ] {
            assert_eq!(flaw(pattern), None, "{pattern:?}");
        }
    }

    #[test]
    fn a_text_is_cut_at_the_commas_outside_of_braces() {
        assert_eq!(split("a, {b,c}/*, ,d "), ["a", "{b,c}/*", "d"]);
    }
}
