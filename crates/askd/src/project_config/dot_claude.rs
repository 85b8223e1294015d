//! What may lie in a `.claude` folder.
//!
//! `settings.local.json` and `CLAUDE.local.md` are passed over: the source `local` stays off, and then
//! CLI 2.1.330 loads neither (checked).

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::scan::Scan;
use super::text::{self, Kind};
use super::walk::{self, Place};
use super::{dir, settings_file};

/// Files without any effect.
const INERT: [&str; 4] = [".gitignore", ".gitkeep", ".DS_Store", "README.md"];
/// Levels of folders below `.claude/rules` and its siblings.
const MAX_DEPTH: usize = 8;
/// Folders of a skill that hold what its text refers to. The CLI runs nothing of it by itself; plugin
/// parts (`.claude-plugin`, `hooks`, `agents`) are not among them.
const SKILL_FOLDERS: [&str; 10] =
    ["scripts", "references", "reference", "assets", "resources", "templates", "template", "examples", "docs", "data"];
/// Kinds of files beside a `SKILL.md`; `.json` is left to the folders above, for plugins use it.
const SKILL_FILES: [&str; 13] = ["md", "txt", "py", "sh", "js", "mjs", "ts", "rb", "html", "css", "csv", "pdf", "svg"];

/// Checks a `.claude` folder at `path`.
pub(super) fn check(scan: &mut Scan<'_>, place: Place<'_>, path: &Path) {
    each(scan, place, path, 0, &mut |scan, path, kind| {
        let name = file_name(path);
        match (name, kind) {
            ("CLAUDE.md" | "AGENTS.md", FileType::RegularFile) => plain(scan, place, path),
            ("settings.json", FileType::RegularFile) => {
                if let Some(bytes) = content(scan, place, path) {
                    settings_file::check(scan, &place.shown(path), &bytes);
                }
            }
            ("rules", FileType::Directory) => texts(scan, place, path, Kind::Rule, 0),
            ("agents", FileType::Directory) => texts(scan, place, path, Kind::Agent, 0),
            ("commands", FileType::Directory) => texts(scan, place, path, Kind::Command, 0),
            ("output-styles", FileType::Directory) => texts(scan, place, path, Kind::OutputStyle, 0),
            ("skills", FileType::Directory) => skills(scan, place, path),
            // The checkouts are folders like any other: the walk goes on in those that lie below the run's.
            ("settings.local.json", FileType::RegularFile) | (walk::WORKTREES, FileType::Directory) => {}
            _ => unknown(scan, place, path, kind),
        }
    });
}

/// A text that the CLI only reads out: its type and its size are all that matters.
///
/// `@` imports in it are not followed out of the run's folder in `-p`, absolute, by `..`, from home or
/// by a link (checked with CLI 2.1.330), so they are no finding.
pub(super) fn plain(scan: &mut Scan<'_>, place: Place<'_>, path: &Path) {
    scan.seen();
    let shown = place.shown(path);
    match dir::stat(place.base, path) {
        Ok((FileType::RegularFile, size)) => {
            scan.file(&shown, size);
        }
        Ok(_) => scan.found(&shown, None, "not a regular file"),
        Err(error) => scan.failed(&shown, error),
    }
}

/// `*.md` files, in folders of any name.
fn texts(scan: &mut Scan<'_>, place: Place<'_>, path: &Path, kind: Kind, depth: usize) {
    each(scan, place, path, depth, &mut |scan, path, file| match file {
        FileType::Directory if !file_name(path).starts_with('.') => texts(scan, place, path, kind, depth + 1),
        FileType::RegularFile if extension(path) == "md" => one_text(scan, place, path, kind),
        _ => unknown(scan, place, path, file),
    });
}

/// `skills/NAME/SKILL.md` with what lies beside it.
fn skills(scan: &mut Scan<'_>, place: Place<'_>, path: &Path) {
    each(scan, place, path, 0, &mut |scan, path, kind| match kind {
        FileType::Directory if !file_name(path).starts_with('.') => one_skill(scan, place, path),
        _ => unknown(scan, place, path, kind),
    });
}

