//! The settings file: flat TOML, each key with the line it stands on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::problem::{Origin, Problem};
use super::sources::Found;
use super::value::Raw;
use crate::small_file;

/// The largest settings file, in bytes: every setting many times over.
const MAX_FILE: u64 = 1 << 20;

/// What the file holds; nothing when there is no file.
#[derive(Default)]
pub(super) struct FileLayer {
    name: String,
    path: Option<PathBuf>,
    folder: PathBuf,
    entries: BTreeMap<String, (Raw, usize)>,
}

impl FileLayer {
    /// Reads the file. What cannot be read becomes a problem, the rest still counts.
    pub(super) fn read(path: &Path, current_dir: &Path, named_by: &Origin, problems: &mut Vec<Problem>) -> Self {
        let name = path.display().to_string();
        let path = current_dir.join(path);
        let folder = path.parent().unwrap_or(current_dir).to_owned();
        let text = match small_file::read_text(&path, MAX_FILE) {
            Ok(text) => text,
            Err(error) => {
                problems.push(Problem {
                    setting: "config".to_owned(),
                    value: Some(name.clone()),
                    origin: Some(named_by.clone()),
                    what: format!("cannot be read: {error}"),
                    hint: "give the path of a readable TOML file".to_owned(),
                });
                String::new()
            }
        };
        let (table, errors) = DeTable::parse_recoverable(&text);
        for error in errors {
            let line = error.span().map_or(0, |span| line_of(&text, span.start));
            problems.push(Problem {
                setting: "config".to_owned(),
                value: None,
                origin: Some(Origin::File { file: name.clone(), line, key: String::new() }),
                // Not its `Display`, which quotes the line, and the line may hold a secret.
                what: format!("is not TOML: {}", error.message()),
                hint: "write one `key = value` a line, texts in quotes".to_owned(),
            });
        }
        let entries = table.into_inner().into_iter().map(|(key, value)| {
            let line = line_of(&text, key.span().start);
            (key.into_inner().into_owned(), (raw(value.get_ref()), line))
        });
        Self { name, path: Some(path), folder, entries: entries.collect() }
    }

    /// The file, if there is one.
    pub(super) fn path(&self) -> Option<PathBuf> {
        self.path.clone()
    }

    /// The value under a key.
    pub(super) fn find(&self, key: &str) -> Option<Found> {
        let (raw, line) = self.entries.get(key)?;
        Some(Found { raw: raw.clone(), origin: self.origin(key, *line), folder: self.folder.clone() })
    }

    /// Every key in it with its origin.
    pub(super) fn keys(&self) -> impl Iterator<Item = (&str, Origin)> {
        self.entries.iter().map(|(key, (_, line))| (key.as_str(), self.origin(key, *line)))
    }

    fn origin(&self, key: &str, line: usize) -> Origin {
        Origin::File { file: self.name.clone(), line, key: key.to_owned() }
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = &text.as_bytes()[..offset.min(text.len())];
    before.split(|byte| *byte == b'\n').count()
}

fn raw(value: &DeValue<'_>) -> Raw {
    if let DeValue::Array(items) = value {
        let texts = items.iter().map(|item| scalar(item.get_ref()));
        return texts.collect::<Option<_>>().map_or(Raw::Unfit("array"), Raw::List);
    }
    scalar(value).map_or(Raw::Unfit(value.type_str()), Raw::Text)
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.clone().into_owned()),
        // Hexadecimal and the like print with their prefix, and are then refused as numbers.
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Boolean(flag) => Some(flag.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        _ => None,
    }
}
