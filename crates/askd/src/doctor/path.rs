//! Folders of `PATH` in which a run finds nothing, since they are hidden from it or shut to its user.

use std::collections::BTreeSet;
use std::io;
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
    let (mut unseen, mut shut) = (Vec::new(), Vec::new());
    let mut looked_at = BTreeSet::new();
    for folder in folders.iter().filter(|folder| looked_at.insert(*folder)) {
        let shown = format!("`{}`", folder.display());
        match folder.canonicalize() {
            Ok(found) => {
                let is_hidden = is_below(folder, &hidden) || is_below(&found, &hidden);
                if is_hidden && !is_below(folder, let_in) && !is_below(&found, let_in) {
                    unseen.push(shown);
                }
            }
            // Whether there is something nobody can say, and no run finds it.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => shut.push(shown),
            Err(_) => {}
        }
    }
    told(&unseen, &shut)
}

fn told(unseen: &[String], shut: &[String]) -> Check {
    let hidden = format!("PATH has folders that are hidden from runs: {}", unseen.join(", "));
    let closed = format!("PATH has folders that the server's user cannot enter: {}", shut.join(", "));
    let let_in = "if agents need programs there, let the folders in (ASKD_READABLE_FOLDERS)";
    let open = "if agents need programs there, install them where that user can read them";
    match (unseen.is_empty(), shut.is_empty()) {
        (true, true) => Check::ok(NAME, "runs see every folder of PATH that there is"),
        (false, true) => Check::warn(NAME, hidden, let_in),
        (true, false) => Check::warn(NAME, closed, open),
        (false, false) => Check::warn(NAME, format!("{hidden}; {closed}"), format!("{let_in}, or {open}")),
    }
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
        let check = judge(&[seen.clone(), hidden.clone(), let_in.clone(), absent, hidden.clone()], &home, &[&tools]);
        assert_eq!(check.status, Status::Warn);
        assert!(check.message.ends_with(&format!("from runs: `{}`", hidden.display())), "{check:?}");
        assert_eq!(judge(&[seen, let_in], &home, &[&tools]).status, Status::Ok);
    }

    #[test]
    fn a_folder_that_the_user_cannot_enter_is_no_absent_one() {
        use std::os::unix::fs::PermissionsExt as _;
        let root = tempfile::tempdir().unwrap();
        let shut = root.path().join("shut");
        let bin = shut.join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::set_permissions(&shut, std::fs::Permissions::from_mode(0o000)).unwrap();
        // For root nothing is shut.
        let is_shut = bin.canonicalize().is_err();
        let check = if is_shut {
            judge(std::slice::from_ref(&bin), &[], &[])
        } else {
            told(&[], &[format!("`{}`", bin.display())])
        };
        std::fs::set_permissions(&shut, std::fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(check.status, Status::Warn);
        assert!(check.message.ends_with(&format!("cannot enter: `{}`", bin.display())), "{check:?}");
        let both = told(&["`a`".to_owned()], &["`b`".to_owned()]);
        assert!(
            both.message.contains("from runs: `a`; PATH") && both.message.ends_with("cannot enter: `b`"),
            "{both:?}"
        );
    }
}
