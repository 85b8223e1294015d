//! The places of this machine that no run sees.

use std::path::{Component, Path, PathBuf};

use super::ViewError;
use crate::privileges;
use crate::settings::Settings;

/// Sockets of the machine's services, and secrets that are mounted.
const SOCKETS: [&str; 2] = ["/run", "/var/run"];

/// A run has its own instead.
const REPLACED: [&str; 2] = ["/tmp", "/var/tmp"];

/// Where programs of the system lie. A "home" there is none, as that of `daemon`.
const SYSTEM: [&str; 12] =
    ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/usr", "/etc", "/dev", "/proc", "/sys", "/boot"];

/// No path has more links in it.
const MAX_LINKS: usize = 40;

/// Places of which nothing is seen but what is let in.
#[derive(Clone, Debug)]
pub struct Hidden {
    places: Vec<PathBuf>,
    /// Those that the operator must not let in as they are: the server's own, and what a setting hides.
    strict: Vec<PathBuf>,
    /// Places where a run has something of its own instead.
    replaced: Vec<PathBuf>,
}

impl Hidden {
    /// What is hidden on this machine.
    pub(super) fn of(settings: &Settings, private_files: &[PathBuf]) -> Result<Self, ViewError> {
        let homes = [settings.paths.home.clone(), privileges::own_home()];
        Self::with_homes(settings, private_files, &homes.into_iter().flatten().collect::<Vec<_>>())
    }

    /// [`Self::of`], with the homes of the server's user.
    pub(super) fn with_homes(
        settings: &Settings,
        private_files: &[PathBuf],
        homes: &[PathBuf],
    ) -> Result<Self, ViewError> {
        let paths = &settings.paths;
        let own = [&paths.data_dir, &paths.config_dir, &paths.workspace_dir].into_iter().chain(private_files);
        let mut strict: Vec<PathBuf> = own.filter_map(|path| path.canonicalize().ok()).collect();
        let workspaces = paths.workspace_dir.canonicalize().unwrap_or_else(|_| paths.workspace_dir.clone());
        for folder in &settings.isolation.hidden_folders {
            strict.push(to_hide(folder, &workspaces)?);
        }
        let homes = homes.iter().filter_map(|home| home.canonicalize().ok()).filter(|home| is_home(home));
        let sockets = SOCKETS.iter().filter_map(|place| Path::new(place).canonicalize().ok());
        let mut places: Vec<PathBuf> = homes.chain(sockets).chain(strict.iter().cloned()).collect();
        // Parents come first, so whatever lies below one that is kept is hidden with it.
        places.sort();
        places.dedup_by(|place, kept| place.starts_with(&*kept));
        Ok(Self { places, strict, replaced: REPLACED.map(PathBuf::from).into() })
    }

    /// Where temporary folders are places like any other: tests make theirs there.
    #[cfg(test)]
    pub(super) fn replacing_nothing(self) -> Self {
        Self { replaced: Vec::new(), ..self }
    }

    /// The places: absolute, without links, none below another.
    pub(super) fn places(&self) -> &[PathBuf] {
        &self.places
    }

    /// Whether nothing of this place is seen unless it is let in. `path` has no links.
    pub(super) fn covers(&self, path: &Path) -> bool {
        self.places.iter().chain(&self.replaced).any(|place| path.starts_with(place))
    }

    /// Whether it is hidden itself, or something hidden lies in it: let in, it would undo that.
    pub(super) fn lies_in(&self, folder: &Path) -> bool {
        self.places.iter().chain(&self.strict).chain(&self.replaced).any(|place| place.starts_with(folder))
    }

    /// The folder without links, if the operator may let it in.
    pub(super) fn may_be_let_in(&self, setting: &'static str, folder: &Path) -> Result<PathBuf, ViewError> {
        let wrong = |what: String| ViewError { setting, path: folder.to_owned(), what };
        let real = folder.canonicalize().map_err(|error| wrong(format!("cannot be used: {error}")))?;
        let strictly_within = |place: &PathBuf| place.starts_with(&real) && *place != real;
        let undone = self.strict.iter().find(|place| place.starts_with(&real));
        match undone.or_else(|| self.places.iter().find(|place| strictly_within(place))) {
            Some(place) => Err(wrong(format!(
                "holds `{}`, which no run may see; name the folders in it that runs need instead",
                place.display()
            ))),
            None => Ok(real),
        }
    }

    /// Where a run looks for `path`, if that is a hidden place; `None`: it is seen without being let in, or is not there.
    ///
    /// Links outside of hidden places are in every view and are followed. Those inside are not: what is let in stands
    /// there under the name by which it is looked for.
    pub(super) fn place_of(&self, path: &Path) -> Option<PathBuf> {
        let mut rest = plain(path);
        let mut links = 0;
        loop {
            let mut at = PathBuf::from("/");
            let mut parts = rest.components();
            // The root.
            parts.next();
            let link = loop {
                let Some(part) = parts.next() else { return self.covers(&at).then_some(at) };
                at.push(part);
                if self.covers(&at) {
                    at.extend(parts);
                    return Some(at);
                }
                if let Ok(target) = at.read_link() {
                    break target;
                }
            };
            links += 1;
            if links > MAX_LINKS {
                return None;
            }
            at.pop();
            let followed: PathBuf = [at.as_path(), &link, parts.as_path()].iter().collect();
            rest = plain(&followed);
        }
    }
}

/// Takes `.` and `..` out as text: of use only where no link precedes a `..`, as in the targets of links that systems make.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::Normal(name) => plain.push(name),
            _ => {}
        }
    }
    plain
}

/// Whether this is a place that can be hidden as somebody's home.
fn is_home(home: &Path) -> bool {
    home.parent().is_some() && !SYSTEM.iter().any(|place| home.starts_with(place))
}

/// A folder of `ASKD_HIDDEN_FOLDERS`, without links.
fn to_hide(folder: &Path, workspaces: &Path) -> Result<PathBuf, ViewError> {
    let wrong = |what: String| {
        let path = folder.to_owned();
        Err(ViewError { setting: "ASKD_HIDDEN_FOLDERS", path, what })
    };
    let real = match folder.canonicalize() {
        Ok(real) => real,
        Err(error) => return wrong(format!("cannot be hidden: {error}; take it out of the list if it is not needed")),
    };
    let is_system = SYSTEM.iter().any(|place| real == Path::new(place));
    if is_system || real.parent().is_none() || ["/dev", "/proc"].iter().any(|place| real.starts_with(place)) {
        return wrong(
            "belongs to the system, and no program could run without it; name folders in it instead".to_owned(),
        );
    }
    if real.starts_with(workspaces) && real != workspaces {
        let workspaces = workspaces.display();
        return wrong(format!(
            "lies in WORKSPACE_DIR `{workspaces}`, whose folders runs work in; move it out of there"
        ));
    }
    Ok(real)
}
