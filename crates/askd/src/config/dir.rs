//! `CONFIG_DIR`: the agents, skills, rules and settings that every run gets a copy of.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use claude::environment::CONFIG_FOLDER;
use serde_json::{Map, Value};

use super::document::Etag;
use super::files::TEMPORARY;
use super::validate::{settings, usable_agent};
use crate::copy_tree::{Copier, CopyRules};
use crate::guard::Policy;
use crate::small_file;

/// The operator's configuration of the CLI.
#[derive(Debug, Clone)]
pub struct ConfigDir {
    path: PathBuf,
    max_bytes: u64,
    /// Whether it was there at the start. Then it must be there for every run: its deny rules are in it.
    was_there: bool,
    /// The settings that were judged last, and what was wrong with them: no run waits for the same judgement twice.
    judged: Arc<Mutex<Option<Judged>>>,
}

/// Settings by their hash, and why runs must not have them.
type Judged = (Etag, Option<String>);

/// What is copied into a home. State of the CLI (`projects`, `.claude.json`, `history.jsonl`, …) is not.
const SEEDED: [&str; 8] =
    ["CLAUDE.md", "agents", "commands", "output-styles", "rules", "settings.json", "skills", "workflows"];

/// The CLI's settings.
pub const SETTINGS_FILE: &str = "settings.json";

/// The guard's rules.
pub const POLICY_FILE: &str = "askd-policy.json";

/// The MCP servers of all runs.
pub const MCP_FILE: &str = ".mcp.json";

const MAX_ENTRIES: usize = 20_000;

/// An agent or the settings; both are text that a person wrote.
const MAX_FILE: u64 = 1 << 20;

/// Mistakes in the settings that the callers of runs are told.
const MAX_TOLD: usize = 3;

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
    #[error("`{SETTINGS_FILE}` in CONFIG_DIR is not valid, and the CLI would ignore its deny rules: {0}")]
    Settings(String),
    /// Without it runs would do what the operator forbids.
    #[error("`{POLICY_FILE}` in CONFIG_DIR is not valid: {0}")]
    Policy(String),
    /// A run without the servers that it should have would do something else.
    #[error("`{MCP_FILE}` in CONFIG_DIR is not valid: {0}")]
    McpServers(String),
}

impl SeedError {
    /// What a caller may know: which part is wrong, but no path of the server.
    pub fn for_caller(&self) -> String {
        match self {
            Self::Copy(_) => {
                "the server's configuration for the CLI cannot be copied; the server's log says why".into()
            }
            Self::Settings(_) | Self::Policy(_) | Self::McpServers(_) | Self::Gone => self.to_string(),
        }
    }
}

impl ConfigDir {
    /// The folder need not exist. `max_bytes` bounds what one home is given.
    pub fn new(path: &Path, max_bytes: u64) -> Self {
        Self { path: path.to_owned(), max_bytes, was_there: path.is_dir(), judged: Arc::default() }
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
        usable_agent(&text).map_err(|problem| unusable(problem.to_string()))
    }

    /// Copies the configuration into a run's home.
    pub fn seed(&self, home: &Path) -> Result<(), SeedError> {
        if self.was_there && !self.path.is_dir() {
            return Err(SeedError::Gone);
        }
        // Links are the operator's, e.g. those of a mounted Kubernetes ConfigMap.
        let (max_bytes, max_entries, left_out) = (self.max_bytes, MAX_ENTRIES, TEMPORARY);
        let rules = CopyRules { max_bytes, max_entries, follow_links: true, left_out };
        let mut copier = Copier::new(rules);
        let target = home.join(CONFIG_FOLDER);
        std::fs::create_dir_all(&target)?;
        for name in SEEDED {
            copier.copy(&self.path.join(name), &target.join(name))?;
        }
        // The copy, since that is what the run has: the file may have changed meanwhile.
        self.judge_settings(&target.join(SETTINGS_FILE))
    }

    /// What runs are kept from; of the house where the operator gives none. Read anew for each run: it is small.
    pub fn policy(&self) -> Result<Policy, SeedError> {
        match small_file::read_text(&self.path.join(POLICY_FILE), MAX_FILE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Policy::of_the_house()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(SeedError::Policy(error.to_string())),
            text => Policy::parse(&text?).map_err(|mistakes| {
                let first = mistakes.into_iter().next().map(|mistake| mistake.to_string());
                SeedError::Policy(first.unwrap_or_default())
            }),
        }
    }

