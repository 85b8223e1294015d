//! May a run load the configuration that lies in its folder (`--setting-sources=user,project`)?
//!
//! A repository's `.claude` can run programs and redirect the provider's URL, so under
//! [`ProjectConfigPolicy::Auto`] it is loaded only when everything in it is on an allow-list of plain
//! texts; anything else, and every error on the way, leaves the whole tier out.
//!
//! ```text
//! assess > walk: cwd, its ancestors up to the workspace root, every folder below cwd
//!            > dot_claude: what may lie in a `.claude`
//!                > text (frontmatter keys) > inline (commands, mentions)
//!                > settings_file (settings.json)
//!        scan: the limits, the findings     dir: opens beneath a descriptor, never through a link
//! ```
//!
//! The answer holds for the moment of the check. CLI 2.1.330 reads the project's settings again whenever
//! they change and then runs hooks and helpers that were not there at the start (checked), so a caller
//! decides right before the start or the claim, and mounts or locks what it can.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

mod dir;
mod dot_claude;
pub mod inline;
mod scan;
mod settings_file;
mod text;
mod walk;

#[cfg(test)]
mod tests;

/// How an operator or a user makes a folder's configuration load; for the end of a warning.
pub const HOW_TO_TRUST: &str = "to load it, mend or remove what is listed, or let the operator name the folder in \
    ASKD_TRUSTED_PROJECTS with ASKD_PROJECT_CONFIG=trusted";

/// When the configuration in a run's folder is loaded (`ASKD_PROJECT_CONFIG`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProjectConfigPolicy {
    /// When a check finds only plain texts in it.
    Auto,
    /// In these folders and all below them, whatever is in them; nowhere else.
    Trusted(Vec<PathBuf>),
    /// Never.
    Off,
}

/// What the check says about one folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assessment {
    /// Load the project tier.
    Load,
    /// Do not load it. Without findings (policy `off`) there is nothing to warn of.
    LeaveOut {
        /// What was found, at most twenty.
        findings: Vec<Finding>,
    },
    /// There is nothing to load. Leave the tier out all the same: what a run writes there would count.
    Nothing,
}

/// One thing that keeps the project tier out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Relative to the workspace root, printable, of bounded length.
    pub path: String,
    /// The line in that file, from 1.
    pub line: Option<u32>,
    /// What it is, for people.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// Decides for the folder `cwd`, which is `relative` below the workspace `root`.
///
/// Blocking: it walks the folder (at most a second). A run with further folders (`--add-dir`) asks for
/// each of them, since the CLI loads their agents, skills and commands too (checked with CLI 2.1.330).
pub fn assess(cwd: BorrowedFd<'_>, root: BorrowedFd<'_>, relative: &Path, policy: &ProjectConfigPolicy) -> Assessment {
    assess_within(cwd, root, relative, policy, &scan::Limits::default())
}

fn assess_within(
    cwd: BorrowedFd<'_>,
    root: BorrowedFd<'_>,
    relative: &Path,
    policy: &ProjectConfigPolicy,
    limits: &scan::Limits,
) -> Assessment {
    let mut scan = scan::Scan::new(limits);
    match policy {
        ProjectConfigPolicy::Off => return Assessment::LeaveOut { findings: Vec::new() },
        ProjectConfigPolicy::Trusted(folders) if is_trusted(cwd, folders) => return Assessment::Load,
        ProjectConfigPolicy::Trusted(_) => {
            walk::presence(&mut scan, cwd, root, relative, "this folder is not on the list of trusted ones");
        }
        ProjectConfigPolicy::Auto => walk::everything(&mut scan, cwd, root, relative),
    }
    let (findings, anything) = scan.finish();
    match (findings.is_empty(), anything) {
        (false, _) => Assessment::LeaveOut { findings },
        (true, true) => Assessment::Load,
        (true, false) => Assessment::Nothing,
    }
}

/// The text of a folder's `.claude/settings.json`, reached through no link; `None` where there is none. Blocking.
///
/// The CLI takes project settings from the run's own folder alone, not from those above (checked with CLI 2.1.330).
pub fn settings_text(cwd: BorrowedFd<'_>) -> Result<Option<String>, Finding> {
    let (path, limits) = (Path::new(".claude/settings.json"), scan::Limits::default());
    let mut scan = scan::Scan::new(&limits);
    match dir::read(cwd, path, limits.file) {
        Ok(bytes) if bytes.len() as u64 > limits.file => scan.found(path, None, "too large"),
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => return Ok(Some(text)),
            Err(_) => scan.found(path, None, "not UTF-8"),
        },
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(error) => scan.failed(path, error),
    }
    scan.finish().0.pop().map_or(Ok(None), Err)
}

/// Whether the folder lies in one of `folders`, both sides freed of links.
fn is_trusted(cwd: BorrowedFd<'_>, folders: &[PathBuf]) -> bool {
    let Some(here) = dir::path_of(cwd) else {
        return false;
    };
    folders.iter().filter_map(|folder| folder.canonicalize().ok()).any(|folder| here.starts_with(folder))
}
