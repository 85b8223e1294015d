//! Changes on the disk: the new version is written beside the old one, then they change places.
//!
//! Nobody's work is lost: what a change displaces is looked at before it goes, and if it is not what the change was meant
//! for, it is put back.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{
    AtFlags, Dir, Mode, OFlags, RenameFlags, fchmod, fsync, mkdirat, openat, renameat, renameat_with, unlinkat,
};
use rustix::io::Errno;

use super::list::{MAX_ENTRIES, kind_folder};
use super::{FOLDER, Links, Root, TEMPORARY, beneath};
use crate::config::change::ChangeId;
use crate::config::document::{Content, Etag, Skill};
use crate::config::error::ConfigError;
use crate::config::kind::Kind;
use crate::config::name::DocumentId;
use crate::config::scope::Scope;
use crate::disk::removal::{self, Removed};

/// What is to become of one document.
#[derive(Debug, Clone)]
pub(in crate::config) struct Step {
    /// Names what lies beside it meanwhile.
    pub(in crate::config) change: ChangeId,
    pub(in crate::config) id: DocumentId,
    /// What is there.
    pub(in crate::config) before: Option<Etag>,
    /// The permissions of what is there. Not all of them are given to what shall be there.
    pub(in crate::config) mode: Option<Mode>,
    /// What shall be there. With nothing before and nothing after there is nothing to do.
    pub(in crate::config) after: Option<Arc<Content>>,
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Applied {
    /// All steps are done, and will still be after a power failure.
    Done,
    /// Something is not as a step expects it; none is done.
    Changed,
}

impl Root {
    /// Does all of it, or nothing. `alone` keeps those away who must not see half of it.
    pub(in crate::config) fn apply<L>(
        &self,
        steps: &[Step],
        alone: impl FnOnce() -> Result<L, ConfigError>,
    ) -> Result<Applied, ConfigError> {
        for (index, step) in steps.iter().enumerate() {
            if let Err(error) = self.stage(step) {
                self.clear(&steps[..=index]);
                return Err(error);
            }
        }
        let held = match alone() {
            Ok(held) => held,
            Err(error) => {
                self.clear(steps);
                return Err(error);
            }
        };
        for (index, step) in steps.iter().enumerate() {
            let committed = self.commit(step);
            if matches!(committed, Ok(Applied::Done)) {
                continue;
            }
            for done in steps[..index].iter().rev() {
                self.undo(done);
            }
            drop(held);
            self.clear(steps);
            return committed;
        }
        drop(held);
        self.make_last(steps)?;
        Ok(Applied::Done)
    }

    /// Writes the new version beside the place where it will be.
    fn stage(&self, step: &Step) -> Result<(), ConfigError> {
        let path = step.id.path(self.scope());
        let fails = |error| ConfigError::of(&path.to_string_lossy(), error);
        let Some(content) = &step.after else { return Ok(()) };
        let parent = self.make_parent(&path)?;
        self.refuse_other_case(&parent, &path)?;
        let temporary = temporary(step.change);
        match &**content {
            Content::Text(text) => write_file(&parent, &temporary, text.as_bytes(), self.mode(step)).map_err(fails),
            Content::Skill(skill) => write_skill(&parent, &temporary, skill, self.mode(step)).map_err(fails),
        }
    }

    /// The permissions of a new version: some of the old one's. Never the bit by which a program runs as its owner: in a
    /// workspace an agent may have set it, and the new file is the server's.
    fn mode(&self, step: &Step) -> Mode {
        let (usual, least) = match step.id.kind() {
            Kind::Settings | Kind::McpServers | Kind::Policy => return PRIVATE,
            Kind::Skill => (OPEN_FOLDER, Mode::RWXU),
            _ => (FILE, Mode::RUSR | Mode::WUSR),
        };
        let old = step.mode.filter(|_| *self.scope() == Scope::User);
        old.map_or(usual, |old| (old & PROGRAM) | least)
    }

    /// Lets the two versions change places, if the old one is what it should be.
    fn commit(&self, step: &Step) -> Result<Applied, ConfigError> {
        let path = step.id.path(self.scope());
        let fails = |error| ConfigError::of(&path.to_string_lossy(), error);
        let Some(parent) = self.parent(&path, Links::Refuse)? else { return Ok(Applied::Changed) };
        let (name, temporary) = (file_name(&path), temporary(step.change));
        let (Some(before), Some(_)) = (step.before, &step.after) else {
            let (from, to) = if step.after.is_some() { (&*temporary, name) } else { (name, &*temporary) };
            return match rename_to_nothing(&parent, from, to) {
                Ok(()) if step.after.is_some() => Ok(Applied::Done),
                // Removed; the other way round it is back.
                Ok(()) => Ok(self.kept(step, || rename_to_nothing(&parent, to, from))),
                Err(Errno::EXIST | Errno::NOENT) => Ok(Applied::Changed),
                Err(error) => Err(fails(error)),
            };
        };
        let exchange = || renameat_with(&parent, &*temporary, &parent, name, RenameFlags::EXCHANGE);
        match exchange() {
            Ok(()) => Ok(self.kept(step, exchange)),
            Err(Errno::NOENT) => Ok(Applied::Changed),
            // A file system that cannot do that, such as NFS.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => self.commit_in_turn(step, &parent, before),
            Err(error) => Err(fails(error)),
        }
    }

