//! Folders of `PATH` in which a run finds nothing, since they are hidden from it.

use std::path::{Path, PathBuf};

use secrecy::ExposeSecret as _;

use super::Check;
use crate::isolation::view::HostView;
use crate::settings::Settings;

const NAME: &str = "path";

/// What programs of a run do not find although the server's user does.
pub(super) fn path(settings: &Settings, host: &HostView) -> Check {
    let Some(path) = settings.child.get("PATH") else {
        let hint = "start the server with a PATH, so that agents find their programs";
        return Check::warn(NAME, "PATH is not set: agents find no programs", hint);
    };
    let folders: Vec<_> = std::env::split_paths(path.expose_secret()).collect();
    let let_in: Vec<_> = host.let_in().iter().flat_map(|let_in| [&*let_in.path, &*let_in.source]).collect();
    judge(&folders, host.hidden(), &let_in)
}

fn judge(folders: &[PathBuf], hidden: &[PathBuf], let_in: &[&Path]) -> Check {
    let is_below = |folder: &Path, places: &[&Path]| places.iter().any(|place| folder.starts_with(place));
    let hidden: Vec<_> = hidden.iter().map(PathBuf::as_path).collect();
    let unseen = |folder: &&PathBuf| {
        let Ok(found) = folder.canonicalize() else { return false };
        let is_hidden = is_below(folder, &hidden) || is_below(&found, &hidden);
        is_hidden && !is_below(folder, let_in) && !is_below(&found, let_in)
    };
    let unseen: Vec<_> = folders.iter().filter(unseen).map(|folder| format!("`{}`", folder.display())).collect();
    if unseen.is_empty() {
        return Check::ok(NAME, "runs see every folder of PATH that there is");
    }
    let message = format!("PATH has folders that are hidden from runs: {}", unseen.join(", "));
    Check::warn(NAME, message, "if agents need programs there, let the folders in (ASKD_READABLE_FOLDERS)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    #[test]
    fn a_folder_that_runs_do_not_see_is_named() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let folder = |name: &str| {
            let folder = root.join(name);
            std::fs::create_dir_all(&folder).unwrap();
            folder
        };
        let (seen, hidden, let_in) = (folder("bin"), folder("home/bin"), folder("home/tools/bin"));
        let absent = root.join("home/absent");
        let home = [root.join("home")];
        let tools = root.join("home/tools");
        let check = judge(&[seen.clone(), hidden.clone(), let_in.clone(), absent], &home, &[&tools]);
        assert_eq!(check.status, Status::Warn);
        assert!(check.message.ends_with(&format!("from runs: `{}`", hidden.display())), "{check:?}");
        assert_eq!(judge(&[seen, let_in], &home, &[&tools]).status, Status::Ok);
    }
}
