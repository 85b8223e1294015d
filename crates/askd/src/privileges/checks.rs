//! Whether a user can do what a server does: named at the start rather than by the first run that fails.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use rustix::io::Errno;

use super::{PrivilegesError, User};
use crate::settings::Settings;

/// How many workspaces are looked at.
const MAX_WORKSPACES: usize = 10_000;

/// No path has more links in it.
const MAX_LINKS: usize = 8;

/// What this process's user may do with a file or folder.
pub fn access(path: &Path, access: Access) -> io::Result<()> {
    Ok(rustix::fs::access(path, access)?)
}

/// The first folder on the way to `path` that this process's user cannot enter; else `path` itself.
pub fn obstacle(path: &Path) -> PathBuf {
    first_on_the_way(path, |_| true).unwrap_or_else(|path| path)
}

/// The first folder on the way to `path` that is there and shut to this process's user, whatever is behind it.
pub fn shut_on_the_way(path: &Path) -> Option<PathBuf> {
    first_on_the_way(path, |error| error.kind() == io::ErrorKind::PermissionDenied).ok()
}

/// The first folder on the way that cannot be entered for such a reason. `Err`: there is none, and this is where the path's
/// own links lead.
fn first_on_the_way(path: &Path, counts: impl Fn(&io::Error) -> bool) -> Result<PathBuf, PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let mut ancestors: Vec<_> = path.ancestors().skip(1).collect();
        ancestors.reverse();
        let is_closed = |at: &&Path| access(at, Access::EXEC_OK).is_err_and(|error| counts(&error));
        if let Some(closed) = ancestors.into_iter().find(is_closed) {
            return Ok(closed.canonicalize().unwrap_or_else(|_| closed.to_owned()));
        }
        let Ok(target) = path.read_link() else { break };
        path = path.parent().unwrap_or(&path).join(target);
    }
    Err(path)
}

/// What to do where the folder that a setting names is behind one that the user cannot enter.
pub const BEHIND_A_SHUT_FOLDER: &str = "name a folder that this user can reach, such as one below /srv or /var/lib, or let \
                                        the user pass (chmod o+x)";

/// The CLI, in words.
pub(super) const CLI: &str = "the CLI";

/// What root has seen. What root does not see either is reported later, as for everybody.
pub(super) struct Seen {
    config: bool,
    program: Option<PathBuf>,
    launcher: Option<PathBuf>,
}

impl Seen {
    pub(super) fn by_root(settings: &Settings) -> Self {
        Self {
            config: settings.paths.config_dir.exists(),
            program: settings.child.find_program(&settings.paths.claude_bin),
            launcher: Path::new("/proc/self/exe").canonicalize().ok(),
        }
    }

    /// To be called as that user, before anything is made for it.
    pub(super) fn can_be_used_by(&self, user: &User, settings: &Settings) -> Result<(), PrivilegesError> {
        let paths = &settings.paths;
        if let Err(error) = may_work_in(&paths.workspace_dir) {
            let hint = "agents could write nothing there: give it or a folder in it to this user, or set ASKD_RUN_AS to \
                        its owner";
            return Err(unusable_folder(user, "WORKSPACE_DIR", &paths.workspace_dir, error, hint));
        }
        if let Some(path) = shut_on_the_way(&paths.data_dir) {
            let (what, source) = ("ASKD_DATA_DIR", io::ErrorKind::PermissionDenied.into());
            return Err(PrivilegesError::Unusable {
                user: user.clone(),
                what,
                path,
                source,
                hint: BEHIND_A_SHUT_FOLDER,
            });
        }
        let read = Access::READ_OK | Access::EXEC_OK;
        if self.config
            && let Err(error) = access(&paths.config_dir, read)
        {
            let hint = "let this user read it, or name another folder";
            return Err(unusable_folder(user, "CONFIG_DIR", &paths.config_dir, error, hint));
        }
        for (what, program) in [(CLI, &self.program), ("the executable of askd", &self.launcher)] {
            if let Some(program) = program
                && let Err(source) = access(program, read)
            {
                let (path, obstacle) = (program.clone(), at_fault(program, &source));
                return Err(PrivilegesError::Program { user: Box::new(user.clone()), what, path, obstacle, source });
            }
        }
        Ok(())
    }
}

/// Whether the data folder is the user's, after root has given away what it could. To be called as that user.
pub(super) fn data_dir_can_be_used_by(user: &User, data: &Path) -> Result<(), PrivilegesError> {
    match access(data, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK) {
        // Where it is not there yet, this user makes it or fails to.
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let hint = "give the folder with everything in it to this user (chown -R), or name another one";
            Err(unusable_folder(user, "ASKD_DATA_DIR", data, error, hint))
        }
        _ => Ok(()),
    }
}

/// `hint` is for the folder itself.
fn unusable_folder(
    user: &User,
    what: &'static str,
    path: &Path,
    source: io::Error,
    hint: &'static str,
) -> PrivilegesError {
    let user = user.clone();
    match shut_on_the_way(path) {
        Some(path) => PrivilegesError::Unusable { user, what, path, source, hint: BEHIND_A_SHUT_FOLDER },
        None => PrivilegesError::Unusable { user, what, path: at_fault(path, &source), source, hint },
    }
}

fn at_fault(path: &Path, error: &io::Error) -> PathBuf {
    if error.kind() == io::ErrorKind::PermissionDenied { obstacle(path) } else { path.to_owned() }
}

/// Whether this process's user can write the folder or one of the workspaces in it. A file system that nobody can write
/// is no mistake: the operator has made it so.
pub fn may_work_in(workspaces: &Path) -> io::Result<()> {
    access(workspaces, Access::READ_OK | Access::EXEC_OK)?;
    let is_fine = |path: &Path| match rustix::fs::access(path, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) | Err(Errno::ROFS) => Ok(()),
        Err(error) => Err(error),
    };
    let Err(error) = is_fine(workspaces) else { return Ok(()) };
    let mut folders = workspaces.read_dir()?.flatten().take(MAX_WORKSPACES).map(|entry| entry.path());
    if folders.any(|path| path.is_dir() && is_fine(&path).is_ok()) { Ok(()) } else { Err(error.into()) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_can_be_reached_has_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(obstacle(&file), file);
        let absent = folder.path().join("absent/file");
        assert_eq!(obstacle(&absent), folder.path().join("absent"));
    }

    #[test]
    fn what_is_not_there_yet_shuts_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(shut_on_the_way(&folder.path().join("absent/file")), None);
    }

    #[test]
    fn a_link_is_followed_to_what_is_in_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        symlink("absent/file", &link).unwrap();
        assert_eq!(obstacle(&link), folder.path().join("absent"));
    }

    #[test]
    fn a_folder_in_which_one_can_write_can_be_worked_in() {
        let folder = tempfile::tempdir().unwrap();
        assert!(may_work_in(folder.path()).is_ok());
        assert!(may_work_in(&folder.path().join("absent")).is_err());
    }
}
