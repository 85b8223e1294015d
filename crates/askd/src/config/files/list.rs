//! Which documents there are.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, OFlags, statat};
use rustix::io::Errno;

use super::{FOLDER, Links, Root, beneath};
use crate::config::error::ConfigError;
use crate::config::kind::Kind;
use crate::config::name::{DocumentId, MAX_SEGMENTS};
use crate::config::scope::Scope;

/// Entries of one folder that are looked at.
pub(super) const MAX_ENTRIES: usize = 20_000;

/// What was found in the folder of a kind.
#[derive(Debug, Default)]
pub(in crate::config) struct Listing {
    /// Documents, by name.
    pub(in crate::config) ids: Vec<DocumentId>,
    /// What is no document: its path, and why.
    pub(in crate::config) foreign: Vec<(String, &'static str)>,
    /// Whether there are more, which are left out.
    pub(in crate::config) is_cut: bool,
}

impl Root {
    /// The documents of a kind; a link that leads to nothing counts. The first `most` of them by name.
    pub(in crate::config) fn list(&self, kind: Kind, most: usize) -> Result<Listing, ConfigError> {
        let mut listing = Listing::default();
        if *self.scope() != Scope::User && !kind.is_in_workspaces() {
            return Ok(listing);
        }
        if kind.is_single() {
            let Ok(id) = DocumentId::new(kind, None) else { return Ok(listing) };
            let path = id.path(self.scope());
            let found = self.parent(&path, Links::Follow).and_then(|parent| {
                let name = path.file_name().unwrap_or_default();
                parent.map_or(Ok(false), |parent| match statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(_) => Ok(true),
                    Err(Errno::NOENT) => Ok(false),
                    Err(error) => Err(ConfigError::of(&path.to_string_lossy(), error)),
                })
            })?;
            listing.ids.extend(found.then_some(id));
            return Ok(listing);
        }
        let folder = kind_folder(kind, self.scope());
        match self.open(&folder, FOLDER, Links::Follow) {
            Ok(opened) => {
                let mut look = Look { of: self, kind, root: folder, listing: &mut listing };
                look.folder(&opened, "", 1)?;
            }
            Err(Errno::NOENT) => {}
            Err(Errno::NOTDIR) => {
                listing.foreign.push((folder.display().to_string(), "is not a folder, so the CLI finds nothing in it"));
            }
            Err(Errno::LOOP | Errno::XDEV) => {
                listing.foreign.push((folder.display().to_string(), "is a link, which askd does not follow here"));
            }
            Err(error) => return Err(ConfigError::of(&folder.to_string_lossy(), error)),
        }
        listing.ids.sort();
        if listing.ids.len() > most {
            listing.ids.truncate(most);
            listing.is_cut = true;
        }
        if listing.is_cut {
            let path = kind_folder(kind, self.scope()).display().to_string();
            listing.foreign.push((path, "holds more than askd manages; only the first by name are shown"));
        }
        listing.foreign.sort();
        Ok(listing)
    }

    /// The folder that a path lies in; `None` when it is not there.
    pub(super) fn parent(&self, path: &Path, links: Links) -> Result<Option<OwnedFd>, ConfigError> {
        let parent = path.parent().unwrap_or(Path::new(""));
        match self.open(parent, FOLDER, links) {
            Ok(parent) => Ok(Some(parent)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(ConfigError::of(&parent.to_string_lossy(), error)),
        }
    }
}

/// The folder in which documents of a kind lie, relative to the scope's.
pub(super) fn kind_folder(kind: Kind, scope: &Scope) -> PathBuf {
    match scope {
        Scope::User => kind.as_str().into(),
        Scope::Workspace(_) => Path::new(".claude").join(kind.as_str()),
    }
}

struct Look<'a> {
    of: &'a Root,
    kind: Kind,
    root: PathBuf,
    listing: &'a mut Listing,
}

