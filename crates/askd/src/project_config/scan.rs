//! The state of one check: its limits, what it has used of them, and what it found.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::Finding;

/// How much of a folder is looked at; more than that is a finding.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    /// Bytes of one configuration file.
    pub(super) file: u64,
    /// Bytes of all of them.
    pub(super) total: u64,
    /// How many of them.
    pub(super) files: usize,
    /// Folders below the run's.
    pub(super) folders: usize,
    /// Entries in all folders.
    pub(super) entries: usize,
    /// Levels below the run's folder.
    pub(super) depth: usize,
    /// Findings that are kept; the check ends with the last.
    pub(super) findings: usize,
    /// The whole check.
    pub(super) time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file: 1024 * 1024,
            total: 16 * 1024 * 1024,
            files: 2_000,
            folders: 20_000,
            entries: 400_000,
            depth: 64,
            findings: 20,
            time: Duration::from_secs(1),
        }
    }
}

const MAX_PATH: usize = 300;
const MAX_WHAT: usize = 240;

#[derive(Debug)]
pub(super) struct Scan<'a> {
    pub(super) limits: &'a Limits,
    findings: Vec<Finding>,
    bytes: u64,
    files: usize,
    folders: usize,
    entries: usize,
    until: Instant,
    stopped: bool,
    anything: bool,
}

impl<'a> Scan<'a> {
    pub(super) fn new(limits: &'a Limits) -> Self {
        let until = Instant::now() + limits.time;
        let (findings, anything) = (Vec::new(), false);
        Self { limits, findings, bytes: 0, files: 0, folders: 0, entries: 0, until, stopped: false, anything }
    }

    /// The findings, and whether there was anything to load at all.
    pub(super) fn finish(self) -> (Vec<Finding>, bool) {
        (self.findings, self.anything)
    }

    /// Whether going on is of no use: limits reached, or enough found.
    pub(super) fn stopped(&self) -> bool {
        self.stopped
    }

    /// Notes that the CLI would load something.
    pub(super) fn seen(&mut self) {
        self.anything = true;
    }

    pub(super) fn found(&mut self, path: &Path, line: Option<u32>, what: impl Into<String>) {
        if self.findings.len() < self.limits.findings {
            let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
            let path = printable(&path.to_string_lossy(), MAX_PATH);
            self.findings.push(Finding { path, line, what: printable(&what.into(), MAX_WHAT) });
        }
        self.stopped |= self.findings.len() >= self.limits.findings;
    }

    /// A thing that could not be looked at, named by what the kernel said.
    pub(super) fn failed(&mut self, path: &Path, error: Errno) {
        let what = match error {
            Errno::LOOP => "a symbolic link, or a path through one".to_owned(),
            Errno::XDEV => "leads out of the workspace".to_owned(),
            Errno::ACCESS => {
                "cannot be checked: the server's user is not allowed to read it (chmod or chown mends that)".to_owned()
            }
            other => format!("cannot be checked: {}", std::io::Error::from(other)),
        };
        self.found(path, None, what);
    }

    /// Counts a folder that is about to be listed.
    pub(super) fn enter(&mut self, path: &Path, depth: usize) -> bool {
        self.folders += 1;
        if depth > self.limits.depth {
            self.found(path, None, "folders nested too deeply to check");
            return false;
        }
        self.bounded(path, self.folders <= self.limits.folders, "too many folders to check")
    }

    /// Counts an entry of a folder.
    pub(super) fn entry(&mut self, path: &Path) -> bool {
        self.entries += 1;
        // The clock is read now and then only.
        let in_time = !self.entries.is_multiple_of(64) || Instant::now() < self.until;
        self.bounded(path, self.entries <= self.limits.entries && in_time, "too many files to check in time")
    }

    /// Counts a configuration file of `size` bytes.
    pub(super) fn file(&mut self, path: &Path, size: u64) -> bool {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(size);
        if size > self.limits.file {
            self.found(path, None, format!("larger than {} KiB", self.limits.file / 1024));
            return false;
        }
        // Its content is parsed next, which is what takes time.
        let in_time = Instant::now() < self.until;
        self.bounded(path, in_time, "too much configuration to check in time")
            && self.bounded(path, self.files <= self.limits.files, "too many configuration files to check")
            && self.bounded(path, self.bytes <= self.limits.total, "too much configuration to check")
    }

    fn bounded(&mut self, path: &Path, within: bool, what: &str) -> bool {
        if !within && !self.stopped {
            self.found(path, None, what);
            self.stopped = true;
        }
        within && !self.stopped
    }
}

/// Names come from the repository: no control or bidirectional characters, no endless texts.
fn printable(text: &str, limit: usize) -> String {
    let hostile = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut clean: String = text.chars().take(limit).map(|c| if hostile(c) { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(limit).is_some() {
        clean.push('…');
    }
    clean
}
