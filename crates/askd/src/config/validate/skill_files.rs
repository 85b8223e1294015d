//! A skill's files: their paths, how many, how large.

use std::collections::BTreeMap;

use super::{executes, skill, unreadable};
use crate::config::document::{SKILL_FILE, Skill, SkillFile};
use crate::config::json::MAX_PROBLEMS;
use crate::config::kind::Kind;
use crate::config::limits::Limits;
use crate::config::name::DocumentId;
use crate::config::problem::{Problem, Report};

const LIMITS: Limits = Limits::new(0);
/// The deepest folder, the file itself included.
const MAX_PARTS: usize = 8;
/// The longest name of a file or folder.
const MAX_PART: usize = 100;

/// Checks a skill with its files.
pub(super) fn check(id: &DocumentId, skill: &Skill) -> Report {
    let mut report = main_text(id, skill);
    let mut errors: Vec<Problem> = sizes(skill).into_iter().chain(paths(skill)).take(MAX_PROBLEMS).collect();
    errors.append(&mut report.errors);
    report.errors = errors;
    report.executes.extend(executes(Kind::Skill));
    let programs = skill.files.iter().filter(|(_, file)| file.executable).map(|(path, _)| path);
    report.executes.extend(programs.take(MAX_PROBLEMS).map(|path| format!("{} is executable", shown(path))));
    report
}

fn main_text(id: &DocumentId, skill: &Skill) -> Report {
    let wrong = |problem: Problem| Report { errors: vec![problem.in_file(SKILL_FILE)], ..Report::default() };
    let Some(file) = skill.files.get(SKILL_FILE) else {
        let other = skill.files.keys().find(|path| path.eq_ignore_ascii_case(SKILL_FILE));
        let hint = other.map_or_else(String::new, |path| format!("; rename {}", shown(path)));
        return wrong(Problem::new(format!("is missing, and the CLI would skip the skill{hint}")));
    };
    let text = match std::str::from_utf8(&file.bytes) {
        Ok(text) => text,
        Err(error) => return wrong(Problem::new("is not UTF-8").at(line_at(&file.bytes, error.valid_up_to()))),
    };
    if let Some(problem) = unreadable(text) {
        return wrong(problem);
    }
    let mut report = skill::check_text(id, text);
    for problem in report.errors.iter_mut().chain(&mut report.warnings) {
        problem.file = Some(SKILL_FILE.to_owned());
    }
    report
}

fn line_at(bytes: &[u8], at: usize) -> u32 {
    let line = memchr::memchr_iter(b'\n', bytes.get(..at).unwrap_or_default()).count() + 1;
    u32::try_from(line).unwrap_or(u32::MAX)
}

fn sizes(skill: &Skill) -> Vec<Problem> {
    let mut problems = Vec::new();
    if skill.files.len() > LIMITS.skill_files {
        problems.push(Problem::new(format!("has more than {} files", LIMITS.skill_files)));
    }
    if skill.size() > LIMITS.skill_bytes {
        problems.push(Problem::new(format!("has more than {} bytes in all", LIMITS.skill_bytes)));
    }
    let large = |(_, file): &(&String, &SkillFile)| file.bytes.len() > LIMITS.skill_file_bytes;
    problems.extend(skill.files.iter().filter(large).map(|(path, _)| {
        Problem::new(format!("is larger than {} bytes", LIMITS.skill_file_bytes)).in_file(shown(path))
    }));
    problems
}

fn paths(skill: &Skill) -> Vec<Problem> {
    let mut problems = Vec::new();
    // By its lower case: the path that is a file.
    let mut files: BTreeMap<String, &str> = BTreeMap::new();
    // The same for folders; the first path that has one spells it.
    let mut folders: BTreeMap<String, &str> = BTreeMap::new();
    for path in skill.files.keys() {
        if let Some(flaw) = flaw(path) {
            problems.push(Problem::new(flaw).in_file(shown(path)));
            continue;
        }
        let lower = path.to_ascii_lowercase();
        let clash = lower.match_indices('/').find_map(|(at, _)| {
            let spelling = *folders.entry(lower[..at].to_owned()).or_insert(&path[..at]);
            (spelling != &path[..at]).then(|| (&path[..at], spelling))
        });
        if let Some((folder, other)) = clash {
            let (folder, other) = (shown(folder), shown(other));
            let message = format!("its folder {folder} differs from {other} in upper and lower case only; rename one");
            problems.push(Problem::new(message).in_file(shown(path)));
            continue;
        }
        if let Some(other) = files.insert(lower, path) {
            let message = format!("differs from {} in upper and lower case only; rename one", shown(other));
            problems.push(Problem::new(message).in_file(shown(path)));
        }
    }
    let both = files.iter().filter(|(lower, _)| folders.contains_key(*lower));
    problems.extend(both.map(|(_, path)| Problem::new("is a file and a folder; rename one").in_file(shown(path))));
    problems
}

/// Why a path is none. Plain names only: they mean the same on every disk and in every archive.
pub fn flaw(path: &str) -> Option<String> {
    let parts: Vec<_> = path.split('/').collect();
    if parts.len() > MAX_PARTS {
        return Some(format!("must have at most {MAX_PARTS} parts between `/`"));
    }
    let plain = |part: &&str| {
        let characters = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        (1..=MAX_PART).contains(&part.len()) && characters && !part.starts_with('.')
    };
    if !parts.iter().all(plain) {
        return Some(format!(
            "must be a path of names between `/`, each of 1 to {MAX_PART} letters, digits, `.`, `_` and `-`, and none \
             beginning with `.`"
        ));
    }
    let is_skill = |part: &&str| part.eq_ignore_ascii_case(SKILL_FILE);
    let misplaced = path != SKILL_FILE && parts.iter().any(is_skill);
    misplaced.then(|| format!("must not be called {SKILL_FILE}: there is one, in the skill's own folder"))
}

fn shown(path: &str) -> String {
    path.chars().filter(|c| !c.is_control()).take(MAX_PART).collect()
}
