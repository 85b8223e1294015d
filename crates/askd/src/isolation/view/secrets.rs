//! Files that hold secrets, and what has to be hidden so that no run sees them, now and after they were replaced.
//!
//! A mask lies on a file or folder, not on its name: when the host renames another file over a masked one, the kernel
//! takes the mask away, and runs that are under way see the new file (checked). Secrets are replaced that way, and those
//! of Kubernetes by turning a link `..data` to a new folder. So what is hidden is the folder that holds the file's name,
//! and the one that holds what the name leads to; only where runs need such a folder, the file alone.

use std::path::{Path, PathBuf};

use super::hidden::SYSTEM;

/// Folders in which many programs have something: they are not hidden for the sake of one file.
const COMMON: [&str; 20] = [
    "/",
    "/etc",
    "/etc/ca-certificates",
    "/etc/default",
    "/etc/pki",
    "/etc/pki/tls",
    "/etc/ssl",
    "/etc/ssl/certs",
    "/etc/systemd",
    "/etc/systemd/system",
    "/home",
    "/media",
    "/mnt",
    "/opt",
    "/srv",
    "/usr/local",
    "/usr/local/etc",
    "/var",
    "/var/lib",
    "/var/tmp",
];

/// The files, by the names that the operator gave.
#[derive(Clone, Debug, Default)]
pub(super) struct Secrets {
    pub(super) files: Vec<PathBuf>,
    /// What runs need of the machine, without links: a folder with one of these in it is not hidden.
    pub(super) needed: Vec<PathBuf>,
    /// Files that runs need by these names, whatever they lead to at the moment.
    pub(super) named: Vec<PathBuf>,
    /// `WORKSPACE_DIR`, without links. What lies in it is seen by whoever works beside it.
    pub(super) workspaces: PathBuf,
}

/// What is to be hidden at this moment: all absolute and without links.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) folders: Vec<PathBuf>,
    /// Files that are masked by themselves.
    pub(super) alone: Vec<PathBuf>,
}

impl Secrets {
    /// Looks where the files are now. A file that is not there yet is hidden with its folder.
    pub(super) fn places(&self) -> Places {
        let mut places = Places::default();
        for file in &self.files {
            let real = file.canonicalize().ok();
            let named = file.parent().and_then(|folder| folder.canonicalize().ok());
            let held = real.as_deref().and_then(Path::parent).map(Path::to_owned);
            for folder in named.into_iter().chain(held) {
                if self.may_be_hidden(&folder) {
                    places.folders.push(folder);
                } else {
                    places.alone.extend(real.clone().filter(|real| real.starts_with(&folder)));
                }
            }
        }
        for list in [&mut places.folders, &mut places.alone] {
            list.sort();
            list.dedup();
        }
        let folders = &places.folders;
        places.alone.retain(|file| !folders.iter().any(|folder| file.starts_with(folder)));
        places
    }

    fn may_be_hidden(&self, folder: &Path) -> bool {
        let is_common = COMMON.iter().any(|common| folder == Path::new(common));
        let in_system = match folder.strip_prefix("/usr") {
            Ok(below) => !below.starts_with("local"),
            Err(_) => !folder.starts_with("/etc") && SYSTEM.iter().any(|place| folder.starts_with(place)),
        };
        let leads_there = |name: &PathBuf| name.canonicalize().is_ok_and(|file| file.starts_with(folder));
        let is_needed =
            self.needed.iter().any(|needed| needed.starts_with(folder)) || self.named.iter().any(leads_there);
        !is_common && !in_system && !is_needed && !folder.starts_with(&self.workspaces)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// `mounted/key > ..data > ..1/key`, as Kubernetes mounts secrets.
    fn mounted() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for version in ["..1", "..2"] {
            fs::create_dir_all(root.join("mounted").join(version)).unwrap();
            fs::write(root.join("mounted").join(version).join("key"), version).unwrap();
        }
        symlink("..1", root.join("mounted/..data")).unwrap();
        symlink("..data/key", root.join("mounted/key")).unwrap();
        (folder, root)
    }

    fn secrets(file: PathBuf) -> Secrets {
        Secrets { files: vec![file], workspaces: "/nonexistent/workspaces".into(), ..Secrets::default() }
    }

    #[test]
    fn the_folder_of_the_name_and_that_of_the_file_are_hidden() {
        let (_folder, root) = mounted();
        let places = secrets(root.join("mounted/key")).places();
        assert_eq!(places.folders, [root.join("mounted"), root.join("mounted/..1")]);
        assert!(places.alone.is_empty());
    }

    #[test]
    fn a_file_to_which_a_link_is_turned_elsewhere_is_found_at_the_next_look() {
        let (_folder, root) = mounted();
        fs::create_dir(root.join("config")).unwrap();
        symlink(root.join("mounted/..1/key"), root.join("config/key")).unwrap();
        let secrets = secrets(root.join("config/key"));
        assert_eq!(secrets.places().folders, [root.join("config"), root.join("mounted/..1")]);
        fs::remove_file(root.join("config/key")).unwrap();
        symlink(root.join("mounted/..2/key"), root.join("config/key")).unwrap();
        assert_eq!(secrets.places().folders, [root.join("config"), root.join("mounted/..2")]);
    }

    #[test]
    fn a_file_that_is_not_there_yet_is_hidden_with_its_folder() {
        let (_folder, root) = mounted();
        assert_eq!(secrets(root.join("mounted/later")).places().folders, [root.join("mounted")]);
        assert_eq!(secrets(root.join("absent/later")).places(), Places::default());
    }

    #[test]
    fn where_runs_need_the_folder_the_file_is_masked_alone() {
        let (_folder, root) = mounted();
        let needed = vec![root.join("mounted/..1/bin/claude")];
        let places = Secrets { needed, ..secrets(root.join("mounted/key")) }.places();
        assert_eq!(places, Places { folders: vec![], alone: vec![root.join("mounted/..1/key")] });
        let workspaces = root.clone();
        let places = Secrets { workspaces, ..secrets(root.join("mounted/key")) }.places();
        assert_eq!(places.alone, [root.join("mounted/..1/key")]);
    }

    #[test]
    fn a_volume_that_is_turned_goes_on_showing_what_runs_need_of_it() {
        let (_folder, root) = mounted();
        let secrets = Secrets { named: vec![root.join("mounted/key")], ..secrets(root.join("mounted/secret")) };
        for version in ["..1", "..2"] {
            fs::write(root.join("mounted").join(version).join("secret"), "").unwrap();
        }
        symlink("..data/secret", root.join("mounted/secret")).unwrap();
        for version in ["..1", "..2"] {
            fs::remove_file(root.join("mounted/..data")).unwrap();
            symlink(version, root.join("mounted/..data")).unwrap();
            let alone = vec![root.join("mounted").join(version).join("secret")];
            assert_eq!(secrets.places(), Places { folders: vec![], alone });
        }
    }

    #[test]
    fn folders_of_the_system_are_not_hidden_for_one_file() {
        let secrets = Secrets { workspaces: "/nonexistent".into(), ..Secrets::default() };
        for (folder, may) in [
            ("/", false),
            ("/etc", false),
            ("/etc/ssl", false),
            ("/etc/askd", true),
            ("/usr/lib/askd", false),
            ("/usr/local/etc", false),
            ("/usr/local/etc/askd", true),
            ("/proc/self/fd", false),
            ("/dev", false),
            ("/opt", false),
            ("/opt/askd/secrets", true),
            ("/secrets", true),
        ] {
            assert_eq!(secrets.may_be_hidden(Path::new(folder)), may, "{folder}");
        }
    }
}
