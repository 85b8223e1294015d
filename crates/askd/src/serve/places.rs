//! How the three folders must lie to each other, so that deny rules can keep agents out.

use std::path::{Path, PathBuf};

use claude::run_settings::can_be_named;

use crate::privileges;
use crate::settings::Settings;

/// Says what is wrong, and what to do.
pub fn check(settings: &Settings) -> Result<(), String> {
    let paths = &settings.paths;
    let (config, workspace, data) = (&paths.config_dir, &paths.workspace_dir, &paths.data_dir);
    for (name, path) in [("CONFIG_DIR", config), ("ASKD_DATA_DIR", data)] {
        if !can_be_named(path) {
            return Err(format!(
                "{name} `{}` holds a character that has a meaning in the CLI's path rules, which keep agents out of \
                 it; choose a plain path",
                path.display()
            ));
        }
    }
    for file in private_files(settings) {
        if !can_be_named(&file) {
            return Err(format!(
                "the file `{}` holds secrets, and its path a character that has a meaning in the CLI's path rules, \
                 which keep agents out of it; choose a plain path",
                file.display()
            ));
        }
    }
    for (inner_name, inner, outer_name, outer) in [
        ("CONFIG_DIR", config, "WORKSPACE_DIR", workspace),
        ("ASKD_DATA_DIR", data, "WORKSPACE_DIR", workspace),
        // Every run's home lies below the data folder; denying its parent would deny the home itself.
        ("ASKD_DATA_DIR", data, "CONFIG_DIR", config),
        ("WORKSPACE_DIR", workspace, "CONFIG_DIR", config),
        ("WORKSPACE_DIR", workspace, "ASKD_DATA_DIR", data),
        ("CONFIG_DIR", config, "ASKD_DATA_DIR", data),
    ] {
        if resolved(inner).starts_with(resolved(outer)) {
            return Err(format!(
                "{inner_name} `{}` must not lie in {outer_name} `{}`: agents are kept out of the one and work in the \
                 other, or the server's own files are there; choose separate folders",
                inner.display(),
                outer.display()
            ));
        }
    }
    Ok(())
}

/// A home of the server's user that runs work in, because it is `WORKSPACE_DIR` or lies there: it cannot be hidden then.
pub fn home_in_workspaces(settings: &Settings) -> Option<PathBuf> {
    let workspaces = resolved(&settings.paths.workspace_dir);
    let homes = [settings.paths.home.clone(), privileges::own_home()].into_iter().flatten().map(|home| resolved(&home));
    // Users of services often have one that is nobody's, such as `/`.
    homes.into_iter().find(|home| home.parent().is_some() && home.is_dir() && home.starts_with(&workspaces))
}

/// Folders that no run may read.
pub(super) fn private_folders(settings: &Settings) -> Vec<PathBuf> {
    let data = &settings.paths.data_dir;
    let mut folders = vec![PathBuf::from("/proc"), settings.paths.config_dir.clone()];
    folders.extend(["sessions", "records", "owners"].map(|name| data.join(name)));
    folders
}

/// Files that no run may read, besides those folders.
pub fn private_files(settings: &Settings) -> Vec<PathBuf> {
    let data = &settings.paths.data_dir;
    let database = ["askd.db", "askd.db-wal", "askd.db-shm"];
    let own = ["cli.json", "instance-id", "lock"].into_iter().chain(database).map(|name| data.join(name));
    // Rules name paths, and a mounted secret is usually reached by links: both ends are named.
    let secret = settings.paths.private_files.iter().flat_map(|file| [file.clone(), resolved(file)]);
    let mut files: Vec<_> = own.into_iter().chain(secret).collect();
    files.sort();
    files.dedup();
    files
}

/// Replaces the folders by their paths without links: rules have to name what a link leads to.
pub fn resolve(settings: &mut Settings) {
    let paths = &mut settings.paths;
    for path in [&mut paths.config_dir, &mut paths.data_dir] {
        *path = resolved(path);
    }
}

/// The path without links, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => resolved(parent).join(name),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_with(config: &str, workspace: &str, data: &str) -> Result<(), String> {
        let mut settings = Settings::for_testing(Path::new("/nowhere"));
        settings.paths.config_dir = config.into();
        settings.paths.workspace_dir = workspace.into();
        settings.paths.data_dir = data.into();
        check(&settings)
    }

    #[test]
    fn separate_folders_are_fine_and_nested_ones_are_refused() {
        assert_eq!(check_with("/a/config", "/a/work", "/a/data"), Ok(()));
        for (config, workspace, data) in [
            ("/w/config", "/w", "/data"),
            ("/config", "/w", "/w/data"),
            ("/config", "/w", "/config/data"),
            ("/c", "/c/work", "/data"),
            ("/config", "/data/work", "/data"),
            ("/same", "/work", "/same"),
        ] {
            assert!(check_with(config, workspace, data).is_err(), "{config} {workspace} {data}");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_denied_is_refused() {
        assert!(check_with("/a[b]", "/work", "/data").unwrap_err().contains("CONFIG_DIR"));
    }
}