impl Look<'_> {
    fn folder(&mut self, folder: &OwnedFd, prefix: &str, depth: usize) -> Result<(), ConfigError> {
        let shown = self.root.to_string_lossy().into_owned();
        let fails = |error| ConfigError::of(&shown, error);
        for (count, entry) in Dir::read_from(folder).map_err(fails)?.enumerate() {
            let entry = entry.map_err(fails)?;
            self.of.budget.entry()?;
            // Of a folder that is so full nobody knows which names are the first.
            if count == MAX_ENTRIES || self.listing.ids.len() == MAX_ENTRIES {
                self.listing.is_cut = true;
                return Ok(());
            }
            let name = entry.file_name().to_string_lossy();
            // The file system's, an editor's, or ours: nothing that the CLI reads.
            if name.starts_with('.') {
                continue;
            }
            let is_folder = match entry.file_type() {
                FileType::Directory => true,
                // What it leads to is opened with more care. In a workspace not even this is asked: a link there may
                // lead to a disk that does not answer.
                FileType::Symlink | FileType::Unknown => statat(folder, entry.file_name(), self.follow())
                    .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory),
                _ => false,
            };
            self.entry(folder, prefix, &name, is_folder, depth)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        folder: &OwnedFd,
        prefix: &str,
        name: &str,
        is_folder: bool,
        depth: usize,
    ) -> Result<(), ConfigError> {
        let path = format!("{prefix}{name}");
        let stem = match self.kind {
            Kind::Skill if is_folder => Some(path.as_str()),
            Kind::Skill => None,
            _ if is_folder && self.kind.is_nested() && depth < MAX_SEGMENTS => {
                // Not through links: they could lead in a circle.
                return match beneath(folder, Path::new(name), FOLDER, Links::Refuse) {
                    Ok(inner) => self.folder(&inner, &format!("{path}/"), depth + 1),
                    Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
                    Err(Errno::LOOP) => {
                        self.foreign(&path, "is a link to a folder, which askd does not manage");
                        Ok(())
                    }
                    Err(error) => Err(ConfigError::of(&path, error)),
                };
            }
            _ if is_folder => None,
            _ => path.strip_suffix(".md"),
        };
        match stem.map(|stem| DocumentId::new(self.kind, Some(stem))) {
            Some(Ok(id)) => self.listing.ids.push(id),
            Some(Err(_)) => self.foreign(&path, "has a name that is not kebab-case, so askd does not manage it"),
            None if self.kind == Kind::Skill => self.foreign(&path, "is not a folder, so it is no skill"),
            None if is_folder => self.foreign(&path, "is a folder, in which askd manages nothing here"),
            None => self.foreign(&path, "does not end with `.md`, so the CLI does not read it"),
        }
        Ok(())
    }

    fn follow(&self) -> AtFlags {
        if *self.of.scope() == Scope::User { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW }
    }

    fn foreign(&mut self, path: &str, why: &'static str) {
        // As many as a person can look at.
        if self.listing.foreign.len() < 100 {
            self.listing.foreign.push((format!("{}/{path}", self.root.display()), why));
        }
    }
}

/// How many documents there are and how many bytes they take.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) struct Measure {
    pub(in crate::config) documents: usize,
    pub(in crate::config) bytes: u64,
}

impl Root {
    /// Measures the scope, without reading its documents.
    pub(in crate::config) fn measure(&self, most: usize) -> Result<Measure, ConfigError> {
        let mut measure = Measure::default();
        for kind in Kind::ALL {
            for id in self.list(kind, most)?.ids {
                measure.documents += 1;
                measure.bytes = measure.bytes.saturating_add(self.size(&id).unwrap_or(0));
            }
        }
        Ok(measure)
    }

    /// The bytes of one document; 0 for what is none.
    fn size(&self, id: &DocumentId) -> Result<u64, Errno> {
        let path = id.path(self.scope());
        if id.kind() != Kind::Skill {
            let file = self.open(&path, OFlags::PATH, Links::Follow)?;
            return Ok(u64::try_from(rustix::fs::fstat(file)?.st_size).unwrap_or(0));
        }
        let folder = self.open(&path, FOLDER, Links::Follow)?;
        self.sizes(&folder, 0)
    }

    /// The bytes of the files below a folder.
    fn sizes(&self, folder: &OwnedFd, depth: usize) -> Result<u64, Errno> {
        let mut bytes = 0_u64;
        if depth == super::MAX_DEPTH {
            return Ok(bytes);
        }
        for entry in Dir::read_from(folder)?.take(MAX_ENTRIES) {
            let entry = entry?;
            // Whoever asked finds out by the budget.
            if self.budget.entry().is_err() {
                break;
            }
            if matches!(entry.file_name().to_bytes(), b"." | b"..") {
                continue;
            }
            let Ok(stat) = statat(folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) else { continue };
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => bytes = bytes.saturating_add(u64::try_from(stat.st_size).unwrap_or(0)),
                FileType::Directory => {
                    let name = OsStr::from_bytes(entry.file_name().to_bytes());
                    if let Ok(inner) = beneath(folder, Path::new(name), FOLDER, Links::Refuse) {
                        bytes = bytes.saturating_add(self.sizes(&inner, depth + 1)?);
                    }
                }
                _ => {}
            }
        }
        Ok(bytes)
    }
}
