//! Every folder whose files the CLI loads for a run: its own, those above, those below.
//!
//! Checked with CLI 2.1.330 and `--setting-sources=user,project`:
//! - from **above**: CLAUDE.md, AGENTS.md and rules from every ancestor up to `/`, agents, skills, commands,
//!   workflows and output styles up to the git root (without one: from every ancestor). Above the
//!   workspace root is the operator's own ground and not looked at;
//! - from **below**, once a file there is read or edited (a plain `cat` in Bash suffices for the texts):
//!   CLAUDE.md, AGENTS.md, rules and skills of each folder on the way, **also** in `node_modules`, hidden
//!   folders and `.git`. So no folder is skipped; a tree too large for the limits is left out;
//! - through a **link to a folder**: skills of the folder it leads to. A link that stays below the run's
//!   folder is covered by the walk itself;
//! - from **`.claude/worktrees`**, where the tool `EnterWorktree` leaves checkouts: as from any folder below, and nothing of it
//!   from above (checked with 2.1.261, too);
//! - a linked git **worktree** adds agents, skills and commands of the main checkout, wherever that is.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::FileType;
use rustix::io::Errno;

use super::scan::Scan;
use super::{dir, dot_claude};

/// Texts the CLI reads as instructions, in whichever folder.
const TEXTS: [&str; 2] = ["CLAUDE.md", "AGENTS.md"];
const SERVERS: &str = ".mcp.json";
const DOT_CLAUDE: &str = ".claude";
/// In a `.claude`: the checkouts that the CLI makes for its agents.
pub(super) const WORKTREES: &str = "worktrees";

/// Where a check stands: the run's folder and its place below the workspace root.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// The folder that `here` is relative to: the run's own, or one above it.
    pub(super) base: BorrowedFd<'a>,
    /// The run's own folder.
    pub(super) cwd: BorrowedFd<'a>,
    /// `base` relative to the workspace root, for findings.
    pub(super) prefix: &'a Path,
}

impl Place<'_> {
    pub(super) fn shown(&self, path: &Path) -> PathBuf {
        self.prefix.join(path)
    }
}

/// Checks all of it.
pub(super) fn everything(scan: &mut Scan<'_>, cwd: BorrowedFd<'_>, root: BorrowedFd<'_>, relative: &Path) {
    above(scan, cwd, root, relative, &mut |scan, place| {
        if place.prefix != relative {
            one_folder(scan, place);
        }
        worktree(scan, place);
    });
    below(scan, Place { base: cwd, cwd, prefix: relative });
}

/// Reports as `what` whatever there is to load in the folder and above, and checks no content.
pub(super) fn presence(scan: &mut Scan<'_>, cwd: BorrowedFd<'_>, root: BorrowedFd<'_>, relative: &Path, what: &str) {
    above(scan, cwd, root, relative, &mut |scan, place| {
        for name in TEXTS.into_iter().chain([DOT_CLAUDE, SERVERS]) {
            if dir::stat(place.base, Path::new(name)) != Err(Errno::NOENT) {
                scan.found(&place.shown(Path::new(name)), None, what);
            }
        }
    });
}

/// Visits the workspace root, the folders down to the run's, and the run's own.
fn above(
    scan: &mut Scan<'_>,
    cwd: BorrowedFd<'_>,
    root: BorrowedFd<'_>,
    relative: &Path,
    visit: &mut dyn FnMut(&mut Scan<'_>, Place<'_>),
) {
    let plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
    if !plain || relative.components().count() > scan.limits.depth {
        scan.found(relative, None, "not a plain path below the workspace");
        return;
    }
    let mut folders: Vec<&Path> = relative.ancestors().collect();
    folders.reverse();
    for prefix in folders {
        let fd = match dir::folder(root, prefix) {
            Ok(fd) => fd,
            Err(error) => return scan.failed(prefix, error),
        };
        if prefix == relative && !dir::same(&fd, cwd) {
            return scan.found(prefix, None, "moved while it was checked");
        }
        visit(scan, Place { base: fd.as_fd(), cwd, prefix });
    }
}

/// What an ancestor itself holds.
fn one_folder(scan: &mut Scan<'_>, place: Place<'_>) {
    for name in TEXTS.into_iter().chain([SERVERS, DOT_CLAUDE]) {
        match dir::stat(place.base, Path::new(name)) {
            Ok((kind, _)) => special(scan, place, Path::new(name), kind),
            Err(Errno::NOENT) => {}
            Err(error) => scan.failed(&place.shown(Path::new(name)), error),
        }
    }
}

/// A `.git` that is a file or a link leads to a checkout elsewhere; so may a `commondir` in a folder.
fn worktree(scan: &mut Scan<'_>, place: Place<'_>) {
    let what = "a linked git worktree or submodule: the CLI may load agents, skills and commands of another checkout";
    let git = Path::new(".git");
    match dir::stat(place.base, git) {
        Err(Errno::NOENT) => {}
        Ok((FileType::Directory, _)) if dir::stat(place.base, Path::new(".git/commondir")) == Err(Errno::NOENT) => {}
        _ => scan.found(&place.shown(git), None, what),
    }
}

/// The run's folder and every folder in it.
fn below(scan: &mut Scan<'_>, place: Place<'_>) {
    let mut open: Vec<(PathBuf, usize)> = vec![(PathBuf::new(), 0)];
    while let Some((folder, depth)) = open.pop() {
        let shown = place.shown(&folder);
        if !scan.enter(&shown, depth) {
            return;
        }
        let mut special_ones = Vec::new();
        let listed = dir::folder(place.base, &folder).and_then(|fd| {
            dir::list(fd.as_fd(), |name, kind| {
                if is_special(name) || kind == FileType::Symlink {
                    special_ones.push((folder.join(name), kind));
                } else if kind == FileType::Directory {
                    open.push((folder.join(name), depth + 1));
                }
                scan.entry(&shown)
            })
        });
        if let Err(error) = listed {
            scan.failed(&shown, error);
        }
        // The order of a listing is the file system's; people read findings.
        special_ones.sort_by(|one: &(PathBuf, FileType), other| one.0.cmp(&other.0));
        for (path, kind) in special_ones {
            special(scan, place, &path, kind);
            if path.file_name().is_some_and(|name| name == DOT_CLAUDE) {
                let worktrees = path.join(WORKTREES);
                // A link there is a finding already.
                if matches!(dir::stat(place.base, &worktrees), Ok((FileType::Directory, _))) {
                    open.push((worktrees, depth + 2));
                }
            }
        }
        if scan.stopped() {
            return;
        }
    }
}

fn is_special(name: &OsStr) -> bool {
    name == DOT_CLAUDE || name == SERVERS || TEXTS.iter().any(|text| name == *text)
}

/// Checks an entry that is configuration by its name, or a link.
fn special(scan: &mut Scan<'_>, place: Place<'_>, path: &Path, kind: FileType) {
    let name = path.file_name().unwrap_or_default();
    if name == SERVERS {
        scan.found(&place.shown(path), None, "names MCP servers, that is, programs");
    } else if name == DOT_CLAUDE {
        dot_claude::check(scan, place, path);
    } else if is_special(name) {
        dot_claude::plain(scan, place, path);
    } else if kind == FileType::Symlink {
        match dir::link_leads_out(place.base, path) {
            Ok(false) => {}
            Ok(true) => scan.found(&place.shown(path), None, "a link to a folder outside the run's folder"),
            Err(error) => scan.failed(&place.shown(path), error),
        }
    }
}
