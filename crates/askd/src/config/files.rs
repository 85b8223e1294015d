//! Documents on the disk, found beneath the descriptor of their scope's folder. Blocking.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::document::{Content, Etag, Skill, SkillFile};
use super::error::ConfigError;
use super::kind::Kind;
use super::name::DocumentId;
use super::scope::Scope;
use crate::small_file;
use crate::workspaces::{FolderError, Workspaces};

pub(super) mod list;
pub(super) mod write;

/// The most of one file, and of one skill, that is read to be shown or kept. What is put has narrower bounds, but people
/// put things there, too.
const MAX_READ: usize = 16 << 20;
/// Files of one skill that are read.
const MAX_FILES: usize = 1_000;
/// Folders in folders of a skill.
const MAX_DEPTH: usize = 12;
/// How often a skill is read again that is replaced meanwhile.
const ATTEMPTS: usize = 5;

/// Beside a document, with a change's id: a new version that is not in its place yet, or an old one that was.
pub(super) const TEMPORARY: &str = ".askd-";

/// What symbolic links mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Links {
    /// They are followed as long as they stay beneath the folder, as those of a mounted `ConfigMap` do. In a workspace
    /// nothing is followed: its files are an agent's.
    Follow,
    /// They are an error. For everything that is to be changed.
    Refuse,
}

/// The folder of a scope, open.
#[derive(Debug)]
pub(super) struct Root {
    folder: OwnedFd,
    scope: Scope,
}

/// A document as it was found.
#[derive(Debug, Clone)]
pub(super) struct OnDisk {
    pub(super) body: Body,
    pub(super) etag: Etag,
    pub(super) modified: Timestamp,
    /// The permissions of its file or folder.
    pub(super) mode: Mode,
}

/// What it holds; nobody has said that it is text.
#[derive(Debug, Clone)]
pub(super) enum Body {
    File(Vec<u8>),
    Skill(Skill),
}

impl OnDisk {
    /// Its content; `None` for what should be text and is none.
    pub(super) fn content(&self) -> Option<Content> {
        match &self.body {
            Body::File(bytes) => Some(Content::Text(std::str::from_utf8(bytes).ok()?.to_owned())),
            Body::Skill(skill) => Some(Content::Skill(skill.clone())),
        }
    }

    pub(super) fn size(&self) -> usize {
        match &self.body {
            Body::File(bytes) => bytes.len(),
            Body::Skill(skill) => skill.size(),
        }
    }
}

impl Root {
    /// `CONFIG_DIR`; `None` when it is not there.
    pub(super) fn user(path: &Path) -> Result<Option<Self>, ConfigError> {
        match rustix::fs::open(path, FOLDER, Mode::empty()) {
            Ok(folder) => Ok(Some(Self { folder, scope: Scope::User })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(ConfigError::of("CONFIG_DIR", error)),
        }
    }

    /// A workspace: a folder directly below the root of workspaces, and no link to one.
    pub(super) fn workspace(workspaces: &Workspaces, name: &str) -> Result<Self, ConfigError> {
        let none = || ConfigError::NoWorkspace(name.to_owned());
        if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
            return Err(none());
        }
        let folder = workspaces.folder(name).map_err(|error| match error {
            FolderError::Forbidden => ConfigError::of(name, Errno::ACCESS),
            FolderError::Unavailable => ConfigError::Io(format!("the workspace {error}")),
            _ => none(),
        })?;
        if folder.relative() != Path::new(name) {
            return Err(none());
        }
        let descriptor = folder.descriptor().try_clone_to_owned().map_err(|error| ConfigError::of_io(name, &error))?;
        Ok(Self { folder: descriptor, scope: Scope::Workspace(name.to_owned()) })
    }

    pub(super) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// A path that leads to a path beneath the folder, for calls that need one.
    pub(super) fn absolute(&self, path: &Path) -> PathBuf {
        Path::new("/proc/self/fd").join(self.folder.as_raw_fd().to_string()).join(path)
    }

    fn open(&self, path: &Path, flags: OFlags, links: Links) -> Result<OwnedFd, Errno> {
        // A workspace's files are an agent's: a link there could show what the caller may not see.
        let links = if self.scope == Scope::User { links } else { Links::Refuse };
        beneath(&self.folder, path, flags, links)
    }

    /// A document; `None` when there is none.
    pub(super) fn read(&self, id: &DocumentId, links: Links) -> Result<Option<OnDisk>, ConfigError> {
        let path = id.path(&self.scope);
        self.read_at(&path, id.kind() == Kind::Skill, links)
    }

