//! `CONFIG_DIR`: the agents, skills, rules and settings that every run gets a copy of.

use std::io;
use std::path::{Path, PathBuf};

use claude::environment::CONFIG_FOLDER;
use serde_json::{Map, Value};

use crate::copy_tree::{Copier, CopyRules};
use crate::frontmatter;
use crate::small_file;

/// The operator's configuration of the CLI.
#[derive(Debug, Clone)]
pub struct ConfigDir {
    path: PathBuf,
    max_bytes: u64,
    /// Whether it was there at the start. Then it must be there for every run: its deny rules are in it.
    was_there: bool,
}

/// What is copied into a home. State of the CLI (`projects`, `.claude.json`, `history.jsonl`, …) is not.
const SEEDED: [&str; 8] =
    ["CLAUDE.md", "agents", "commands", "output-styles", "rules", "settings.json", "skills", "workflows"];

const MAX_ENTRIES: usize = 20_000;

/// An agent or the settings; both are text that a person wrote.
const MAX_FILE: u64 = 1 << 20;

/// Why an agent cannot answer. The texts are for the caller.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// A name that no file can have.
    #[error("agent must be 1 to 60 characters of a-z, 0-9 and `-`, and must not begin with `-`")]
    Name,
    /// No file.
    #[error("there is no agent `{0}`")]
    NotFound(String),
    /// The CLI would silently skip the file.
    #[error("the agent `{name}` cannot be used: {reason}")]
    Unusable {
        /// The file's name without `.md`.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Why a home could not be seeded.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// A file could not be copied.
    #[error("cannot copy the configuration: {0}")]
    Copy(#[from] io::Error),
    /// It was there at the start, and its deny rules with it.
    #[error("CONFIG_DIR is not there any more, and runs without its settings are refused")]
    Gone,
    /// The CLI would ignore the file, its deny rules included.
    #[error("`settings.json` in CONFIG_DIR is not valid, and the CLI would ignore its deny rules: {0}")]
    Settings(String),
}

impl SeedError {
    /// What a caller may know: which part is wrong, but no path of the server.
    pub fn for_caller(&self) -> String {
        match self {
            Self::Copy(_) => {
                "the server's configuration for the CLI cannot be copied; the server's log says why".into()
            }
            Self::Settings(_) | Self::Gone => self.to_string(),
        }
    }
}

impl ConfigDir {
    /// The folder need not exist. `max_bytes` bounds what one home is given.
    pub fn new(path: &Path, max_bytes: u64) -> Self {
        Self { path: path.to_owned(), max_bytes, was_there: path.is_dir() }
    }

    /// Whether there was such a folder at the start.
    pub fn was_there(&self) -> bool {
        self.was_there
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name under which the CLI knows the agent of the file `agents/NAME.md`.
    pub fn agent(&self, name: &str) -> Result<String, AgentError> {
        if !is_agent_name(name) {
            return Err(AgentError::Name);
        }
        let unusable = |reason: String| AgentError::Unusable { name: name.into(), reason };
        let text = match small_file::read_text(&self.path.join("agents").join(format!("{name}.md")), MAX_FILE) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(AgentError::NotFound(name.into())),
            Err(error) => return Err(unusable(format!("its file cannot be read: {error}"))),
        };
        let document = frontmatter::parse(&text).map_err(|error| unusable(error.to_string()))?;
        let field = |key: &str| {
            document.frontmatter.get(key).and_then(serde_norway::Value::as_str).filter(|text| !text.is_empty())
        };
        if field("description").is_none() {
            return Err(unusable("its frontmatter has no `description`".into()));
        }
        let known_as = field("name").ok_or_else(|| unusable("its frontmatter has no `name`".into()))?;
        if is_safe_argument(known_as) {
            Ok(known_as.to_owned())
        } else {
            Err(unusable("the `name` in its frontmatter must not begin with `-` nor contain `:`".into()))
        }
    }

    /// Copies the configuration into a run's home.
    pub fn seed(&self, home: &Path) -> Result<(), SeedError> {
        if self.was_there && !self.path.is_dir() {
            return Err(SeedError::Gone);
        }
        self.settings()?;
        // Links are the operator's, e.g. those of a mounted Kubernetes ConfigMap.
        let rules = CopyRules { max_bytes: self.max_bytes, max_entries: MAX_ENTRIES, follow_links: true };
        let mut copier = Copier::new(rules);
        let target = home.join(CONFIG_FOLDER);
        std::fs::create_dir_all(&target)?;
        for name in SEEDED {
            copier.copy(&self.path.join(name), &target.join(name))?;
        }
        Ok(())
    }

    /// A login that was made with the CLI and mounted here.
    pub fn login(&self) -> Option<PathBuf> {
        let file = self.path.join(crate::credentials::LOGIN_FILE);
        file.is_file().then_some(file)
    }

    /// Whether the operator's settings have hooks of their own.
    pub fn has_hooks(&self) -> bool {
        self.settings().is_ok_and(|settings| settings.contains_key("hooks"))
    }

    /// `settings.json`; empty when there is none.
    fn settings(&self) -> Result<Map<String, Value>, SeedError> {
        match small_file::read_text(&self.path.join("settings.json"), MAX_FILE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Map::new()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(SeedError::Settings(error.to_string())),
            text => serde_json::from_str(&text?).map_err(|error| SeedError::Settings(error.to_string())),
        }
    }
}

fn is_agent_name(name: &str) -> bool {
    let characters = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    (1..=60).contains(&name.len()) && characters && !name.starts_with('-')
}

fn is_safe_argument(name: &str) -> bool {
    name.len() <= 200 && !name.starts_with('-') && !name.contains(':') && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::{FileType, Mode};

    use super::*;

    fn config(files: &[(&str, &str)]) -> (tempfile::TempDir, ConfigDir) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let config = ConfigDir::new(folder.path(), 1 << 20);
        (folder, config)
    }

    #[test]
    fn an_agent_goes_by_the_name_in_its_frontmatter() {
        let (_guard, config) = config(&[("agents/file.md", "---\nname: known-as\ndescription: d\n---\nText")]);
        assert_eq!(config.agent("file").unwrap(), "known-as");
    }

    #[test]
    fn what_the_cli_would_skip_is_an_error_that_says_why() {
        let (_guard, config) = config(&[
            ("agents/no-name.md", "---\ndescription: d\n---\n"),
            ("agents/no-description.md", "---\nname: x\n---\n"),
            ("agents/bad.md", "---\nname: [\n---\n"),
            ("agents/dash.md", "---\nname: -x\ndescription: d\n---\n"),
            ("agents/long.md", &"x".repeat((1 << 20) + 1)),
        ]);
        let pipe = config.path().join("agents/pipe.md");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        for (name, part) in [
            ("no-name", "no `name`"),
            ("no-description", "no `description`"),
            ("bad", "cannot be used"),
            ("dash", "must not begin"),
            ("missing", "there is no agent `missing`"),
            ("long", "larger than 1048576 bytes"),
            ("pipe", "not a regular file"),
            ("../agents/no-name", "agent must be"),
            ("", "agent must be"),
        ] {
            let text = config.agent(name).unwrap_err().to_string();
            assert!(text.contains(part), "{name}: {text}");
        }
    }

    #[test]
    fn a_home_gets_the_texts_and_not_the_state() {
        let (_guard, config) = config(&[
            ("CLAUDE.md", "hello"),
            ("skills/s/SKILL.md", "skill"),
            (".claude.json", "{}"),
            ("projects/x/y.jsonl", "{}"),
            ("settings.json", "{}"),
        ]);
        let home = tempfile::tempdir().unwrap();
        config.seed(home.path()).unwrap();
        let seeded = home.path().join(CONFIG_FOLDER);
        assert!(seeded.join("CLAUDE.md").is_file() && seeded.join("skills/s/SKILL.md").is_file());
        assert!(!seeded.join("projects").exists() && !seeded.join(".claude.json").exists());
    }

    #[test]
    fn a_folder_that_has_vanished_stops_the_run_and_one_that_never_was_does_not() {
        let (guard, config) = config(&[("settings.json", "{}")]);
        let home = tempfile::tempdir().unwrap();
        drop(guard);
        assert!(matches!(config.seed(home.path()), Err(SeedError::Gone)));
        ConfigDir::new(Path::new("/nowhere"), 1).seed(home.path()).unwrap();
    }

    #[test]
    fn settings_that_the_cli_would_ignore_stop_the_run() {
        let (_guard, config) = config(&[("settings.json", "{\"permissions\": {")]);
        let home = tempfile::tempdir().unwrap();
        let text = config.seed(home.path()).unwrap_err().to_string();
        assert!(text.contains("deny rules") && text.contains("line 1"), "{text}");
    }
}
