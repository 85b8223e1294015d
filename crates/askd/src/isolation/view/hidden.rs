//! The places of this machine that no run sees.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use super::ViewError;
use super::aliases::{Alias, aliases};
use super::installation::NamedFile;
use super::secrets::Secrets;
use crate::privileges;
use crate::settings::Settings;
use crate::small_file;

/// Sockets of the machine's services, and secrets that are mounted.
const SOCKETS: [&str; 2] = ["/run", "/var/run"];

/// A run has its own instead.
const REPLACED: [&str; 2] = ["/tmp", "/var/tmp"];

/// Folders of the system.
pub(super) const SYSTEM: [&str; 12] =
    ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/usr", "/etc", "/dev", "/proc", "/sys", "/boot"];

/// Folders of the system below those that users like `daemon` have for a home.
const SYSTEM_HOMES: [&str; 12] = [
    "/usr/bin",
    "/usr/games",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/libx32",
    "/usr/local",
    "/usr/local/bin",
    "/usr/local/lib",
    "/usr/local/sbin",
    "/usr/sbin",
    "/usr/share",
];

/// What the kernel makes up; a view has one of its own.
const KERNEL: [&str; 3] = ["/dev", "/proc", "/sys"];

/// No path has more links in it.
const MAX_LINKS: usize = 40;

/// A machine with very many mounts has a longer list.
const MAX_MOUNTS: u64 = 4 << 20;

/// Places of which nothing is seen but what is let in.
#[derive(Clone, Debug)]
pub struct Hidden {
    places: Vec<PathBuf>,
    /// Other names of something hidden, which cannot be hidden themselves.
    seen_elsewhere: Vec<PathBuf>,
    /// Those that the operator must not let in as they are: the server's own, and what a setting hides.
    strict: Vec<PathBuf>,
    /// Places where a run has something of its own instead.
    replaced: Vec<PathBuf>,
    /// Files whose places change while the server runs.
    secrets: Secrets,
}

impl Hidden {
    /// What is hidden on this machine. `needed`: what runs need of it, without links.
    pub(super) fn of(settings: &Settings, private_files: &[PathBuf], needed: Vec<PathBuf>) -> Result<Self, ViewError> {
        let homes = [settings.paths.home.clone(), privileges::own_home()];
        let homes: Vec<_> = homes.into_iter().flatten().collect();
        Self::with_homes(settings, private_files, needed, &homes)
    }

    /// [`Self::of`], with the homes of the server's user.
    pub(super) fn with_homes(
        settings: &Settings,
        private_files: &[PathBuf],
        needed: Vec<PathBuf>,
        homes: &[PathBuf],
    ) -> Result<Self, ViewError> {
        let paths = &settings.paths;
        let workspaces = paths.workspace_dir.canonicalize().unwrap_or_else(|_| paths.workspace_dir.clone());
        let secrets = Secrets {
            files: private_files.to_vec(),
            needed,
            named: NamedFile::names(settings).map(|(_, name)| name).collect(),
            workspaces: workspaces.clone(),
        };
        let own = [&paths.data_dir, &paths.config_dir, &paths.workspace_dir].into_iter();
        let mut strict: Vec<PathBuf> = own.filter_map(|path| path.canonicalize().ok()).collect();
        let found = secrets.places();
        strict.extend(found.folders.into_iter().chain(found.alone));
        for folder in &settings.isolation.hidden_folders {
            strict.push(to_hide(folder, &workspaces)?);
        }
        let homes = homes.iter().filter_map(|home| home.canonicalize().ok()).filter(|home| is_home(home));
        let sockets = SOCKETS.iter().filter_map(|place| Path::new(place).canonicalize().ok());
        let places = outermost(homes.chain(sockets).chain(strict.iter().cloned()).collect());
        let (other_names, seen_elsewhere) = other_names(&places, &secrets.needed);
        let places = outermost(places.into_iter().chain(other_names).collect());
        Ok(Self { places, seen_elsewhere, strict, replaced: REPLACED.map(PathBuf::from).into(), secrets })
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

    /// Where something hidden is mounted a second time, around what runs need.
    pub(super) fn seen_elsewhere(&self) -> &[PathBuf] {
        &self.seen_elsewhere
    }

    /// The same at this moment: files with secrets may have been moved since the start.
    pub(super) fn places_now(&self) -> Vec<PathBuf> {
        let found = self.secrets.places();
        let mut places = self.places.clone();
        places.extend(found.folders.into_iter().chain(found.alone).filter(|place| !self.is_hidden(place)));
        if places.len() == self.places.len() { places } else { outermost(places) }
    }

    /// The files with secrets that are masked by themselves, and so are seen by runs under way once they are replaced.
    pub(super) fn masked_alone(&self) -> Vec<PathBuf> {
        let alone = self.secrets.places().alone.into_iter();
        alone.filter(|file| self.places.contains(file) || !self.covers(file)).collect()
    }

    fn is_hidden(&self, path: &Path) -> bool {
        self.places.iter().any(|place| path.starts_with(place))
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

/// Without what lies below another one, and so is hidden with it.
fn outermost(mut places: Vec<PathBuf>) -> Vec<PathBuf> {
    // Parents come first.
    places.sort();
    places.dedup_by(|place, kept| place.starts_with(&*kept));
    places
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

/// Whether this is a place that can be hidden as somebody's home: a folder of the system itself, such as `/usr/sbin`, is not.
fn is_home(home: &Path) -> bool {
    let is_system = SYSTEM.iter().chain(&SYSTEM_HOMES).any(|place| home == Path::new(place));
    home.parent().is_some() && !is_system && !KERNEL.iter().any(|place| home.starts_with(place))
}

/// Where else the machine mounts something hidden: what is to be hidden too, and what cannot, for programs or what runs
/// need lie there.
fn other_names(places: &[PathBuf], needed: &[PathBuf]) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let mounts = small_file::read_text(Path::new("/proc/self/mountinfo"), MAX_MOUNTS).unwrap_or_default();
    let identity = |path: &Path| path.metadata().map(|found| (found.dev(), found.ino())).ok();
    let is_seen = |alias: &Alias| {
        let Some(found) = identity(&alias.path) else { return false };
        // Something else may be mounted over it.
        alias.of.as_ref().is_none_or(|place| identity(place) == Some(found))
    };
    let may_be_hidden = |name: &PathBuf| {
        let holds = |path: &Path| path.starts_with(name);
        let holds_system = SYSTEM.iter().any(|place| holds(Path::new(place)));
        is_home(name) && !holds_system && !needed.iter().any(|needed| holds(needed))
    };
    let found = aliases(&mounts, places).into_iter().filter(is_seen).map(|alias| alias.path);
    found.partition(may_be_hidden)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_the_system_themselves_are_no_homes() {
        for (home, is) in [
            ("/", false),
            ("/usr", false),
            ("/usr/sbin", false),
            ("/bin", false),
            ("/etc", false),
            ("/dev/shm", false),
            ("/proc/1", false),
            ("/home/askd", true),
            ("/usr/local/askd", true),
            ("/etc/askd", true),
            ("/boot/askd", true),
            ("/usr/share/tomcat", true),
        ] {
            assert_eq!(is_home(Path::new(home)), is, "{home}");
        }
    }
}
