//! The repository's files, and Rust sources reduced to what counts for the rules.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders that are not sources.
const SKIPPED: [&str; 5] = [".git", "target", "node_modules", ".askd", "proptest-regressions"];

/// A Rust source without comments and without its test modules.
pub(crate) struct File {
    /// From the repository's root.
    pub(crate) path: String,
    pub(crate) code: String,
    /// Lines without test modules, with comments.
    pub(crate) lines: usize,
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    crates.and_then(Path::parent).expect("this crate lies in crates/").to_owned()
}

pub(crate) fn bytes(path: &str) -> Vec<u8> {
    fs::read(root().join(path)).unwrap_or_else(|error| panic!("cannot read {path}: {error}"))
}

pub(crate) fn read(path: &str) -> String {
    String::from_utf8(bytes(path)).unwrap_or_else(|error| panic!("{path} is no text: {error}"))
}

/// All files, from the root.
pub(crate) fn repository() -> Vec<String> {
    let mut files = Vec::new();
    walk(&root(), "", &mut files);
    files.sort();
    files
}

/// The sources below a folder, without test files.
pub(crate) fn rust_sources(folder: &str) -> Vec<File> {
    let mut files = Vec::new();
    walk(&root().join(folder), folder, &mut files);
    assert!(!files.is_empty(), "there is nothing in {folder}");
    let is_source = |path: &String| {
        path.strip_suffix(".rs").is_some_and(|path| !path.ends_with("/tests") && !path.contains("/tests/"))
    };
    files.into_iter().filter(is_source).map(File::read).collect()
}

fn walk(folder: &Path, name: &str, files: &mut Vec<String>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("cannot read {}: {error}", folder.display()));
    for entry in entries.flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        let path = if name.is_empty() { file.clone() } else { format!("{name}/{file}") };
        // Links lead to files that are listed anyway. Another test may remove a file meanwhile.
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && !SKIPPED.contains(&&*file) => walk(&entry.path(), &path, files),
            Ok(kind) if kind.is_file() => files.push(path),
            _ => {}
        }
    }
}

impl File {
    fn read(path: String) -> Self {
        let text = without_test_modules(&read(&path));
        let code: Vec<_> = text.lines().map(|line| line.split_once("//").map_or(line, |(code, _)| code)).collect();
        Self { lines: text.lines().count(), code: code.join("\n"), path }
    }

    /// The module of the crate's root that the file belongs to.
    pub(crate) fn module(&self) -> Option<&str> {
        let below = self.path.split_once("/src/")?.1;
        let module = below.split('/').next()?;
        Some(module.strip_suffix(".rs").unwrap_or(module))
    }

    /// The root modules that the file names.
    pub(crate) fn uses_of_own_crate(&self) -> BTreeSet<String> {
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        let mut used = BTreeSet::new();
        for rest in self.code.split("crate::").skip(1) {
            if let Some(group) = rest.strip_prefix('{') {
                used.extend(first_names(group));
            } else {
                used.extend(rest.split(|c| !is_name(c)).next().map(str::to_owned));
            }
        }
        used
    }
}

/// The names that begin the paths of `{a::b, c::{d, e}}`, after its first brace.
fn first_names(group: &str) -> Vec<String> {
    let (mut depth, mut names, mut name) = (1, Vec::new(), Some(String::new()));
    for character in group.chars() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        let is_name = character.is_alphanumeric() || character == '_';
        match &mut name {
            Some(name) if is_name => name.push(character),
            Some(text) if !text.is_empty() => names.extend(name.take()),
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if depth == 1 && character == ',' {
            name = Some(String::new());
        }
    }
    names
}

/// Leaves out `#[cfg(test)] mod name { … }` at the left edge; rustfmt puts its closing brace there too.
fn without_test_modules(text: &str) -> String {
    let (mut kept, mut lines) = (String::new(), text.lines().peekable());
    while let Some(line) = lines.next() {
        let opens = lines.peek().is_some_and(|next| next.starts_with("mod ") && next.ends_with('{'));
        if line == "#[cfg(test)]" && opens {
            lines.by_ref().find(|line| *line == "}");
        } else {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

#[test]
fn sources_are_understood() {
    let text =
        "use crate::{a::b, c::{d, e}, f};\n#[cfg(test)]\nmod tests {\n    use crate::g;\n}\ncrate::h(); // crate::i";
    let code = without_test_modules(text).replace(" // crate::i", "");
    let file = File { path: "crates/x/src/m/n.rs".into(), lines: code.lines().count(), code };
    assert_eq!(file.uses_of_own_crate().into_iter().collect::<Vec<_>>(), ["a", "c", "f", "h"]);
    assert_eq!((file.module(), file.lines), (Some("m"), 2));
}
