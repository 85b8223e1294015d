//! `CONFIG_DIR`: the agents, skills, rules and settings that every run gets a copy of.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use claude::environment::CONFIG_FOLDER;
use serde_json::{Map, Value};

use super::document::Etag;
use super::files::TEMPORARY;
use super::json::Json;
use super::limits::MAX_TEXT_BYTES;
use super::validate::{agent_name, mcp, policy, settings, usable_agent};
use crate::copy_tree::{Copier, CopyRules};
use crate::guard::Policy;
use crate::small_file;

pub mod restrained;

/// The operator's configuration of the CLI.
#[derive(Debug, Clone)]
pub struct ConfigDir {
    path: PathBuf,
    max_bytes: u64,
    /// Whether it was there at the start. Then it must be there for every run: its deny rules are in it.
    was_there: bool,
    /// The settings that were judged last, and what was wrong with them: no run waits for the same judgement twice.
    judged: Arc<Mutex<Option<Judged>>>,
    /// The policy that was read last, by its hash.
    policy: Arc<Mutex<Option<(Etag, Policy)>>>,
}

/// What was found out about settings.
#[derive(Debug, Clone)]
struct Judged {
    etag: Etag,
    /// Why runs must not have them.
    wrong: Option<String>,
    has_hooks: bool,
}

/// What a run is given of the configuration besides the files in its home.
#[derive(Debug)]
pub struct Seeded {
    /// What its tools are kept from.
    pub policy: Policy,
    /// The MCP servers that every run is given, by name. Whether an entry can be used, the CLI judges, and says.
    pub mcp_servers: Map<String, Value>,
    /// Whether the settings in its home have hooks of the operator's.
    pub has_hooks: bool,
}

/// What is copied into a home, besides the settings. State of the CLI (`projects`, `.claude.json`, `history.jsonl`, …) is
/// not.
const SEEDED: [&str; 8] = ["CLAUDE.md", "agents", "commands", "hooks", "output-styles", "rules", "skills", "workflows"];

/// The CLI's settings.
pub const SETTINGS_FILE: &str = "settings.json";

/// The guard's rules.
pub const POLICY_FILE: &str = "askd-policy.json";

/// The MCP servers of all runs.
pub const MCP_FILE: &str = ".mcp.json";

const MAX_ENTRIES: usize = 20_000;

/// Of one text, in bytes. What may be put, runs must be able to read.
const MAX_FILE: u64 = MAX_TEXT_BYTES;

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
        Self {
            path: path.to_owned(),
            max_bytes,
            was_there: path.is_dir(),
            judged: Arc::default(),
            policy: Arc::default(),
        }
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

    /// Whether the CLI finds an agent of this name in it, whatever the file is called. One that cannot be read counts as one
    /// of the name of its file.
    pub fn has_agent_called(&self, name: &str) -> bool {
        let Ok(files) = std::fs::read_dir(self.path.join("agents")) else { return false };
        files.take(MAX_ENTRIES).filter_map(Result::ok).map(|file| file.path()).any(|file| {
            file.file_stem().is_some_and(|stem| stem == name)
                || file.extension().is_some_and(|extension| extension == "md")
                    && small_file::read_text(&file, MAX_FILE)
                        .is_ok_and(|text| agent_name(&text).as_deref() == Some(name))
        })
    }

    /// Copies the configuration into a run's home, and reads the rest of what the run is given.
    pub fn seed(&self, home: &Path) -> Result<Seeded, SeedError> {
        let target = self.copy_into(home, with_settings())?;
        // The copy, since that is what the run has: the file may have changed meanwhile.
        let has_hooks = self.judge_settings(&target.join(SETTINGS_FILE))?;
        Ok(Seeded { policy: self.policy()?, mcp_servers: self.mcp_servers()?, has_hooks })
    }

    /// Copies what has these names into the configuration folder of a run's home; gives that folder.
    fn copy_into(&self, home: &Path, names: impl IntoIterator<Item = &'static str>) -> Result<PathBuf, SeedError> {
        let mut copier = self.copier()?;
        let target = home.join(CONFIG_FOLDER);
        std::fs::create_dir_all(&target)?;
        for name in names {
            copier.copy(&self.path.join(name), &target.join(name))?;
        }
        Ok(target)
    }

    /// Whether a home could be given all of it. Nothing is made. Blocking: it opens every file.
    pub fn check_copy(&self) -> Result<(), SeedError> {
        let mut copier = self.copier()?;
        for name in with_settings() {
            copier.rehearse(&self.path.join(name))?;
        }
        Ok(())
    }

    fn copier(&self) -> Result<Copier, SeedError> {
        if self.was_there && !self.path.is_dir() {
            return Err(SeedError::Gone);
        }
        // Links are the operator's, e.g. those of a mounted Kubernetes ConfigMap.
        let (max_bytes, max_entries, left_out) = (self.max_bytes, MAX_ENTRIES, TEMPORARY);
        Ok(Copier::new(CopyRules { max_bytes, max_entries, follow_links: true, left_out }))
    }

    /// What runs are kept from; of the house where the operator gives none. The file is read for each run, and taken
    /// apart only when it is another one.
    pub fn policy(&self) -> Result<Policy, SeedError> {
        match small_file::read_text(&self.path.join(POLICY_FILE), MAX_FILE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Policy::of_the_house()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(SeedError::Policy(error.to_string())),
            text => {
                let text = text?;
                let etag = Etag::of_bytes(text.as_bytes());
                let known = self.policy.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if let Some((_, policy)) = known.filter(|(of, _)| *of == etag) {
                    return Ok(policy);
                }
                let policy = policy::read(&text).map_err(|problem| SeedError::Policy(problem.to_string()))?;
                *self.policy.lock().unwrap_or_else(PoisonError::into_inner) = Some((etag, policy.clone()));
                Ok(policy)
            }
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

    /// The text of `settings.json`, if there is one.
    pub(super) fn settings_text(&self) -> Result<Option<String>, SeedError> {
        settings_text(&self.path.join(SETTINGS_FILE))
    }

    /// Whether the settings that lie there now may be given to runs.
    pub fn check_settings(&self) -> Result<(), SeedError> {
        self.judge_settings(&self.path.join(SETTINGS_FILE)).map(|_| ())
    }

    /// Whether the CLI would take these settings, with all that they forbid; and whether they have hooks.
    fn judge_settings(&self, file: &Path) -> Result<bool, SeedError> {
        settings_text(file)?.map_or(Ok(false), |text| self.judge_text(&text))
    }

    fn judge_text(&self, text: &str) -> Result<bool, SeedError> {
        let etag = Etag::of_bytes(text.as_bytes());
        let known = self.judged.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let judged = match known {
            Some(judged) if judged.etag == etag => judged,
            _ => {
                let errors = settings::check_standing(text).errors;
                let told: Vec<_> = errors.iter().take(MAX_TOLD).map(ToString::to_string).collect();
                let wrong = (!told.is_empty()).then(|| told.join("; "));
                let judged = Judged { etag, wrong, has_hooks: has_hooks(text) };
                *self.judged.lock().unwrap_or_else(PoisonError::into_inner) = Some(judged.clone());
                judged
            }
        };
        judged.wrong.map_or(Ok(judged.has_hooks), |wrong| Err(SeedError::Settings(wrong)))
    }
}

/// What is copied into the home of a run that has the settings as a file of its own.
fn with_settings() -> impl Iterator<Item = &'static str> {
    SEEDED.into_iter().chain([SETTINGS_FILE])
}

