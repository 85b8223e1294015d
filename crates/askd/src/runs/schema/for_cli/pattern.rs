//! Regular expressions that mean the same to our validator and to the CLI's, which is JavaScript's with the flag `u`.

/// Escapes of classes.
const CLASSES: &[char] = &['d', 'D', 'w', 'W', 's', 'S'];
/// Other escapes by a letter.
const LETTERS: &[char] = &['n', 'r', 't', 'f', 'v'];
/// What may be escaped, and only that.
const SYNTAX: &[char] = &['^', '$', '\\', '.', '*', '+', '?', '(', ')', '[', ']', '{', '}', '|', '/'];
/// Categories of Unicode that both know by this name.
const CATEGORIES: &[&str] = &[
    "L", "Lu", "Ll", "Lt", "Lm", "Lo", "M", "N", "Nd", "Nl", "No", "P", "Pc", "Pd", "Ps", "Pe", "Po", "S", "Sm", "Sc",
    "Sk", "So", "Z", "Zs", "Zl", "Zp",
];

/// Whether a pattern that our validator takes is certainly taken by the CLI's as well. Rare forms are not looked into:
/// without the pattern the CLI lets more through, and with one that it does not take it would do without the schema.
pub(super) fn is_common(pattern: &str) -> bool {
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        let fine = match c {
            '\\' => escape(&mut chars, false),
            '[' => class(&mut chars),
            '(' => chars.peek() != Some(&'?') || group(&mut chars),
            '{' => count(&mut chars),
            ']' | '}' => false,
            _ => true,
        };
        if !fine {
            return false;
        }
    }
    true
}

type Chars<'p> = std::iter::Peekable<std::str::Chars<'p>>;

fn escape(chars: &mut Chars<'_>, in_class: bool) -> bool {
    match chars.next() {
        Some(c) if CLASSES.contains(&c) || LETTERS.contains(&c) || SYNTAX.contains(&c) => true,
        Some('b' | 'B') => !in_class,
        Some('-') => in_class,
        Some('p' | 'P') => {
            if chars.next() != Some('{') {
                return false;
            }
            let name: String = chars.by_ref().take_while(|c| *c != '}').collect();
            CATEGORIES.contains(&name.as_str())
        }
        _ => false,
    }
}

/// From behind `[` to behind `]`.
fn class(chars: &mut Chars<'_>) -> bool {
    if chars.peek() == Some(&'^') {
        chars.next();
    }
    // An empty one means something else to each.
    if chars.peek() == Some(&']') {
        return false;
    }
    // Whether what came last stands for several characters, and cannot begin or end a range.
    let (mut before, mut several) = (None, false);
    while let Some(c) = chars.next() {
        match c {
            ']' => return true,
            '[' => return false,
            // Differences, intersections and the like.
            '&' | '~' if before == Some(c) => return false,
            '-' if before.is_some() && chars.peek() != Some(&']') => {
                let ends_in_class = chars.peek() == Some(&'\\') || chars.peek() == Some(&'-');
                if several || ends_in_class {
                    return false;
                }
            }
            '\\' => {
                several = chars.peek().is_some_and(|next| CLASSES.contains(next) || matches!(next, 'p' | 'P'));
                if !escape(chars, true) {
                    return false;
                }
                before = Some('\\');
                continue;
            }
            _ => {}
        }
        (before, several) = (Some(c), false);
    }
    false
}

/// From the `?` behind `(`: a group that is not counted, or one with a name.
fn group(chars: &mut Chars<'_>) -> bool {
    chars.next();
    match chars.next() {
        Some(':') => true,
        Some('<') => {
            let name: String = chars.by_ref().take_while(|c| *c != '>').collect();
            name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        }
        _ => false,
    }
}

/// From behind `{` to behind `}`.
fn count(chars: &mut Chars<'_>) -> bool {
    let text: String = chars.by_ref().take_while(|c| *c != '}').collect();
    let (least, most) = text.split_once(',').unwrap_or((&text, ""));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number(least) && (most.is_empty() || is_number(most))
}
