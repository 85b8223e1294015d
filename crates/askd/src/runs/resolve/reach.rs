//! What a run may see and change of the workspaces: its working folder, its write root and further folders.

use std::path::{Path, PathBuf};

use supervisor::confinement::Access;

use super::{Refusal, Why, refuse};
use crate::isolation::Layer;
use crate::isolation::view::Reach;
use crate::runs::request::{AdditionalFolder, RunRequest};
use crate::settings::WriteRoot;
use crate::workspaces::{Folder, Workspaces};

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
    pub(super) folder: Folder,
    pub(super) reach: Reach,
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

    /// Opens all of it. `allowed` is the most that the operator lets a run write, `layer` what will keep it there.
    pub(super) fn find(&self, workspaces: &Workspaces, allowed: WriteRoot, layer: Layer) -> Result<Found, Refusal> {
        self.can_be_kept(layer)?;
        let open = |field: &'static str, path: &str| {
            let refused = |error| refuse(field, Why::Folder, format!("{field} {error}"));
            workspaces.folder(path).map_err(refused)
        };
        let folder = open(CWD, &self.cwd)?;
        let workspace = workspaces.workspace_of(&folder);
        let workspace = workspace.map_err(|error| refuse(CWD, Why::Folder, format!("{CWD} {error}")))?;
        let most = match allowed {
            WriteRoot::Workspace => {
                workspace.try_clone().map_err(|error| refuse(CWD, Why::Server, error.to_string()))?
            }
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
        let mut additional: Vec<(Folder, Access)> = Vec::new();
        for (index, AdditionalFolder { path, writable }) in self.additional.iter().enumerate() {
            let name = format!("{ADDITIONAL}[{index}]");
            let opened = workspaces.folder(path);
            let opened = opened.map_err(|error| refuse(ADDITIONAL, Why::Folder, format!("{name}.path {error}")))?;
            let refused = |what: &str| Err(refuse(ADDITIONAL, Why::Folder, format!("{name} {what}")));
            if opened.path() == write_root.path() {
                return refused("is the write root already");
            }
            if additional.iter().any(|(known, _)| known.path() == opened.path()) {
                return refused("names the same folder as one before it");
            }
            additional.push((opened, if *writable { Access::ReadWrite } else { Access::ReadOnly }));
        }
        let reach = Reach { workspace, write_root, additional };
        if layer == Layer::Landlock {
            can_be_kept_read_only(&reach)?;
        }
        let root = self.write_root.is_some().then(|| reach.write_root.path());
        let named = root.into_iter().chain(reach.additional.iter().map(|(folder, _)| folder.path()));
        let named = named.map(Path::to_owned).collect();
        Ok(Found { folder, reach, named })
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

/// Whether the write root of a request is one that the operator allows, and of use.
fn fits(write_root: &Folder, most: &Folder, cwd: &Folder) -> Result<(), Refusal> {
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
fn can_be_kept_read_only(reach: &Reach) -> Result<(), Refusal> {
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
