//! Documents on the disk, found beneath the descriptor of their scope's folder. Blocking.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use self::budget::Budget;
use super::document::{Content, Etag, Skill, SkillFile};
use super::error::ConfigError;
use super::kind::Kind;
use super::limits::MAX_TEXT_BYTES;
use super::name::DocumentId;
use super::scope::Scope;
use crate::small_file;
use crate::workspaces::{FolderError, Workspaces};

mod budget;
pub(super) mod list;
pub(super) mod write;

/// The most of one skill that is read to be shown or kept. What is put has narrower bounds, but people put things there,
/// too. A text has the bound of what is put.
const MAX_READ: usize = 16 << 20;
/// Files and folders of one skill that are read.
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
    /// Its path, if it is `CONFIG_DIR`.
    config_dir: Option<PathBuf>,
    budget: Budget,
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
            Ok(folder) => Ok(Some(Self {
                folder,
                scope: Scope::User,
                config_dir: Some(path.into()),
                budget: Budget::of_change(),
            })),
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
        let scope = Scope::Workspace(name.to_owned());
        Ok(Self { folder: descriptor, scope, config_dir: None, budget: Budget::of_change() })
    }

    /// For one look, now, at a scope that may have so many bytes.
    pub(super) fn for_a_look(self, total_bytes: u64) -> Self {
        Self { budget: Budget::of_look(total_bytes), ..self }
    }

    /// Whether the look could see everything: an error once there was more than one look may cost, or it took too long.
    /// Whatever the look itself has made of that.
    pub(super) fn within_budget(&self) -> Result<(), ConfigError> {
        self.budget.check()
    }

    pub(super) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The path of `CONFIG_DIR`, if it is that.
    pub(super) fn config_dir(&self) -> Option<&Path> {
        self.config_dir.as_deref()
    }

    fn open(&self, path: &Path, flags: OFlags, links: Links) -> Result<OwnedFd, Errno> {
        // A workspace's files are an agent's: a link there could show what the caller may not see.
        let links = if self.scope == Scope::User { links } else { Links::Refuse };
        beneath(&self.folder, path, flags, links)
    }

    /// What lies at this path, if the way there stays beneath the folder. It is not opened to be read.
    pub(super) fn look_at(&self, path: &Path) -> Result<Stat, Errno> {
        // Whoever looks at the scope is told when there was too much to look at.
        self.budget.entry().map_err(|_| Errno::AGAIN)?;
        rustix::fs::fstat(self.open(path, OFlags::PATH, Links::Follow)?)
    }

    /// A document; `None` when there is none.
    pub(super) fn read(&self, id: &DocumentId, links: Links) -> Result<Option<OnDisk>, ConfigError> {
        let path = id.path(&self.scope);
        self.read_at(&path, id.kind() == Kind::Skill, links)
    }

    fn read_at(&self, path: &Path, is_skill: bool, links: Links) -> Result<Option<OnDisk>, ConfigError> {
        let shown = path.to_string_lossy();
        self.budget.entry()?;
        if !is_skill {
            return match self.open(path, small_file::FLAGS, links) {
                Err(Errno::NOENT) => Ok(None),
                Err(error) => Err(of_file(&shown, error)),
                Ok(file) => read_file(file, &shown, MAX_TEXT_BYTES, &self.budget).map(|(bytes, stat)| {
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
            let mut walk = Walk {
                shown: &shown,
                links,
                budget: &self.budget,
                skill: Skill::default(),
                entries: 0,
                bytes: 0,
                modified: modified(&stat),
            };
            match walk.folder(&folder, "", 0) {
                Ok(()) => {}
                // A file was gone when it was to be opened: somebody replaces the skill.
                Err(Stop::Gone) => continue,
                Err(Stop::Error(error)) => return Err(error),
            }
            let Walk { skill, modified, .. } = walk;
            let etag = skill.etag();
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
fn read_file(file: OwnedFd, shown: &str, most: u64, budget: &Budget) -> Result<(Vec<u8>, Stat), ConfigError> {
    let stat = rustix::fs::fstat(&file).map_err(|error| ConfigError::of(shown, error))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(not_a_file(shown));
    }
    let too_large = || ConfigError::TooLarge { what: format!("`{shown}`"), most, unit: "bytes" };
    let size = usize::try_from(stat.st_size).ok().filter(|size| *size as u64 <= most).ok_or_else(too_large)?;
    // Before it is read: a file is made large at no cost, and costs memory here.
    budget.bytes(size)?;
    let mut bytes = Vec::new();
    let read = File::from(file).take(most + 1).read_to_end(&mut bytes);
    read.map_err(|error| ConfigError::of_io(shown, &error))?;
    if bytes.len() as u64 > most {
        return Err(too_large());
    }
    // It has grown meanwhile, or is one that does not say how large it is.
    budget.bytes(bytes.len().saturating_sub(size))?;
    Ok((bytes, stat))
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
    budget: &'a Budget,
    skill: Skill,
    entries: usize,
    bytes: u64,
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
            self.budget.entry().map_err(Stop::Error)?;
            self.entries += 1;
            if self.entries > MAX_FILES {
                return Err(self.too_large(MAX_FILES, "files and folders"));
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
        let (bytes, stat) = read_file(opened, &shown, MAX_READ as u64 - self.bytes, self.budget).map_err(|error| {
            let is_its_own = matches!(error, ConfigError::TooLarge { .. }) && self.budget.check().is_ok();
            if is_its_own { self.too_large(MAX_READ, "bytes") } else { Stop::Error(error) }
        })?;
        self.bytes += bytes.len() as u64;
        self.modified = self.modified.max(modified(&stat));
        let executable = Mode::from_raw_mode(stat.st_mode).contains(Mode::XUSR);
        self.skill.files.insert(path.to_owned(), SkillFile { bytes, executable });
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
        Some(match error {
            Errno::ACCESS | Errno::PERM => {
                "the server's user may not write into the folder of the configuration; hint: \
                give it the right to do so"
                    .to_owned()
            }
            error => ConfigError::of("the folder of the configuration", error).to_string(),
        })
    }
}

#[cfg(test)]
mod tests;