    fn read_at(&self, path: &Path, is_skill: bool, links: Links) -> Result<Option<OnDisk>, ConfigError> {
        let shown = path.to_string_lossy();
        if !is_skill {
            return match self.open(path, small_file::FLAGS, links) {
                Err(Errno::NOENT) => Ok(None),
                Err(error) => Err(of_file(&shown, error)),
                Ok(file) => read_file(file, &shown, MAX_READ).map(|(bytes, stat)| {
                    let (etag, modified) = (Etag::of_bytes(&bytes), modified(&stat));
                    Some(OnDisk { body: Body::File(bytes), etag, modified, mode: Mode::from_raw_mode(stat.st_mode) })
                }),
            };
        }
        for _ in 0..ATTEMPTS {
            let folder = match self.open(path, FOLDER, links) {
                Err(Errno::NOENT) => return Ok(None),
                Err(error) => return Err(ConfigError::of(&shown, error)),
                Ok(folder) => folder,
            };
            let stat = rustix::fs::fstat(&folder).map_err(|error| ConfigError::of(&shown, error))?;
            let links = if self.scope == Scope::User { links } else { Links::Refuse };
            let mut walk = Walk { shown: &shown, links, skill: Skill::default(), bytes: 0, modified: modified(&stat) };
            match walk.folder(&folder, "", 0) {
                Ok(()) => {}
                // A file was gone when it was to be opened: somebody replaces the skill.
                Err(Stop::Gone) => continue,
                Err(Stop::Error(error)) => return Err(error),
            }
            let Walk { skill, modified, .. } = walk;
            let etag = Content::Skill(skill.clone()).etag();
            let mode = Mode::from_raw_mode(stat.st_mode);
            return Ok(Some(OnDisk { body: Body::Skill(skill), etag, modified, mode }));
        }
        Err(ConfigError::Busy)
    }
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Opens beneath a folder. The kernel resolves in one call, so nothing that is swapped meanwhile leads out.
fn beneath(folder: &OwnedFd, path: &Path, flags: OFlags, links: Links) -> Result<OwnedFd, Errno> {
    let mut resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    if links == Links::Refuse {
        resolve |= ResolveFlags::NO_SYMLINKS;
    }
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    // The kernel asks for another try when something was renamed meanwhile.
    for _ in 0..16 {
        match rustix::fs::openat2(folder, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return result,
        }
    }
    Err(Errno::AGAIN)
}

/// The bytes of a regular file, and what it is.
fn read_file(file: OwnedFd, shown: &str, most: usize) -> Result<(Vec<u8>, Stat), ConfigError> {
    let stat = rustix::fs::fstat(&file).map_err(|error| ConfigError::of(shown, error))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(not_a_file(shown));
    }
    let too_large = || ConfigError::TooLarge { what: format!("`{shown}`"), most: most as u64, unit: "bytes" };
    let mut bytes = Vec::new();
    let read = File::from(file).take(most as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| ConfigError::of_io(shown, &error))?;
    if bytes.len() > most { Err(too_large()) } else { Ok((bytes, stat)) }
}

fn not_a_file(shown: &str) -> ConfigError {
    ConfigError::Conflict(format!("`{shown}` is not a regular file; hint: move it away"))
}

fn of_file(shown: &str, error: Errno) -> ConfigError {
    match error {
        // A socket.
        Errno::NXIO => not_a_file(shown),
        error => ConfigError::of(shown, error),
    }
}

fn modified(stat: &Stat) -> Timestamp {
    let nanoseconds = i32::try_from(stat.st_mtime_nsec).unwrap_or(0);
    Timestamp::new(stat.st_mtime, nanoseconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// A skill that is being read.
struct Walk<'a> {
    shown: &'a str,
    links: Links,
    skill: Skill,
    bytes: usize,
    modified: Timestamp,
}

enum Stop {
    Gone,
    Error(ConfigError),
}

impl Walk<'_> {
    fn folder(&mut self, folder: &OwnedFd, prefix: &str, depth: usize) -> Result<(), Stop> {
        let shown = self.shown;
        if depth == MAX_DEPTH {
            return Err(self.too_large(MAX_DEPTH, "folders deep"));
        }
        let entries = Dir::read_from(folder).map_err(|error| Stop::Error(ConfigError::of(shown, error)))?;
        for entry in entries {
            let entry = entry.map_err(|error| Stop::Error(ConfigError::of(shown, error)))?;
            if matches!(entry.file_name().to_bytes(), b"." | b"..") {
                continue;
            }
            // The manifest that stands for a skill has a line a file.
            let name = entry.file_name().to_str().ok().filter(|name| !name.contains(char::is_control));
            let name = name.ok_or_else(|| {
                let text = format!("`{shown}` holds a file whose name is no text; hint: rename it");
                Stop::Error(ConfigError::Conflict(text))
            })?;
            self.entry(folder, name, &format!("{prefix}{name}"), entry.file_type(), depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, folder: &OwnedFd, name: &str, path: &str, listed: FileType, depth: usize) -> Result<(), Stop> {
        let shown = format!("{}/{path}", self.shown);
        let opened = match beneath(folder, Path::new(name), small_file::FLAGS, self.links) {
            // A link to nothing, as an editor's lock file is.
            Err(Errno::NOENT) if listed == FileType::Symlink => return Ok(()),
            Err(Errno::NOENT) => return Err(Stop::Gone),
            Err(error) => return Err(Stop::Error(of_file(&shown, error))),
            Ok(opened) => opened,
        };
        let stat = rustix::fs::fstat(&opened).map_err(|error| Stop::Error(ConfigError::of(&shown, error)))?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            return self.folder(&opened, &format!("{path}/"), depth + 1);
        }
        let (bytes, stat) = read_file(opened, &shown, MAX_READ).map_err(Stop::Error)?;
        self.bytes += bytes.len();
        self.modified = self.modified.max(modified(&stat));
        let executable = Mode::from_raw_mode(stat.st_mode).contains(Mode::XUSR);
        self.skill.files.insert(path.to_owned(), SkillFile { bytes, executable });
        if self.bytes > MAX_READ {
            return Err(self.too_large(MAX_READ, "bytes"));
        }
        if self.skill.files.len() > MAX_FILES {
            return Err(self.too_large(MAX_FILES, "files"));
        }
        Ok(())
    }

    fn too_large(&self, most: usize, unit: &'static str) -> Stop {
        Stop::Error(ConfigError::TooLarge { what: format!("`{}`", self.shown), most: most as u64, unit })
    }
}

impl Root {
    /// Why nothing can be written; `None` when it can.
    pub(super) fn read_only(&self) -> Option<String> {
        let may = rustix::fs::accessat(
            self.folder.as_fd(),
            ".",
            rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK,
            rustix::fs::AtFlags::EACCESS,
        );
        let error = may.err()?;
        match ConfigError::of("the folder of the configuration", error) {
            ConfigError::ReadOnly(hint) => Some(hint),
            other => Some(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
