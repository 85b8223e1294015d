//! What a run sees of the file system: which places of this machine are hidden from every run, and what is let in.
//!
//! ```text
//! HostView, once at the start    what is hidden; the CLI, its interpreter and askd where they lie in something hidden
//! RunView, for each run          its home, its workspace, its write root, further folders, a stored login
//!    HostView::folders(RunView) > supervisor::confinement::Folders, with every folder opened
//! ```

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, open, openat, openat2};
use rustix::io::Errno;
use supervisor::confinement::{Access, Bind, Folders};

use self::hidden::Hidden;
use self::installation::{Installation, NamedFile};
use crate::settings::Settings;
use crate::workspaces::Folder;

pub mod hidden;
pub mod installation;

mod aliases;
mod secrets;

#[cfg(test)]
mod tests;

/// What of `WORKSPACE_DIR` a run may see and write: folders that were opened when they were checked.
#[derive(Debug)]
pub struct Reach {
    /// Where its working folder lies; to be read unless it is the write root.
    pub workspace: Folder,
    /// Where it may write.
    pub write_root: Folder,
    /// What it has besides.
    pub additional: Vec<(Folder, Access)>,
}

/// What one run's view is made of.
#[derive(Clone, Copy, Debug)]
pub struct RunView<'a> {
    /// Its private home: absolute, without links.
    pub home: &'a Path,
    /// The folder that becomes its `/tmp`.
    pub temporary: &'a Path,
    /// What it has of the workspaces.
    pub reach: &'a Reach,
    /// The file with the CLI's stored login, if it is used: absolute, without links.
    pub login: Option<&'a Path>,
}

/// What holds for every run of this server.
#[derive(Clone, Debug)]
pub struct HostView {
    hidden: Hidden,
    let_in: Vec<LetIn>,
    files: Vec<NamedFile>,
    programs: Vec<PathBuf>,
    workspaces: PathBuf,
}

/// What the operator may have written for all workspaces; the CLI looks for it above the working folder, and loads it if it
/// loads the folder's own. `WORKSPACE_DIR` is hidden, so it is let in.
const FOR_ALL_WORKSPACES: [&str; 3] = ["CLAUDE.md", "CLAUDE.local.md", ".claude"];

/// Something that a run has although it lies in something hidden, or may write although it is the machine's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetIn {
    /// Where a run finds it. Differs from `source` where links in something hidden lead to it.
    pub path: PathBuf,
    /// What it is: absolute, without links.
    pub source: PathBuf,
    /// What a run may do there.
    pub access: Access,
}

/// Why no run could have its view: a folder, the setting that names it, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{setting} `{path}` {what}")]
pub struct ViewError {
    /// The setting.
    pub setting: &'static str,
    /// The folder at fault.
    pub path: PathBuf,
    /// What is wrong with it.
    pub what: String,
}

impl HostView {
    /// Looks at this machine. `program` is the CLI, `launcher` askd's executable; `private_files` hold secrets.
    pub fn new(
        settings: &Settings,
        private_files: &[PathBuf],
        program: &Path,
        launcher: &Path,
    ) -> Result<Self, ViewError> {
        let hidden = Hidden::of(settings, private_files, installation::needed(settings, program, launcher))?;
        let (mut let_in, programs) = Installation { settings, hidden: &hidden }.all(program, launcher)?;
        for (setting, folders, access) in [
            ("ASKD_READABLE_FOLDERS", &settings.isolation.readable_folders, Access::ReadOnly),
            ("ASKD_WRITABLE_FOLDERS", &settings.isolation.writable_folders, Access::ReadWrite),
        ] {
            for folder in folders {
                let source = hidden.may_be_let_in(setting, folder)?;
                let path = hidden.place_of(folder).unwrap_or_else(|| source.clone());
                let_in.push(LetIn { path, source, access });
            }
        }
        let workspaces = &settings.paths.workspace_dir;
        let workspaces = workspaces.canonicalize().unwrap_or_else(|_| workspaces.clone());
        Ok(Self { hidden, let_in, files: NamedFile::all(settings), programs, workspaces })
    }

    /// What is hidden since the start: absolute, without links, none below another. A run's view hides what has come
    /// to be private since, too.
    pub fn hidden(&self) -> &[PathBuf] {
        self.hidden.places()
    }

