//! The CLI that was found at start: which one it is, and what it can do.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use claude::version::{MINIMUM, TESTED, Version};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::homes::Home;
use crate::programs::Programs;
use crate::settings::Settings;
use crate::small_file;

use probe::Probed;

pub mod health;
pub mod probe;
pub mod remark;
pub mod watch;

/// What is remembered of a CLI is much shorter.
const MAX_MEMORY: u64 = 64 * 1024;

/// The CLI that runs are started with.
#[derive(Debug, Clone)]
pub struct Cli {
    /// An absolute path.
    pub program: PathBuf,
    /// What it said of itself.
    pub version: Version,
    /// Whether it takes its API key from a descriptor, which is undocumented and therefore tried.
    pub reads_key_descriptor: bool,
    /// What it writes down of itself in a new home. A home that has it already is ready sooner: the CLI need not run its
    /// migrations, and write them down, one by one.
    pub state: Map<String, Value>,
    /// The file that all this is about.
    file: Option<watch::Identity>,
}

/// Why there is no usable CLI. The texts say what to do.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Nothing of that name.
    #[error(
        "the Claude Code CLI `{0}` was not found; install it (npm install -g @anthropic-ai/claude-code@{TESTED}), \
         mount it there if this is a container, or set ASKD_CLAUDE_BIN to its path"
    )]
    NotFound(PathBuf),
    /// It could not be asked for its version.
    #[error("`{program} --version` failed: {reason}")]
    Failed {
        /// The CLI.
        program: PathBuf,
        /// What happened.
        reason: String,
    },
    /// What it printed is no version.
    #[error("`{program} --version` printed `{output}`, which is no version; is ASKD_CLAUDE_BIN the Claude Code CLI?")]
    NoVersion {
        /// The CLI.
        program: PathBuf,
        /// Its output.
        output: String,
    },
    /// Too old.
    #[error("the Claude Code CLI {found} is too old: askd needs {MINIMUM} or newer")]
    TooOld {
        /// Its version.
        found: Version,
    },
}

/// What was found out, kept with what the file looked like, so that a start need not wait for it again.
#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    program: PathBuf,
    inode: u64,
    size: u64,
    changed: i64,
    output: String,
    reads_key_descriptor: bool,
    state: Map<String, Value>,
}

impl Cli {
    /// Finds the CLI and tries what it is and does, unless the same file was tried before (`memory` is a file).
    /// `home` is an empty one to try it in.
    pub async fn discover(
        settings: &Settings,
        programs: &Programs,
        home: &Home,
        memory: &Path,
    ) -> Result<Self, CliError> {
        let name = &settings.paths.claude_bin;
        let program = settings.child.find_program(name).ok_or_else(|| CliError::NotFound(name.clone()))?;
        let file = watch::identity(&program);
        if let Some(remembered) = recall(&program, memory)
            && let Ok(version) = accepted(&program, &remembered.output)
        {
            let Remembered { reads_key_descriptor, state, .. } = remembered;
            return Ok(Self { program, version, reads_key_descriptor, state, file });
        }
        let asked = programs.output(&program, &["--version"]).await;
        let output = asked.map_err(|reason| CliError::Failed { program: program.clone(), reason })?;
        let version = accepted(&program, &output)?;
        let Some(probed) = probe::probe(&program, programs, home).await else {
            tracing::warn!("the CLI did not answer; its key goes by variable, and runs may fail");
            return Ok(Self { program, version, reads_key_descriptor: false, state: Map::new(), file });
        };
        remember(&program, &output, &probed, memory);
        let Probed { reads_key_descriptor, state } = probed;
        Ok(Self { program, version, reads_key_descriptor, state, file })
    }
}

fn accepted(program: &Path, output: &str) -> Result<Version, CliError> {
    match Version::parse(output) {
        Some(found) if found < MINIMUM => Err(CliError::TooOld { found }),
        Some(version) => Ok(version),
        None => Err(CliError::NoVersion { program: program.to_owned(), output: first_line(output) }),
    }
}

fn first_line(output: &str) -> String {
    output.lines().next().unwrap_or_default().chars().take(200).collect()
}

fn look(program: &Path) -> Option<Remembered> {
    let metadata = fs::metadata(program).ok()?;
    Some(Remembered {
        program: program.to_owned(),
        inode: metadata.ino(),
        size: metadata.size(),
        changed: metadata.ctime(),
        output: String::new(),
        reads_key_descriptor: false,
        state: Map::new(),
    })
}

fn recall(program: &Path, memory: &Path) -> Option<Remembered> {
    let remembered: Remembered = serde_json::from_str(&small_file::read_text(memory, MAX_MEMORY).ok()?).ok()?;
    let now = look(program)?;
    let same = remembered.program == now.program
        && (remembered.inode, remembered.size, remembered.changed) == (now.inode, now.size, now.changed);
    same.then_some(remembered)
}

/// A failure costs the next start a moment and nothing else.
fn remember(program: &Path, output: &str, probed: &Probed, memory: &Path) {
    let Some(seen) = look(program) else { return };
    let seen = Remembered {
        output: output.to_owned(),
        reads_key_descriptor: probed.reads_key_descriptor,
        state: probed.state.clone(),
        ..seen
    };
    if let Ok(text) = serde_json::to_string(&seen) {
        drop(fs::write(memory, text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_kept_until_the_file_changes() {
        let folder = tempfile::tempdir().unwrap();
        let (program, memory) = (folder.path().join("claude"), folder.path().join("memory.json"));
        fs::write(&program, "one").unwrap();
        assert!(recall(&program, &memory).is_none());
        remember(&program, "2.1.330", &Probed { reads_key_descriptor: true, state: Map::new() }, &memory);
        let remembered = recall(&program, &memory).unwrap();
        assert_eq!((remembered.output.as_str(), remembered.reads_key_descriptor), ("2.1.330", true));
        fs::write(&program, "another one").unwrap();
        assert!(recall(&program, &memory).is_none());
    }

    #[test]
    fn an_old_cli_and_something_else_are_refused_with_a_reason() {
        let claude = Path::new("/bin/claude");
        assert!(accepted(claude, "2.1.330 (Claude Code)").is_ok());
        assert_eq!(
            accepted(claude, "2.0.1 (Claude Code)").unwrap_err().to_string(),
            "the Claude Code CLI 2.0.1 is too old: askd needs 2.1.261 or newer"
        );
        assert!(accepted(claude, "usage: claude").unwrap_err().to_string().contains("is no version"));
    }
}
