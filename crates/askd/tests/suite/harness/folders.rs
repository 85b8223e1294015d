//! The three folders of a server, in a temporary one.

use std::fs;
use std::path::{Path, PathBuf};

/// Removed when dropped.
pub(crate) struct Folders {
    root: tempfile::TempDir,
}

impl Folders {
    pub(crate) fn new() -> Self {
        let root = tempfile::Builder::new().prefix("askd-test-").tempdir().unwrap();
        for folder in ["config", "workspace", "data"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        Self { root }
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn workspace(&self) -> PathBuf {
        self.root().join("workspace")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.root().join("config")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.root().join("data")
    }

    /// Writes a file below the root, with its folders.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Names below a folder of the root; empty when it is absent.
    pub(crate) fn list(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.root().join(path)).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}
