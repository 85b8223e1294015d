//! Where a run works, and what it has of the workspaces: found when it is taken in, opened at its turn.
//!
//! In between nothing is held open. A queue of runs with further folders would otherwise use up the server's descriptors.

use supervisor::confinement::Access;

use crate::isolation::RunIsolation;
use crate::isolation::protection::Protection;
use crate::isolation::view::Reach;
use crate::workspaces::{Folder, FolderError, Place, Workspaces};

/// The folders of a run below the root of workspaces.
#[derive(Debug, Clone)]
pub struct Ground {
    /// Its working folder.
    pub folder: Place,
    /// The workspace that it lies in; to be read unless it is the write root.
    pub workspace: Place,
    /// Where it may write.
    pub write_root: Place,
    /// What it has besides.
    pub additional: Vec<(Place, Access)>,
}

/// A folder that cannot be opened at a run's turn. The text is for the caller.
#[derive(Debug, thiserror::Error)]
#[error("{name} {error}")]
pub struct Gone {
    /// As the request calls it.
    name: String,
    /// What is wrong with it.
    error: FolderError,
}

impl Ground {
    /// Opens the very folders that were found: the working folder, and what the run sees.
    pub fn open(&self, workspaces: &Workspaces) -> Result<(Folder, Reach), Gone> {
        let open = |name: &str, place| workspaces.reopen(place).map_err(|error| Gone { name: name.to_owned(), error });
        let mut additional = Vec::with_capacity(self.additional.len());
        for (index, (place, access)) in self.additional.iter().enumerate() {
            additional.push((open(&format!("additional_folders[{index}]"), place)?, *access));
        }
        let folder = open("cwd", &self.folder)?;
        let workspace = open("the workspace of cwd", &self.workspace)?;
        Ok((folder, Reach { workspace, write_root: open("write_root", &self.write_root)?, additional }))
    }

    /// What of the server's isolation is true of a run with these folders: one that has the root of all workspaces is kept
    /// from none of them, and one that may write there is kept from writing nowhere among them.
    pub fn kept_by(&self, isolation: &RunIsolation) -> RunIsolation {
        let writable =
            self.additional.iter().filter(|(_, access)| *access == Access::ReadWrite).map(|(place, _)| place);
        let writes_all = writable.chain([&self.write_root]).any(Place::is_root);
        let shown = self.additional.iter().map(|(place, _)| place).chain([&self.workspace, &self.write_root]);
        let sees_all = shown.into_iter().any(Place::is_root);
        let mut isolation = isolation.clone();
        isolation.in_force.retain(|protection| match protection {
            Protection::WriteRoot => !writes_all,
            Protection::PrivateWorkspaces => !sees_all,
            _ => true,
        });
        isolation
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::isolation::Layer;

    fn ground(root: &tempfile::TempDir, workspace: &str, write_root: &str, additional: &[(&str, Access)]) -> Ground {
        for folder in ["shop/web", "other"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let workspaces = Workspaces::open(root.path()).unwrap();
        let place = |path: &str| workspaces.folder(path).unwrap().place().clone();
        Ground {
            folder: place(workspace),
            workspace: place(workspace),
            write_root: place(write_root),
            additional: additional.iter().map(|(path, access)| (place(path), *access)).collect(),
        }
    }

    #[test]
    fn what_is_told_of_a_run_is_true_of_its_own_folders() {
        let root = tempfile::tempdir().unwrap();
        let (all, write) = (Protection::PrivateWorkspaces, Protection::WriteRoot);
        let server = RunIsolation {
            layer: Layer::Bubblewrap,
            in_force: vec![Protection::PrivateFiles, all, write],
            reason: None,
        };
        let read_only = Access::ReadOnly;
        for (workspace, write_root, additional, kept) in [
            ("shop", "shop", &[("other", Access::ReadWrite)][..], &[all, write][..]),
            ("shop", "shop/web", &[("", read_only)], &[write]),
            ("shop", "shop/web", &[("", Access::ReadWrite)], &[]),
            ("shop", "", &[], &[]),
            ("", "shop/web", &[], &[write]),
            ("", "", &[], &[]),
        ] {
            let told = ground(&root, workspace, write_root, additional).kept_by(&server).in_force;
            assert_eq!(told[0], Protection::PrivateFiles);
            assert_eq!(&told[1..], kept, "{workspace:?} {write_root:?} {additional:?}");
        }
    }

    #[test]
    fn a_folder_that_was_replaced_before_the_run_s_turn_is_named_and_not_entered() {
        let root = tempfile::tempdir().unwrap();
        let ground = ground(&root, "shop", "shop/web", &[("other", Access::ReadOnly)]);
        let workspaces = Workspaces::open(root.path()).unwrap();
        assert_eq!(ground.open(&workspaces).unwrap().0.place(), &ground.folder);
        fs::rename(root.path().join("other"), root.path().join("moved")).unwrap();
        fs::create_dir(root.path().join("other")).unwrap();
        let words = ground.open(&workspaces).unwrap_err().to_string();
        assert!(words.starts_with("additional_folders[0] is no longer the folder"), "{words}");
    }
}