    /// The MCP servers that every run is given, by name. Whether an entry can be used, the CLI judges, and says.
    pub fn mcp_servers(&self) -> Result<Map<String, Value>, SeedError> {
        mcp_servers(small_file::read_text(&self.path.join(MCP_FILE), MAX_FILE))
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
        match self.settings_text()? {
            None => Ok(Map::new()),
            Some(text) => serde_json::from_str(&text).map_err(|error| SeedError::Settings(error.to_string())),
        }
    }

    /// The text of `settings.json`, if there is one.
    pub(super) fn settings_text(&self) -> Result<Option<String>, SeedError> {
        settings_text(&self.path.join(SETTINGS_FILE))
    }

    /// Whether the settings that lie there now may be given to runs.
    pub fn check_settings(&self) -> Result<(), SeedError> {
        self.judge_settings(&self.path.join(SETTINGS_FILE))
    }

    /// Whether the CLI would take these settings, with all that they forbid.
    fn judge_settings(&self, file: &Path) -> Result<(), SeedError> {
        let Some(text) = settings_text(file)? else { return Ok(()) };
        let etag = Etag::of_bytes(text.as_bytes());
        let known = self.judged.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let wrong = match known {
            Some((of, wrong)) if of == etag => wrong,
            _ => {
                let errors = settings::check_standing(&text).errors;
                let told: Vec<_> = errors.iter().take(MAX_TOLD).map(ToString::to_string).collect();
                let wrong = (!told.is_empty()).then(|| told.join("; "));
                *self.judged.lock().unwrap_or_else(PoisonError::into_inner) = Some((etag, wrong.clone()));
                wrong
            }
        };
        wrong.map_or(Ok(()), |wrong| Err(SeedError::Settings(wrong)))
    }
}

fn settings_text(file: &Path) -> Result<Option<String>, SeedError> {
    match small_file::read_text(file, MAX_FILE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(SeedError::Settings(error.to_string())),
        text => Ok(Some(text?)),
    }
}

/// The servers in the text of a `.mcp.json`; none where there is no file.
pub fn mcp_servers(text: io::Result<String>) -> Result<Map<String, Value>, SeedError> {
    match text {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Map::new()),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(SeedError::McpServers(error.to_string())),
        text => match serde_json::from_str::<Map<String, Value>>(&text?) {
            Ok(mut file) => match file.remove("mcpServers") {
                None => Ok(Map::new()),
                Some(Value::Object(servers)) => Ok(servers),
                Some(_) => {
                    Err(SeedError::McpServers("`mcpServers` must be an object of servers by their names".into()))
                }
            },
            Err(error) => Err(SeedError::McpServers(error.to_string())),
        },
    }
}

fn is_agent_name(name: &str) -> bool {
    let characters = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    (1..=60).contains(&name.len()) && characters && !name.starts_with('-')
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
            ("no-name", "`name`: is missing"),
            ("no-description", "line 1: `description`: is missing"),
            ("bad", "cannot be used"),
            ("dash", "line 2: `name`: must not begin"),
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
        let told = || config.seed(tempfile::tempdir().unwrap().path()).map_err(|error| error.to_string());
        let text = told().unwrap_err();
        assert!(text.contains("deny rules") && text.contains("line 1"), "{text}");
        fs::write(config.path().join("settings.json"), "{\n\"permissions\": {\"deny\": [\"bash(rm *)\"]}}").unwrap();
        let text = told().unwrap_err();
        assert!(text.contains("line 2: `permissions.deny[0]`: never matches: the tool is called `Bash`"), "{text}");
        assert_eq!(told().unwrap_err(), text, "also when it was judged before");
        fs::write(config.path().join("settings.json"), "{\"permissions\": {\"deny\": [\"Bash(rm *)\"]}, \"theme\": 5}")
            .unwrap();
        assert_eq!(told(), Ok(()), "what the CLI drops alone opens nothing");
    }
}
