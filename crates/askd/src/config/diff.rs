//! What differs between two versions of a document, for people.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use similar::TextDiff;

use super::document::{Content, SkillFile};

/// Lines around each difference.
const CONTEXT: usize = 3;
/// Texts that have little in common are compared for so long, all of a skill's together; then what is left counts as
/// different.
const PATIENCE: Duration = Duration::from_secs(1);
/// The longest answer, in bytes.
const MOST: usize = 2 << 20;

/// A unified diff. Bounded work for a processor: not for a thread that serves. Files that are no text are told by their sizes. What is too long ends with a line that says so.
pub fn diff(old: Option<&Content>, new: Option<&Content>) -> String {
    let (mut out, until) = (String::new(), Instant::now() + PATIENCE);
    if let (None | Some(Content::Text(_)), None | Some(Content::Text(_))) = (old, new) {
        texts(&mut out, "content", old.and_then(Content::text), new.and_then(Content::text), until);
    } else {
        for path in paths(old).union(&paths(new)) {
            file(&mut out, path, of(old, path).as_ref(), of(new, path).as_ref(), until);
            if out.len() > MOST {
                break;
            }
        }
    }
    if out.len() > MOST {
        out.truncate(out.floor_char_boundary(MOST));
        out.push_str("\n(the rest is left out)\n");
    }
    out
}

/// The files of a content: a text is a skill's only file, should a skill ever have become one.
fn paths(content: Option<&Content>) -> BTreeSet<String> {
    match content {
        None => BTreeSet::new(),
        Some(Content::Text(_)) => BTreeSet::from(["content".to_owned()]),
        Some(Content::Skill(skill)) => skill.files.keys().cloned().collect(),
    }
}

fn of(content: Option<&Content>, path: &str) -> Option<SkillFile> {
    match content? {
        Content::Text(text) => {
            (path == "content").then(|| SkillFile { bytes: text.clone().into_bytes(), executable: false })
        }
        Content::Skill(skill) => skill.files.get(path).cloned(),
    }
}

fn file(out: &mut String, path: &str, old: Option<&SkillFile>, new: Option<&SkillFile>, until: Instant) {
    if old == new {
        return;
    }
    let is_executable = |file: Option<&SkillFile>| file.map(|file| file.executable);
    if let (Some(before), Some(after)) = (is_executable(old), is_executable(new))
        && before != after
    {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{path}: {} executable", if after { "is now" } else { "is no longer" });
    }
    let text = |file: Option<&SkillFile>| match file {
        None => Some(None),
        Some(file) => String::from_utf8(file.bytes.clone()).ok().filter(|text| !text.contains('\0')).map(Some),
    };
    if let (Some(before), Some(after)) = (text(old), text(new)) {
        texts(out, path, before.as_deref(), after.as_deref(), until);
        return;
    }
    let size = |file: Option<&SkillFile>| match file {
        None => "nothing".to_owned(),
        Some(file) => format!("{} bytes", file.bytes.len()),
    };
    let _ = writeln!(out, "{path}: no text; {} before, {} after", size(old), size(new));
}

fn texts(out: &mut String, path: &str, old: Option<&str>, new: Option<&str>, until: Instant) {
    if old == new {
        return;
    }
    let name =
        |side: &str, text: Option<&str>| if text.is_some() { format!("{side}/{path}") } else { "/dev/null".into() };
    let mut config = TextDiff::configure();
    let diff = config.deadline(until).diff_lines(old.unwrap_or_default(), new.unwrap_or_default());
    let mut unified = diff.unified_diff();
    let _ = write!(out, "{}", unified.context_radius(CONTEXT).header(&name("a", old), &name("b", new)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::document::Skill;

    fn text(text: &str) -> Content {
        Content::Text(text.to_owned())
    }

    fn skill(files: &[(&str, &[u8], bool)]) -> Content {
        let file = |(path, bytes, executable): &(&str, &[u8], bool)| {
            ((*path).to_owned(), SkillFile { bytes: bytes.to_vec(), executable: *executable })
        };
        Content::Skill(Skill { files: files.iter().map(file).collect() })
    }

    #[test]
    fn what_was_changed_is_shown_with_what_is_around_it() {
        let (old, new) = (text("a\nb\nc\n"), text("a\nB\nc\n"));
        assert_eq!(diff(Some(&old), Some(&new)), "--- a/content\n+++ b/content\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n");
        assert_eq!(diff(Some(&old), Some(&old)), "");
        assert_eq!(diff(None, Some(&text("a\n"))), "--- /dev/null\n+++ b/content\n@@ -0,0 +1 @@\n+a\n");
        assert_eq!(diff(None, None), "");
    }

    #[test]
    fn the_files_of_a_skill_are_told_one_by_one() {
        let old = skill(&[("SKILL.md", b"a\n", false), ("logo.png", b"\xff", false), ("run.sh", b"x\n", false)]);
        let new = skill(&[("SKILL.md", b"a\n", false), ("logo.png", b"\xff\xff", false), ("run.sh", b"x\n", true)]);
        let shown = diff(Some(&old), Some(&new));
        assert_eq!(shown, "logo.png: no text; 1 bytes before, 2 bytes after\nrun.sh: is now executable\n");
    }

    #[test]
    fn what_is_too_long_is_cut_and_says_so() {
        let long = text(&"é".repeat(MOST));
        let shown = diff(None, Some(&long));
        assert!(shown.len() < MOST + 100 && shown.ends_with("left out)\n"), "{}", shown.len());
    }
}
