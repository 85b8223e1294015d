//! Which documents there are.

use std::fs;
use std::path::Path;

use crate::page::root;

/// Folders without documents of ours.
const SKIPPED: [&str; 5] = [".git", "target", "node_modules", ".askd", "proptest-regressions"];
/// Records of what was thought and measured at a time: their commands are not for readers to run.
const RECORDS: [&str; 2] = ["docs/decisions/", "docs/evidence/"];

/// All documents of the repository, from its root.
pub(crate) fn all() -> Vec<String> {
    let mut found = Vec::new();
    walk(&root(), "", &mut found);
    found.sort();
    found
}

/// The documents that people follow.
pub(crate) fn guides() -> Vec<String> {
    let is_guide = |page: &String| {
        matches!(&**page, "README.md" | "CONTRIBUTING.md")
            || page.starts_with("docs/") && !RECORDS.iter().any(|folder| page.starts_with(folder))
    };
    all().into_iter().filter(is_guide).collect()
}

fn walk(folder: &Path, name: &str, found: &mut Vec<String>) {
    // Another test may remove a folder meanwhile.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        let path = if name.is_empty() { file.clone() } else { format!("{name}/{file}") };
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && !SKIPPED.contains(&&*file) => walk(&entry.path(), &path, found),
            Ok(kind) if kind.is_file() && Path::new(&file).extension().is_some_and(|it| it == "md") => found.push(path),
            _ => {}
        }
    }
}