    /// Whether what was displaced is what the change was meant for. Otherwise it goes back.
    fn kept(&self, step: &Step, back: impl FnOnce() -> Result<(), Errno>) -> Applied {
        let displaced = self.displaced(step.change, &step.id);
        if matches!(displaced, Ok(Some(etag)) if Some(etag) == step.before) {
            return Applied::Done;
        }
        let back = back();
        // What came back must be ours: somebody may have changed the document once more.
        let ours = step.after.as_ref().map(|content| content.etag());
        if back.is_ok() && self.displaced(step.change, &step.id).is_ok_and(|beside| beside == ours) {
            return Applied::Changed;
        }
        // Under a name that nothing here removes.
        let path = step.id.path(self.scope());
        let (temporary, old) = (temporary(step.change), old(step.change));
        let parent = self.parent(&path, Links::Refuse).ok().flatten();
        let kept = parent.is_some_and(|parent| renameat(&parent, &*temporary, &parent, &*old).is_ok());
        tracing::error!(document = %step.id, ?back, kept, "what somebody has just changed is not in its place; see `{old}`");
        Applied::Changed
    }

    /// For file systems where two names cannot change places: looks first, then renames one after the other.
    fn commit_in_turn(&self, step: &Step, parent: &OwnedFd, before: Etag) -> Result<Applied, ConfigError> {
        let path = step.id.path(self.scope());
        let fails = |error| ConfigError::of(&path.to_string_lossy(), error);
        if self.read(&step.id, Links::Refuse)?.map(|found| found.etag) != Some(before) {
            return Ok(Applied::Changed);
        }
        let (name, temporary, old) = (file_name(&path), temporary(step.change), old(step.change));
        renameat(parent, name, parent, &*old).map_err(fails)?;
        if let Err(error) = renameat(parent, &*temporary, parent, name) {
            // Back as it was.
            renameat(parent, &*old, parent, name).map_err(fails)?;
            return Err(fails(error));
        }
        renameat(parent, &*old, parent, &*temporary).map_err(fails)?;
        Ok(Applied::Done)
    }

    /// Takes a step back.
    fn undo(&self, step: &Step) {
        let path = step.id.path(self.scope());
        let Ok(Some(parent)) = self.parent(&path, Links::Refuse) else { return };
        let (name, temporary) = (file_name(&path), temporary(step.change));
        let undone = match (step.before, &step.after) {
            (Some(_), Some(_)) => {
                match renameat_with(&parent, &*temporary, &parent, name, RenameFlags::EXCHANGE) {
                    // Where they cannot change places the new version is not needed any more.
                    Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if step.id.kind() != Kind::Skill => {
                        renameat(&parent, &*temporary, &parent, name)
                    }
                    Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                        let old = old(step.change);
                        renameat(&parent, name, &parent, &*old)
                            .and_then(|()| renameat(&parent, &*temporary, &parent, name))
                            .and_then(|()| renameat(&parent, &*old, &parent, &*temporary))
                    }
                    undone => undone,
                }
            }
            (None, Some(_)) => rename_to_nothing(&parent, name, &temporary),
            (_, None) => rename_to_nothing(&parent, &temporary, name),
        };
        if let Err(error) = undone {
            tracing::error!(document = %step.id, %error, "cannot take back a part of a change");
        }
    }

    /// Makes the steps last, and removes what they displaced.
    fn make_last(&self, steps: &[Step]) -> Result<(), ConfigError> {
        let paths: BTreeSet<_> = steps.iter().map(|step| step.id.path(self.scope())).collect();
        let folders: BTreeSet<_> = paths.iter().filter_map(|path| path.parent()).collect();
        for folder in folders {
            let fails = |error| ConfigError::of(&folder.to_string_lossy(), error);
            match self.open(folder, FOLDER, Links::Refuse) {
                Ok(opened) => fsync(&opened).map_err(fails)?,
                Err(Errno::NOENT) => {}
                Err(error) => return Err(fails(error)),
            }
        }
        self.clear(steps);
        for step in steps.iter().filter(|step| step.after.is_none()) {
            self.remove_empty_parents(&step.id.path(self.scope()), &kind_folder(step.id.kind(), self.scope()));
        }
        Ok(())
    }

