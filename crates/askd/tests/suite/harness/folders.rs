//! The three folders of a server, in a temporary one.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, lchown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Removed when dropped.
pub(crate) struct Folders {
    root: tempfile::TempDir,
}

impl Folders {
    pub(crate) fn new() -> Self {
        Self::below(&std::env::temp_dir())
    }

    /// In another place than where temporary files are.
    pub(crate) fn below(place: &Path) -> Self {
        let root = tempfile::Builder::new().prefix("askd-test-").tempdir_in(place).unwrap();
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

    /// Gives the three folders and all in them to another user, who can come as far as here.
    pub(crate) fn give_to(&self, id: u32) {
        fs::set_permissions(self.root(), fs::Permissions::from_mode(0o755)).unwrap();
        for folder in [self.config(), self.workspace(), self.data()] {
            give(&folder, id);
        }
    }

    /// Names below a folder of the root; empty when it is absent.
    pub(crate) fn list(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.root().join(path)).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

/// Puts a program of the build at another place, by a link if that can be.
///
/// Neither here nor in [`script`] is a program written by this process: whatever another test starts at this moment has all
/// of its files open until it is the program that it is to be, and nobody can execute what is open for writing.
pub(crate) fn place_program(program: &Path, there: &Path) {
    if fs::hard_link(program, there).is_err() {
        #[expect(clippy::disallowed_methods, reason = "not this process")]
        let copied = Command::new("cp").arg(program).arg(there).status();
        assert!(copied.unwrap().success(), "{} cannot be copied to {}", program.display(), there.display());
    }
}

/// Makes a script that can be executed.
pub(crate) fn script(path: &Path, text: &str) {
    #[expect(clippy::disallowed_methods, reason = "not this process")]
    let mut writer = Command::new("sh");
    writer.args(["-c", r#"cat > "$0" && chmod 755 "$0""#]).arg(path).stdin(Stdio::piped());
    let mut writer = writer.spawn().unwrap();
    writer.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(writer.wait().unwrap().success(), "{} cannot be written", path.display());
}

/// Gives a file, or a folder and all in it, to another user. Links are not followed.
pub(crate) fn give(path: &Path, id: u32) {
    lchown(path, Some(id), Some(id)).unwrap();
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path(), id);
        }
    }
}
