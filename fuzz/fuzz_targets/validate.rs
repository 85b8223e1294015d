//! Any text as any kind of document: no panic, within the time, and an answer that a client can show.

#![no_main]

use askd::config::document::{Content, SKILL_FILE, Skill, SkillFile};
use askd::config::kind::Kind;
use askd::config::name::DocumentId;
use askd::config::validate::{check, description};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((first, bytes)) = data.split_first() else { return };
    let kind = Kind::ALL[usize::from(*first) % Kind::ALL.len()];
    let id = DocumentId::new(kind, (!kind.is_single()).then_some("a-name")).unwrap();
    let content = if kind == Kind::Skill {
        let file = SkillFile { bytes: bytes.to_vec(), executable: false };
        Content::Skill(Skill { files: [(SKILL_FILE.to_owned(), file)].into() })
    } else {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        Content::Text(text.to_owned())
    };
    // A line may end with LF, CR or both.
    let lines = 1 + bytes.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count();
    let report = check(&id, &content);
    for problem in report.errors.iter().chain(&report.warnings) {
        assert!(!problem.message.is_empty() && problem.message.len() < 10_000, "{problem:?}");
        assert!(problem.line.is_none_or(|line| (1..=lines).contains(&(line as usize))), "{problem:?} of {lines} lines");
    }
    if let Some(description) = description(&id, &content) {
        assert!(!description.contains('\n') && description.chars().count() <= 1536, "{description:?}");
    }
});