    /// Removes what lies beside documents because of these steps.
    fn clear(&self, steps: &[Step]) {
        for step in steps {
            if let Err(error) = self.remove_temporary(step.change, &step.id) {
                tracing::warn!(document = %step.id, %error, "cannot remove a temporary file of the configuration");
            }
        }
    }

    /// Removes what lies beside a document because of a change.
    pub(in crate::config) fn remove_temporary(&self, change: ChangeId, id: &DocumentId) -> Result<(), ConfigError> {
        let path = id.path(self.scope());
        let Some(parent) = self.parent(&path, Links::Refuse)? else { return Ok(()) };
        let (name, gone) = (temporary(change), gone(change));
        // On a read-only disk even the removal of nothing is refused.
        if !is_there(&parent, &name) && !is_there(&parent, &gone) {
            return Ok(());
        }
        let removed = match unlinkat(&parent, &*name, AtFlags::empty()) {
            // A skill goes file by file. Whoever comes after a crash must not take the rest for somebody's work.
            Err(Errno::ISDIR | Errno::PERM) => match renameat(&parent, &*name, &parent, &*gone) {
                // Somebody has put something under that name.
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {
                    self.remove_folder(&parent, &name);
                    Ok(())
                }
                renamed => renamed,
            },
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error),
        };
        removed.map_err(|error| ConfigError::of(&name, error))?;
        self.remove_folder(&parent, &gone);
        Ok(())
    }

    /// Removes a folder of ours, as far as it goes. An agent may not keep its workspace from later changes by what it adds.
    fn remove_folder(&self, parent: &OwnedFd, name: &str) {
        let why = match removal::remove_beneath(parent, name, MOST_REMOVED) {
            Ok(Removed::All) => return,
            Ok(Removed::Some) => "it holds too much, or somebody puts more into it".to_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => error.to_string(),
        };
        tracing::warn!(scope = %self.scope(), why, "`{name}` of the configuration is not removed as a whole");
    }

    /// The hash of what lies beside a document because of a change; `None` when there is nothing.
    pub(in crate::config) fn displaced(&self, change: ChangeId, id: &DocumentId) -> Result<Option<Etag>, ConfigError> {
        Ok(self.read_displaced(change, id)?.map(|found| found.etag))
    }

    /// What lies beside a document because of a change.
    pub(in crate::config) fn read_displaced(
        &self,
        change: ChangeId,
        id: &DocumentId,
    ) -> Result<Option<super::OnDisk>, ConfigError> {
        let path = id.path(self.scope()).with_file_name(temporary(change));
        self.read_at(&path, id.kind() == Kind::Skill, Links::Refuse)
    }

    /// After a crash in the middle of [`Self::commit_in_turn`]: the old version takes its place again.
    pub(in crate::config) fn put_old_back(&self, change: ChangeId, id: &DocumentId) -> Result<(), ConfigError> {
        let path = id.path(self.scope());
        let Some(parent) = self.parent(&path, Links::Refuse)? else { return Ok(()) };
        if !is_there(&parent, &old(change)) {
            return Ok(());
        }
        match rename_to_nothing(&parent, &old(change), file_name(&path)) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            // The new one is there already.
            Err(Errno::EXIST) => {
                self.remove_temporary(change, id)?;
                renameat(&parent, &*old(change), &parent, &*temporary(change))
                    .map_err(|error| ConfigError::of(&path.to_string_lossy(), error))
            }
            Err(error) => Err(ConfigError::of(&path.to_string_lossy(), error)),
        }
    }

    /// The folder that a document lies in, made if need be.
    fn make_parent(&self, path: &Path) -> Result<OwnedFd, ConfigError> {
        let (mut made, mut opened) = (PathBuf::new(), self.open(Path::new(""), FOLDER, Links::Refuse));
        for part in path.parent().into_iter().flat_map(Path::components) {
            let parent = opened.map_err(|error| ConfigError::of(&made.to_string_lossy(), error))?;
            made.push(part);
            let shown = made.to_string_lossy();
            self.refuse_other_case(&parent, &made)?;
            opened = self.open(&made, FOLDER, Links::Refuse);
            if matches!(opened, Err(Errno::NOENT)) {
                let created = mkdirat(&parent, part.as_os_str(), OPEN_FOLDER);
                match created {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(ConfigError::of(&shown, error)),
                }
                opened = self.open(&made, FOLDER, Links::Refuse);
                if created.is_ok()
                    && let Ok(opened) = &opened
                {
                    // Whatever the umask says: other servers of the folder must read it, too.
                    let lasting = fchmod(opened, OPEN_FOLDER).and_then(|()| fsync(&parent));
                    lasting.map_err(|error| ConfigError::of(&shown, error))?;
                }
            }
        }
        opened.map_err(|error| ConfigError::of(&made.to_string_lossy(), error))
    }

    /// Removes the folders that a nested document leaves empty, up to the folder of its kind.
    fn remove_empty_parents(&self, path: &Path, end: &Path) {
        let mut folder = path.parent();
        while let Some(empty) = folder.filter(|folder| folder.starts_with(end) && *folder != end) {
            let Ok(Some(parent)) = self.parent(empty, Links::Refuse) else { return };
            if unlinkat(&parent, file_name(empty), AtFlags::REMOVEDIR).is_err() {
                return;
            }
            // It does not matter when an empty folder comes back.
            let _ = fsync(&parent);
            folder = empty.parent();
        }
    }

    /// On a disk that ignores case it would be the same file; on others the CLI finds only one. Looks at so many entries.
    fn refuse_other_case(&self, parent: &OwnedFd, path: &Path) -> Result<(), ConfigError> {
        let (wanted, shown) = (file_name(path), path.to_string_lossy());
        let fails = |error| ConfigError::of(&shown, error);
        for entry in Dir::read_from(parent).map_err(fails)?.take(MAX_ENTRIES).take_while(|_| self.budget.name()) {
            let entry = entry.map_err(fails)?;
            let found = entry.file_name().to_string_lossy();
            if found != wanted && found.to_lowercase() == wanted.to_lowercase() {
                return Err(ConfigError::Conflict(format!(
                    "`{}` is there, which differs from `{shown}` in upper and lower case only; hint: rename it",
                    path.with_file_name(&*found).display()
                )));
            }
        }
        Ok(())
    }
}