    /// Files with secrets that lie in a folder which runs need, so that they are masked by themselves: once such a file is
    /// replaced by renaming, runs that are under way see it.
    pub fn masked_alone(&self) -> Vec<PathBuf> {
        self.hidden.masked_alone()
    }

    /// Where something hidden is mounted a second time around programs or what runs need, so that it is seen there.
    pub fn seen_elsewhere(&self) -> &[PathBuf] {
        self.hidden.seen_elsewhere()
    }

    /// What every run has besides its own folders, and the files that variables name.
    pub fn let_in(&self) -> &[LetIn] {
        &self.let_in
    }

    /// What a run must be able to execute: the CLI and its interpreter, if it has one. Absolute, without links.
    pub fn programs(&self) -> &[PathBuf] {
        &self.programs
    }

    /// Opens everything that a run's view is made of. What was checked before it was opened here lies where only the
    /// server and its operator can change names.
    pub fn folders(&self, run: &RunView<'_>) -> io::Result<Folders> {
        let mut binds = Binds::default();
        for let_in in &self.let_in {
            match open(&let_in.source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
                Ok(descriptor) => binds.add(&let_in.path, descriptor, let_in.access),
                Err(error) => return Err(named(&let_in.source, error)),
            }
        }
        for LetIn { path, source, access } in self.files.iter().filter_map(|file| file.now(&self.hidden)) {
            match open(&source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
                Ok(descriptor) => binds.add(&path, descriptor, access),
                // Replaced in this moment.
                Err(Errno::NOENT) => {}
                Err(error) => return Err(named(&source, error)),
            }
        }
        binds.add(run.home, own_folder(run.home)?, Access::ReadWrite);
        let reach = run.reach;
        // As part of the write root it would be mounted over it, and be read-only.
        let is_apart = !reach.workspace.path().starts_with(reach.write_root.path());
        let workspace = is_apart.then_some((&reach.workspace, Access::ReadOnly));
        let additional = reach.additional.iter().map(|(folder, access)| (folder, *access));
        for (folder, access) in workspace.into_iter().chain([(&reach.write_root, Access::ReadWrite)]).chain(additional)
        {
            binds.add(folder.path(), folder.descriptor().try_clone_to_owned()?, access);
        }
        for name in FOR_ALL_WORKSPACES {
            let path = self.workspaces.join(name);
            // A run that has the whole root has these as it has the rest.
            if !binds.0.values().any(|bind| path.starts_with(&bind.path))
                && let Some(descriptor) = beneath(&self.workspaces, name)
            {
                binds.add(&path, descriptor, Access::ReadOnly);
            }
        }
        if let Some(login) = run.login {
            let descriptor = openat(CWD, login, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
            binds.add(login, descriptor.map_err(|error| named(login, error))?, Access::ReadWrite);
        }
        let hidden = self.hidden.places_now();
        Ok(Folders { hidden, binds: binds.0.into_values().collect(), temporary: own_folder(run.temporary)? })
    }
}

/// By path. What is named twice may be written if one of the two says so.
#[derive(Default)]
struct Binds(BTreeMap<PathBuf, Bind>);

impl Binds {
    fn add(&mut self, path: &Path, descriptor: OwnedFd, access: Access) {
        match self.0.entry(path.to_owned()) {
            Entry::Vacant(vacant) => {
                vacant.insert(Bind { descriptor, path: path.to_owned(), access });
            }
            Entry::Occupied(mut known) if known.get().access < access => {
                known.insert(Bind { descriptor, path: path.to_owned(), access });
            }
            Entry::Occupied(_) => {}
        }
    }
}

/// A folder that the server has made: where a link stands now, somebody else has been.
fn own_folder(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    open(path, flags, Mode::empty()).map_err(|error| named(path, error))
}

/// What has this name in a folder, if it has it: agents may write there, so a link that leads out of it does not count.
fn beneath(folder: &Path, name: &str) -> Option<OwnedFd> {
    let folder = open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    openat2(folder, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), beneath).ok()
}

fn named(path: &Path, error: Errno) -> io::Error {
    io::Error::new(error.kind(), format!("cannot open `{}` for the run's view: {error}", path.display()))
}
