//! What a run may see and change of the workspaces: its working folder, its write root and further folders.

use std::path::{Path, PathBuf};

use supervisor::confinement::Access;

use super::{Refusal, Why, refuse};
use crate::isolation::Layer;
use crate::runs::ground::Ground;
use crate::runs::request::{AdditionalFolder, RunRequest};
use crate::settings::WriteRoot;
use crate::workspaces::{Folder, FolderError, Place, Workspaces};

const CWD: &str = "cwd";
const WRITE_ROOT: &str = "write_root";
const ADDITIONAL: &str = "additional_folders";

/// What a request names, taken out of it so that it can go to another thread.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    cwd: String,
    write_root: Option<String>,
    additional: Vec<AdditionalFolder>,
}

/// What it comes to.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) ground: Ground,
    /// The folders that the request names besides `cwd`.
    pub(super) named: Vec<PathBuf>,
}

impl Wanted {
    pub(super) fn of(request: &RunRequest) -> Self {
        Self {
            cwd: request.cwd.clone(),
            write_root: request.write_root.clone(),
            additional: request.additional_folders.clone(),
        }
    }

    /// Looks at all of it. `allowed` is where a run may write that asks for no further folders, and the most that its
    /// write root may be; `layer` is what will keep it there.
    ///
    /// Further folders may lie in any workspace and be writable: who may ask at all is trusted with the whole root.
    pub(super) fn find(&self, workspaces: &Workspaces, allowed: WriteRoot, layer: Layer) -> Result<Found, Refusal> {
        self.can_be_kept(layer)?;
        let open = |field: &'static str, path: &str| {
            workspaces.folder(path).map(noted).map_err(|error| refused(field, field, &error))
        };
        let opened = workspaces.folder(&self.cwd).map_err(|error| refused(CWD, CWD, &error))?;
        let workspace = workspaces.workspace_of(&opened).map(noted).map_err(|error| refused(CWD, CWD, &error))?;
        let folder = noted(opened);
        let most = match allowed {
            WriteRoot::Workspace => workspace.clone(),
            WriteRoot::Root => open(CWD, "")?,
        };
        let write_root = match &self.write_root {
            None => most,
            Some(path) => {
                let write_root = open(WRITE_ROOT, path)?;
                fits(&write_root, &most, &folder)?;
                write_root
            }
        };
        let mut additional: Vec<(Place, Access)> = Vec::new();
        for (index, AdditionalFolder { path, writable }) in self.additional.iter().enumerate() {
            let name = format!("{ADDITIONAL}[{index}]");
            let found = workspaces.folder(path).map(noted);
            let found = found.map_err(|error| refused(ADDITIONAL, &format!("{name}.path"), &error))?;
            let refused = |what: &str| Err(refuse(ADDITIONAL, Why::Folder, format!("{name} {what}")));
            if found.path() == write_root.path() {
                return refused("is the write root already");
            }
            if additional.iter().any(|(known, _)| known.path() == found.path()) {
                return refused("names the same folder as one before it");
            }
            additional.push((found, if *writable { Access::ReadWrite } else { Access::ReadOnly }));
        }
        let ground = Ground { folder, workspace, write_root, additional };
        if layer == Layer::Landlock {
            can_be_kept_read_only(&ground)?;
        }
        let root = self.write_root.is_some().then(|| ground.write_root.path());
        let named = root.into_iter().chain(ground.additional.iter().map(|(folder, _)| folder.path()));
        let named = named.map(Path::to_owned).collect();
        Ok(Found { ground, named })
    }

    /// Without a layer a run sees and writes whatever its user may; to say otherwise would be untrue.
    fn can_be_kept(&self, layer: Layer) -> Result<(), Refusal> {
        let field = match (&self.write_root, self.additional.is_empty()) {
            (Some(_), _) => WRITE_ROOT,
            (None, false) => ADDITIONAL,
            (None, true) => return Ok(()),
        };
        if layer != Layer::None {
            return Ok(());
        }
        let message = "cannot be kept on this server, where no isolation is in force; GET /v1/isolation says why";
        Err(refuse(field, Why::Value, message))
    }
}

/// Of a folder that was opened to look at it, what is kept until the run's turn.
#[expect(clippy::needless_pass_by_value, reason = "the folder is closed here")]
fn noted(folder: Folder) -> Place {
    folder.place().clone()
}

/// `name` is how the request calls the folder within `field`.
fn refused(field: &'static str, name: &str, error: &FolderError) -> Refusal {
    let why = if error.is_the_server_s() { Why::Server } else { Why::Folder };
    refuse(field, why, format!("{name} {error}"))
}

/// Whether the write root of a request lies where the setting lets it, and is of use.
fn fits(write_root: &Place, most: &Place, cwd: &Place) -> Result<(), Refusal> {
    let (path, cwd) = (write_root.path(), cwd.path());
    if !path.starts_with(most.path()) {
        let message = "must lie in the workspace of cwd (ASKD_WRITE_ROOT)";
        return Err(refuse(WRITE_ROOT, Why::Value, message));
    }
    if !path.starts_with(cwd) && !cwd.starts_with(path) {
        return Err(refuse(WRITE_ROOT, Why::Value, "must lie in cwd or contain it"));
    }
    Ok(())
}

/// Rules of Landlock only add up: what may be written as part of a folder cannot be made unwritable again.
fn can_be_kept_read_only(reach: &Ground) -> Result<(), Refusal> {
    let additional = || reach.additional.iter().map(|(folder, access)| (folder.path(), *access));
    let writable = || {
        let others = additional().filter(|(_, access)| *access == Access::ReadWrite).map(|(path, _)| path);
        others.chain([reach.write_root.path()])
    };
    let mut read_only = additional().enumerate().filter(|(_, (_, access))| *access == Access::ReadOnly);
    match read_only.find(|(_, (path, _))| writable().any(|above| path.starts_with(above))) {
        Some((index, _)) => {
            let message = format!(
                "{ADDITIONAL}[{index}] lies in a folder that the run may write, and this server (Landlock) cannot make it \
                 read-only there"
            );
            Err(refuse(ADDITIONAL, Why::Folder, message))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