/// Files and folders that go at once with what was a skill; ten times as many as a skill may have.
const MOST_REMOVED: u64 = 10_000;

const FILE: Mode = Mode::from_raw_mode(0o644);
/// Of what may hold secrets of the operator's.
const PRIVATE: Mode = Mode::from_raw_mode(0o600);
const PROGRAM: Mode = Mode::from_raw_mode(0o755);
const OPEN_FOLDER: Mode = Mode::from_raw_mode(0o755);

fn temporary(change: ChangeId) -> String {
    format!("{TEMPORARY}{change}")
}

/// What is being removed.
fn gone(change: ChangeId) -> String {
    format!("{TEMPORARY}{change}.gone")
}

fn old(change: ChangeId) -> String {
    format!("{TEMPORARY}{change}.old")
}

/// Every document's path ends with a name of ours.
fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

fn is_there(parent: &OwnedFd, name: &str) -> bool {
    rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

fn rename_to_nothing(parent: &OwnedFd, from: &str, to: &str) -> Result<(), Errno> {
    match renameat_with(parent, from, parent, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            match rustix::fs::statat(parent, to, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(_) => Err(Errno::EXIST),
                Err(Errno::NOENT) => renameat(parent, from, parent, to),
                Err(error) => Err(error),
            }
        }
        renamed => renamed,
    }
}

fn write_file(parent: &OwnedFd, name: &str, bytes: &[u8], mode: Mode) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(parent, name, flags, PRIVATE)?);
    file.write_all(bytes).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    fchmod(&file, mode)?;
    fsync(&file)
}

fn write_skill(parent: &OwnedFd, name: &str, skill: &Skill, mode: Mode) -> Result<(), Errno> {
    mkdirat(parent, name, Mode::RWXU)?;
    let root = openat(parent, name, FOLDER | OFlags::NOFOLLOW, Mode::empty())?;
    let mut folders = BTreeSet::new();
    for (path, file) in &skill.files {
        let mut folder = root.try_clone().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        let parts: Vec<_> = Path::new(path).components().collect();
        let Some((last, inner)) = parts.split_last() else { return Err(Errno::INVAL) };
        let mut reached = PathBuf::new();
        for part in inner {
            // Paths were checked before; here nothing but a name is taken, whoever calls.
            let std::path::Component::Normal(part) = part else { return Err(Errno::INVAL) };
            reached.push(part);
            if folders.insert(reached.clone()) {
                mkdirat(&folder, *part, OPEN_FOLDER)?;
            }
            folder = beneath(&folder, Path::new(part), FOLDER, Links::Refuse)?;
        }
        let std::path::Component::Normal(last) = last else { return Err(Errno::INVAL) };
        let last = last.to_str().ok_or(Errno::INVAL)?;
        write_file(&folder, last, &file.bytes, if file.executable { PROGRAM } else { FILE })?;
    }
    for folder in &folders {
        let folder = beneath(&root, folder, FOLDER, Links::Refuse)?;
        fchmod(&folder, OPEN_FOLDER)?;
        fsync(&folder)?;
    }
    fchmod(&root, mode)?;
    fsync(&root)
}