fn one_skill(scan: &mut Scan<'_>, place: Place<'_>, path: &Path) {
    each(scan, place, path, 1, &mut |scan, path, kind| {
        let name = file_name(path);
        let extension = extension(path);
        match kind {
            FileType::RegularFile if name == "SKILL.md" => one_text(scan, place, path, Kind::Skill),
            FileType::RegularFile if name.starts_with('.') => unknown(scan, place, path, kind),
            FileType::RegularFile if name == "LICENSE" || SKILL_FILES.contains(&extension) => {}
            FileType::Directory if SKILL_FOLDERS.contains(&name) => beside(scan, place, path, 2),
            _ => unknown(scan, place, path, kind),
        }
    });
}

/// A skill's further files: any name, but no links, nothing hidden, and no skill of its own unchecked.
fn beside(scan: &mut Scan<'_>, place: Place<'_>, path: &Path, depth: usize) {
    each(scan, place, path, depth, &mut |scan, path, kind| match kind {
        _ if file_name(path).starts_with('.') => unknown(scan, place, path, kind),
        FileType::RegularFile if file_name(path) == "SKILL.md" => one_text(scan, place, path, Kind::Skill),
        FileType::RegularFile => {}
        FileType::Directory => beside(scan, place, path, depth + 1),
        _ => unknown(scan, place, path, kind),
    });
}

fn one_text(scan: &mut Scan<'_>, place: Place<'_>, path: &Path, kind: Kind) {
    if let Some(bytes) = content(scan, place, path) {
        text::check(scan, place, path, kind, &bytes);
    }
}

/// The bytes of a file that has to be looked into.
fn content(scan: &mut Scan<'_>, place: Place<'_>, path: &Path) -> Option<Vec<u8>> {
    scan.seen();
    let shown = place.shown(path);
    match dir::read(place.base, path, scan.limits.file) {
        Ok(bytes) => scan.file(&shown, bytes.len() as u64).then_some(bytes),
        Err(error) => {
            scan.failed(&shown, error);
            None
        }
    }
}

/// Calls `visit` for each entry, in the order of names, within the limits.
fn each(
    scan: &mut Scan<'_>,
    place: Place<'_>,
    path: &Path,
    depth: usize,
    visit: &mut dyn FnMut(&mut Scan<'_>, &Path, FileType),
) {
    let shown = place.shown(path);
    if depth > MAX_DEPTH {
        return scan.found(&shown, None, "folders nested too deeply to check");
    }
    if !scan.enter(&shown, depth) {
        return;
    }
    let mut entries: Vec<(PathBuf, FileType)> = Vec::new();
    let listed = dir::folder(place.base, path).and_then(|fd| {
        dir::list(fd.as_fd(), |name, kind| {
            entries.push((path.join(name), kind));
            scan.entry(&shown)
        })
    });
    if let Err(error) = listed {
        scan.failed(&shown, error);
    }
    entries.sort_by(|one, other| one.0.cmp(&other.0));
    for (path, kind) in entries {
        if scan.stopped() {
            return;
        }
        if !INERT.contains(&file_name(&path)) || kind != FileType::RegularFile {
            visit(scan, &path, kind);
        }
    }
}

fn unknown(scan: &mut Scan<'_>, place: Place<'_>, path: &Path, kind: FileType) {
    let what = match kind {
        FileType::Symlink => "a symbolic link",
        FileType::Directory => "not a folder known to hold only texts",
        FileType::RegularFile => "not a file known to be harmless",
        _ => "neither file nor folder",
    };
    scan.found(&place.shown(path), None, what);
}

fn file_name(path: &Path) -> &str {
    // A name that is no text matches nothing, so it is unknown.
    path.file_name().and_then(|name| name.to_str()).unwrap_or(".")
}

fn extension(path: &Path) -> &str {
    path.extension().and_then(|extension| extension.to_str()).unwrap_or("")
}
