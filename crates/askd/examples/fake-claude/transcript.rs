//! The session's transcript, where the real CLI keeps it.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::Started;

pub(crate) struct Transcript {
    file: PathBuf,
}

impl Transcript {
    pub(crate) fn of(started: &Started) -> Self {
        let folder = started.variable("CLAUDE_CONFIG_DIR").unwrap_or(".");
        let project = started.variable("CLAUDE_CODE_PROJECT_DIR_NAME").unwrap_or("unnamed");
        let file = format!("{folder}/projects/{project}/{}.jsonl", started.session());
        Self { file: file.into() }
    }

    pub(crate) fn exists(&self) -> bool {
        self.file.is_file()
    }

    /// The prompts so far.
    pub(crate) fn prompts(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        let entries = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        entries.filter_map(|entry| Some(entry["message"]["content"].as_str()?.to_owned())).collect()
    }

    pub(crate) fn add(&self, prompt: &str) {
        let folder = self.file.parent().expect("the file has a folder");
        let opened =
            fs::create_dir_all(folder).and_then(|()| File::options().append(true).create(true).open(&self.file));
        let entry = json!({"type": "user", "message": {"role": "user", "content": prompt}});
        opened.and_then(|mut file| writeln!(file, "{entry}")).expect("the transcript can be written");
    }
}
