//! Whether an argument names a folder that a rule protects.

use super::rules::{Match, meets};
use super::word::{Origin, UNKNOWN, Word};

/// Judges one argument against the paths of a rule. `folders` are those that the command goes into before, with which a
/// relative path may begin.
pub(super) fn named(word: &Word, patterns: &[String], folders: &[String]) -> Match {
    let text = &*word.text;
    if let Some(tail) = text.strip_prefix(UNKNOWN) {
        // `$X/etc` is `/etc` when the variable is empty, and `$X` may be anything. But what the operator set is a folder of
        // the work rather than one that is protected.
        match word.origin {
            Origin::Filled => return Match::No,
            Origin::Environment if tail.trim_start_matches(UNKNOWN).is_empty() => return Match::No,
            Origin::Environment | Origin::Foreign | Origin::Command => {}
        }
        let could = match tail.trim_start_matches(UNKNOWN) {
            "" | "/" | "/*" | "/." => true,
            tail if tail.starts_with('/') => is_named(tail, word.has_pattern, patterns),
            _ => false,
        };
        return if could { Match::Maybe } else { Match::No };
    }
    if is_named(text, word.has_pattern, patterns) {
        return Match::Yes;
    }
    let is_relative = !text.starts_with(['/', '~']);
    let found =
        is_relative && folders.iter().any(|folder| is_named(&format!("{folder}/{text}"), word.has_pattern, patterns));
    if found { Match::Yes } else { Match::No }
}

fn is_named(path: &str, has_pattern: bool, patterns: &[String]) -> bool {
    let (root, mut parts) = parts(path);
    // All that is in a folder is as good as the folder.
    if has_pattern && parts.last().is_some_and(|last| is_all(last)) {
        parts.pop();
    }
    let above = parts.iter().take_while(|part| **part == "..").count();
    if root.is_empty() && above > 0 {
        // Three folders up is out of any work; what comes then may as well begin at the root.
        let rest = &parts[above..];
        let is_up = rest.is_empty() && patterns.iter().any(|pattern| pattern == "..");
        return is_up || (above > 2 && any("/", rest, has_pattern, patterns));
    }
    any(root, &parts, has_pattern, patterns)
}

/// The last one that fits decides. What is taken out must fit for sure, as it stands.
fn any(root: &str, path: &[&str], has_pattern: bool, patterns: &[String]) -> bool {
    let is_known = !path.iter().any(|part| part.contains(UNKNOWN));
    let fits = |pattern: &String| match pattern.strip_prefix('!') {
        Some(out) => (is_known && matches(root, path, false, out)).then_some(false),
        None => matches(root, path, has_pattern, pattern).then_some(true),
    };
    patterns.iter().rev().find_map(fits).unwrap_or(false)
}

/// Where a path begins (`/`, `~` or the empty text), and its parts without detours.
fn parts(path: &str) -> (&'static str, Vec<&str>) {
    let (mut root, rest) = match path.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => ("~", rest),
        _ if path.starts_with('/') => ("/", path),
        _ => ("", path),
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in rest.split('/').filter(|part| !matches!(*part, "" | ".")) {
        match (part, parts.last()) {
            ("..", Some(last)) if *last != ".." => drop(parts.pop()),
            // Above a home is the folder of all homes, or the root.
            ("..", None) if root == "~" => (root, parts) = ("/", vec!["home"]),
            ("..", None) if root == "/" => {}
            _ => parts.push(part),
        }
    }
    (root, parts)
}

fn is_all(part: &str) -> bool {
    matches!(part, "*" | "**" | ".*" | "?*" | ".?*" | ".??*" | ".[!.]*" | "[!.]*" | ".[^.]*")
}

fn matches(root: &str, path: &[&str], has_pattern: bool, pattern: &str) -> bool {
    let (pattern_root, pattern) = parts(pattern);
    if root != pattern_root || root.is_empty() {
        return false;
    }
    let (pattern, and_below) = match pattern.split_last() {
        Some((&"**", above)) => (above, true),
        _ => (&*pattern, false),
    };
    let fits = path.len() == pattern.len() || and_below && path.len() > pattern.len();
    fits && pattern.iter().zip(path).all(|(pattern, part)| *pattern == "*" || meets(part, has_pattern, pattern))
}
