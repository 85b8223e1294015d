//! What a run may see and change of the workspaces: its working folder, its write root and further folders.

use std::path::{Component, Path, PathBuf};

use supervisor::confinement::Access;

use super::{Refusal, Why, refuse};
use crate::isolation::Layer;
use crate::keys::Policy;
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
    bounds: Bounds,
}

/// What of it the policy of the key bounds.
#[derive(Debug, Default)]
struct Bounds {
    /// Workspaces that folders may lie in.
    workspaces: Option<Vec<String>>,
    /// Where alone a run may write.
    write_root: Option<String>,
}

/// What it comes to.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) ground: Ground,
    /// The folders that the request names besides `cwd`.
    pub(super) named: Vec<PathBuf>,
}

impl Wanted {
    pub(super) fn of(request: &RunRequest, policy: &Policy) -> Self {
        Self {
            cwd: request.cwd.clone(),
            write_root: request.write_root.clone(),
            additional: request.additional_folders.clone(),
            bounds: Bounds { workspaces: policy.workspaces.clone(), write_root: policy.write_root.clone() },
        }
    }

    /// Looks at all of it. `allowed` is where a run may write that asks for no further folders, and the most that its
    /// write root may be; `layer` is what will keep it there.
    ///
    /// Further folders may lie in any workspace and be writable, unless the policy of the key says otherwise: who may ask
    /// and has no policy is trusted with the whole root.
    pub(super) fn find(&self, workspaces: &Workspaces, allowed: WriteRoot, layer: Layer) -> Result<Found, Refusal> {
        self.can_be_kept(layer)?;
        let opened = self.bounds.open(workspaces, CWD, CWD, &self.cwd)?;
        let workspace = workspaces.workspace_of(&opened).map(noted).map_err(|error| refused(CWD, CWD, &error))?;
        let folder = noted(opened);
        let most = match allowed {
            // Where a run may write, it may read.
            WriteRoot::Root if self.bounds.workspaces.is_none() => {
                workspaces.folder("").map(noted).map_err(|error| refused(CWD, CWD, &error))?
            }
            WriteRoot::Workspace | WriteRoot::Root => workspace.clone(),
        };
        let bound = self.bounds.write_root(workspaces)?;
        let write_root = match &self.write_root {
            None => narrower(most, bound.as_ref())?,
            Some(path) => {
                let write_root = noted(self.bounds.open(workspaces, WRITE_ROOT, WRITE_ROOT, path)?);
                may_be_written(WRITE_ROOT, &write_root, bound.as_ref())?;
                fits(&write_root, &most, &folder)?;
                write_root
            }
        };
        let mut additional: Vec<(Place, Access)> = Vec::new();
        for (index, AdditionalFolder { path, writable }) in self.additional.iter().enumerate() {
            let part = format!("[{index}]");
            let (name, of_path) =
                (format!("{ADDITIONAL}{part}"), |refusal: Refusal| refusal.at(format!("{part}.path")));
            let found = self.bounds.open(workspaces, ADDITIONAL, &format!("{name}.path"), path).map_err(of_path)?;
            let found = noted(found);
            if *writable {
                may_be_written(ADDITIONAL, &found, bound.as_ref()).map_err(of_path)?;
            }
            let refused = |what: &str| Err(refuse(ADDITIONAL, Why::Folder, format!("{name} {what}")).at(&part));
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
        // The CLI takes only its working folder for its own by itself.
        let is_apart = bound.is_some() && !ground.folder.path().starts_with(ground.write_root.path());
        let root = (self.write_root.is_some() || is_apart).then(|| ground.write_root.path());
        let named = root.into_iter().chain(ground.additional.iter().map(|(folder, _)| folder.path()));
        let named = named.map(Path::to_owned).collect();
        Ok(Found { ground, named })
    }

    /// Without a layer a run sees and writes whatever its user may; to say otherwise would be untrue.
    fn can_be_kept(&self, layer: Layer) -> Result<(), Refusal> {
        if layer == Layer::None && self.bounds.write_root.is_some() {
            let message =
                "the write root of this key's policy cannot be kept on this server, where no isolation is in force";
            return Err(refuse(CWD, Why::Policy, message));
        }
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

impl Bounds {
    /// Opens a folder that a request names; `name` is how the request calls it within `field`. Where a link leads out of the
    /// workspaces, the answer is the same whatever there is.
    fn open(&self, workspaces: &Workspaces, field: &'static str, name: &str, path: &str) -> Result<Folder, Refusal> {
        self.have_path(field, path)?;
        let folder = workspaces.folder(path).map_err(|error| match &self.workspaces {
            None => refused(field, name, &error),
            // Looked at anew, since a run of the same key may change the links meanwhile.
            Some(_) => match workspaces.trouble_without_links(path) {
                Some(error) => refused(field, name, &error),
                None => self.foreign(field),
            },
        })?;
        self.have(field, folder.place()).map(|()| folder)
    }

    /// Whether a path leads into a workspace of the policy by its name. Asked before anything is looked at: what there is in
    /// other workspaces is nothing that the caller may learn.
    fn have_path(&self, field: &'static str, path: &str) -> Result<(), Refusal> {
        let Some(workspaces) = &self.workspaces else { return Ok(()) };
        let mut parts = Path::new(path).components().filter(|part| *part != Component::CurDir);
        let is_named = match parts.next() {
            Some(Component::Normal(first)) => workspaces.iter().any(|name| first == name.as_str()),
            _ => false,
        };
        let is_plain = parts.all(|part| matches!(part, Component::Normal(_)));
        if is_named && is_plain { Ok(()) } else { Err(self.foreign(field)) }
    }

    /// Whether a folder lies there, wherever links have led.
    fn have(&self, field: &'static str, folder: &Place) -> Result<(), Refusal> {
        let Some(workspaces) = &self.workspaces else { return Ok(()) };
        let is_there = folder.workspace().is_some_and(|workspace| workspaces.iter().any(|name| name == workspace));
        if is_there { Ok(()) } else { Err(self.foreign(field)) }
    }

    fn foreign(&self, field: &'static str) -> Refusal {
        let names = self.workspaces.as_deref().unwrap_or_default().join(", ");
        let message =
            format!("must lie in a workspace that the policy of this key allows, and not be the root of all: {names}");
        refuse(field, Why::Policy, message)
    }

    /// Where alone the run may write.
    fn write_root(&self, workspaces: &Workspaces) -> Result<Option<Place>, Refusal> {
        let Some(path) = &self.write_root else { return Ok(None) };
        let found = workspaces.folder(path).map(|folder| Some(noted(folder)));
        found.map_err(|error| {
            let why = if error.is_the_server_s() { Why::Server } else { Why::Policy };
            refuse(CWD, why, format!("the write root of this key's policy, `{path}`, {error}"))
        })
    }
}

/// Where a run writes that does not ask for less: in the narrower of what the server and what the policy allows.
fn narrower(most: Place, bound: Option<&Place>) -> Result<Place, Refusal> {
    match bound {
        None => Ok(most),
        Some(bound) if bound.path().starts_with(most.path()) => Ok(bound.clone()),
        Some(bound) if most.path().starts_with(bound.path()) => Ok(most),
        Some(bound) => {
            let bound = bound.relative().display();
            let message =
                format!("nothing could be written there: the policy of this key allows writing in `{bound}` only");
            Err(refuse(CWD, Why::Policy, message))
        }
    }
}

/// Whether the policy lets a run write in a folder.
fn may_be_written(field: &'static str, folder: &Place, bound: Option<&Place>) -> Result<(), Refusal> {
    match bound.filter(|bound| !folder.path().starts_with(bound.path())) {
        None => Ok(()),
        Some(bound) => {
            let bound = bound.relative().display();
            let message =
                format!("must lie in `{bound}` to be written: the policy of this key allows writing nowhere else");
            Err(refuse(field, Why::Policy, message))
        }
    }
}

/// Of a folder that was opened to look at it, what is kept until the run's turn.
#[expect(clippy::needless_pass_by_value, reason = "the folder is closed here")]
fn noted(folder: Folder) -> Place {
    folder.place().clone()
}

/// `name` is how the request calls the folder within `field`.
fn refused(field: &'static str, name: &str, error: &FolderError) -> Refusal {
    if error.is_the_server_s() {
        return refuse(field, Why::Server, error.to_string());
    }
    refuse(field, Why::Folder, format!("{name} {error}"))
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
            Err(refuse(ADDITIONAL, Why::Folder, message).at(format!("[{index}]")))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