fn settings_text(file: &Path) -> Result<Option<String>, SeedError> {
    match small_file::read_text(file, MAX_FILE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(SeedError::Settings(error.to_string())),
        text => Ok(Some(text?)),
    }
}

/// Whether settings have hooks. Also when nobody can tell: they must not be silenced.
fn has_hooks(settings: &str) -> bool {
    Json::object(settings).map_or(true, |json| json.value().get("hooks").is_some())
}

/// The servers in the text of a `.mcp.json`; none where there is no file.
pub fn mcp_servers(text: io::Result<String>) -> Result<Map<String, Value>, SeedError> {
    match text {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Map::new()),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(SeedError::McpServers(error.to_string())),
        text => mcp::servers(&text?).map_err(|problem| SeedError::McpServers(problem.to_string())),
    }
}

/// Laxer than [`super::name::DocumentId`]: files that were named by hand, such as `code--review-.md`, are agents to the CLI,
/// and whoever names one in a request shall get it. Over HTTP they can be neither put nor listed.
fn is_agent_name(name: &str) -> bool {
    let characters = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    (1..=60).contains(&name.len()) && characters && !name.starts_with('-')
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;
    use rustix::fs::{FileType, Mode};

    use super::*;
    use crate::config::document::Content;
    use crate::config::kind::Kind;
    use crate::config::name::DocumentId;
    use crate::config::scope::Scope;
    use crate::config::validate;

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
    fn an_agent_is_found_by_the_name_in_its_frontmatter_and_by_that_of_its_file() {
        let text = "---\nname: known-as\ndescription: d\n---\nText";
        let (_guard, config) =
            config(&[("agents/file.md", text), ("agents/broken.md", "no head"), ("agents/x.txt", text)]);
        for (name, is_there) in
            [("known-as", true), ("file", true), ("broken", true), ("other", false), ("known", false)]
        {
            assert_eq!(config.has_agent_called(name), is_there, "{name}");
        }
        assert!(!self::config(&[]).1.has_agent_called("known-as"));
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
            ("agents/long.md", &"x".repeat(2_000_001)),
        ]);
        let pipe = config.path().join("agents/pipe.md");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        for (name, part) in [
            ("no-name", "`name`: is missing"),
            ("no-description", "line 1: `description`: is missing"),
            ("bad", "cannot be used"),
            ("dash", "line 2: `name`: must not begin"),
            ("missing", "there is no agent `missing`"),
            ("long", "larger than 2000000 bytes"),
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
    fn hooks_are_found_and_also_feared_where_nobody_can_tell() {
        for (text, has) in [
            ("{}", false),
            ("{\"hooks\": {}}", true),
            ("\u{feff}{\"hooks\": {}}", true),
            ("\u{feff}{}", false),
            ("{\"hooks\": {}", true),
        ] {
            assert_eq!(has_hooks(text), has, "{text}");
        }
    }

    #[test]
    fn a_run_is_told_of_the_hooks_that_are_in_its_own_home() {
        let (_guard, config) = config(&[("settings.json", "{\"hooks\": {}}")]);
        let seed = || config.seed(tempfile::tempdir().unwrap().path()).unwrap().has_hooks;
        assert!(seed() && seed(), "also when they were judged before");
        fs::remove_file(config.path().join("settings.json")).unwrap();
        assert!(!seed());
    }

    #[test]
    fn a_policy_is_taken_apart_once_and_anew_when_it_is_another_one() {
        let (_guard, config) = config(&[(POLICY_FILE, Policy::default_text())]);
        let house = config.policy().unwrap().deny_rules().len();
        assert_eq!(config.policy().unwrap().deny_rules().len(), house);
        let known = config.policy.lock().unwrap().as_ref().unwrap().0;
        assert_eq!(known, Etag::of_bytes(Policy::default_text().as_bytes()));
        fs::write(config.path().join(POLICY_FILE), "{").unwrap();
        assert!(matches!(config.policy(), Err(SeedError::Policy(_))));
        fs::remove_file(config.path().join(POLICY_FILE)).unwrap();
        assert_eq!(config.policy().unwrap().deny_rules().len(), house);
    }

    #[test]
    fn servers_are_read_as_they_are_checked() {
        let read = |text: &str| config(&[(".mcp.json", text)]).1.mcp_servers().map_err(|error| error.to_string());
        assert_eq!(read("\u{feff}{\"mcpServers\": {\"a\": {\"command\": \"x\"}}}").unwrap().len(), 1);
        assert_eq!(config(&[]).1.mcp_servers().unwrap().len(), 0);
        for (text, part) in [
            ("{}", "line 1: `mcpServers`: is missing"),
            ("[]", "must be an object"),
            ("{\"mcpServers\": []}", "must be an object of servers"),
            ("{\"mcpServers\": {}, \"mcpServers\": {}}", "is given twice"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_policy_with_a_rule_that_protects_nothing_stops_the_run() {
        let text = Policy::default_text().replacen("\"deny\": [", "\"deny\": [\"bash(rm *)\",", 1);
        let error = config(&[("askd-policy.json", &text)]).1.policy().unwrap_err().to_string();
        assert!(error.contains("`permissions.deny[0]`: never matches"), "{error}");
    }

    proptest! {
        /// Whatever may be put over HTTP, no run fails for.
        #[test]
        fn what_a_check_accepts_runs_can_be_given(document in documents()) {
            let (kind, text) = document;
            let id = DocumentId::new(kind, None).unwrap();
            let is_valid = validate::check(&id, &Content::Text(text.clone())).is_valid();
            let file = id.path(&Scope::User);
            let (_guard, config) = config(&[(file.to_str().unwrap(), &text)]);
            let given = config.check_settings().and_then(|()| config.policy()).and_then(|_| config.mcp_servers());
            prop_assert!(!is_valid || given.is_ok(), "{kind:?} {text:?}: {given:?}");
        }
    }

    /// Nearly right texts, at times behind a byte order mark.
    fn documents() -> impl Strategy<Value = (Kind, String)> {
        let mark = prop::sample::select(vec!["", "\u{feff}", "\n", " \u{feff}"]);
        let settings = r#"\{("(permissions|env|hooks|model|x)": ?(\{("(deny|allow|A)": ?(\["(Edit|Bash|Bash\(|bash)"\]|"x"|5|null))?\}|5|"x")){0,1}\}|\{"a":1,"a":2\}|"#;
        let servers = r#"\{("mcpServers": ?(\{("a": ?(\{("(command|url|type)": ?("x"|""|5))?\}|5))?\}|\[\]|null))?(,"mcpServers":\{\})?\}|"#;
        let policy = prop::sample::select(vec![
            "\"deny\": [",
            "\"deny\": [\"Edit\",",
            "\"deny\": [\"edit\",",
            "\"deny\": [5,",
            "\"x\": [",
        ])
        .prop_map(|rules| Policy::default_text().replacen("\"deny\": [", rules, 1));
        let kinds = prop_oneof![
            settings.prop_map(|text| (Kind::Settings, text)),
            servers.prop_map(|text| (Kind::McpServers, text)),
            policy.prop_map(|text| (Kind::Policy, text)),
        ];
        (mark, kinds).prop_map(|(mark, (kind, text))| (kind, format!("{mark}{text}")))
    }

    #[test]
    fn settings_that_the_cli_would_ignore_stop_the_run() {
        let (_guard, config) = config(&[("settings.json", "{\"permissions\": {")]);
        let told = || config.seed(tempfile::tempdir().unwrap().path()).map(drop).map_err(|error| error.to_string());
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
