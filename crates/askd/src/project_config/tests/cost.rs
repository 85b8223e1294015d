//! Hostile texts that a careless search would take minutes for.

use super::*;

const SKILL: &str = "repo/.claude/skills/s/SKILL.md";
const SETTINGS: &str = "repo/.claude/settings.json";

#[test]
fn a_mebibyte_of_anything_is_checked_at_once() {
    let started = std::time::Instant::now();
    let repeated = |unit: &str| unit.repeat(1_000_000 / unit.len());
    let texts = [
        (SETTINGS, format!("{{\"\":1{}}}", numbered(60_000, ",\"k", "\":1"))),
        (SKILL, repeated("${")),
        (SKILL, repeated("@\"")),
        (SKILL, repeated(" @a")),
        (SKILL, repeated("!  ")),
        (SKILL, repeated("$a[")),
        (SKILL, format!("---\n{}\n---\n", repeated("["))),
        (SKILL, format!("---\n{}\n---\n", "[".repeat(60_000))),
        (SKILL, format!("---\n{}\n---\n", "- ".repeat(30_000))),
        (SKILL, format!("---\n{}---\n", numbered(9_000, "k", ":\n"))),
    ];
    for (path, text) in &texts {
        let _ = auto(&[(path, text)]);
    }
    // Seconds, for a debug build on a busy machine; a quadratic search takes minutes.
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

/// `count` different keys.
fn numbered(count: usize, before: &str, after: &str) -> String {
    (0..count).flat_map(|n| [before.to_owned(), n.to_string(), after.to_owned()]).collect()
}
