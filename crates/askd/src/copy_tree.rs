//! Copies of folder trees, bounded in bytes and entries.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// What a copy may cost, and what it may follow.
#[derive(Debug, Clone, Copy)]
pub struct CopyRules {
    /// Bytes of all files together.
    pub max_bytes: u64,
    /// Files and folders together.
    pub max_entries: usize,
    /// Whether symbolic links are followed (the operator's own folders) or skipped (what an agent could write).
    pub follow_links: bool,
    /// Names that begin so are left out of folders; empty: none.
    pub left_out: &'static str,
}

/// Deeper trees are refused, so that a loop of links ends.
const MAX_DEPTH: usize = 16;

/// One copy, or several that share the bounds.
#[derive(Debug)]
pub struct Copier {
    rules: CopyRules,
}

impl Copier {
    /// A copier with its full allowance.
    pub fn new(rules: CopyRules) -> Self {
        Self { rules }
    }

    /// Copies a file or a whole folder; something absent is no error. Files keep their executable bit and are the
    /// owner's alone.
    pub fn copy(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.copy_at(from, Some(to), 0).map_err(|error| named(from, &error))
    }

    /// Whether such a copy could be made: everything is opened and counted as it would be, and nothing made.
    pub fn rehearse(&mut self, from: &Path) -> io::Result<()> {
        self.copy_at(from, None, 0).map_err(|error| named(from, &error))
    }

    fn copy_at(&mut self, from: &Path, to: Option<&Path>, depth: usize) -> io::Result<()> {
        let source = match self.open(from) {
            Ok(source) => source,
            // Nothing there, or a link to nothing, as an editor's lock file is; a link when links are not followed; a
            // socket.
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        // Asked of what was opened, which nobody can exchange any more.
        let metadata = source.metadata()?;
        if metadata.is_dir() {
            self.count(0)?;
            self.copy_folder(from, to, depth)
        } else if metadata.is_file() {
            self.count(metadata.len())?;
            to.map_or(Ok(()), |to| copy_file(source, to, &metadata))
        } else {
            // Pipes and devices: nothing that belongs here.
            Ok(())
        }
    }

    fn open(&self, path: &Path) -> Result<File, Errno> {
        let follow = if self.rules.follow_links { OFlags::empty() } else { OFlags::NOFOLLOW };
        // Non-blocking, or a pipe would wait for its writer.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | follow;
        Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
    }

    fn copy_folder(&mut self, from: &Path, to: Option<&Path>, depth: usize) -> io::Result<()> {
        if depth == MAX_DEPTH {
            return Err(io::Error::other(format!("deeper than {MAX_DEPTH} folders")));
        }
        if let Some(to) = to {
            DirBuilder::new().recursive(true).mode(0o700).create(to)?;
        }
        for entry in fs::read_dir(from)? {
            let name = entry?.file_name();
            if !self.rules.left_out.is_empty() && name.as_encoded_bytes().starts_with(self.rules.left_out.as_bytes()) {
                continue;
            }
            self.copy_at(&from.join(&name), to.map(|to| to.join(&name)).as_deref(), depth + 1)
                .map_err(|error| named(&from.join(&name), &error))?;
        }
        Ok(())
    }

    fn count(&mut self, bytes: u64) -> io::Result<()> {
        self.rules.max_bytes = self.rules.max_bytes.checked_sub(bytes).ok_or_else(too_large)?;
        self.rules.max_entries = self
            .rules
            .max_entries
            .checked_sub(1)
            .ok_or_else(|| io::Error::other("too many files and folders to copy"))?;
        Ok(())
    }
}

fn copy_file(source: File, to: &Path, metadata: &Metadata) -> io::Result<()> {
    let mode = 0o600 | (metadata.permissions().mode() & 0o100);
    let mut target = OpenOptions::new().write(true).create_new(true).mode(mode).open(to)?;
    // Its size was counted: a file that grows meanwhile must not outgrow the bound.
    let copied = io::copy(&mut source.take(metadata.len() + 1), &mut target)?;
    if copied > metadata.len() {
        return Err(io::Error::other("it grew while it was copied"));
    }
    Ok(())
}

fn too_large() -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, "too many bytes to copy")
}

/// Names the path once, at the deepest place that knows it.
fn named(path: &Path, error: &io::Error) -> io::Error {
    let text = error.to_string();
    if text.starts_with('`') {
        return io::Error::new(error.kind(), text);
    }
    io::Error::new(error.kind(), format!("`{}`: {text}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const RULES: CopyRules = CopyRules { max_bytes: 1000, max_entries: 10, follow_links: false, left_out: "" };

    fn tree() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("from/sub")).unwrap();
        fs::write(folder.path().join("from/sub/file"), "content").unwrap();
        fs::set_permissions(folder.path().join("from/sub/file"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink("/etc/hostname", folder.path().join("from/link")).unwrap();
        folder
    }

    fn copy(folder: &tempfile::TempDir, rules: CopyRules) -> io::Result<()> {
        Copier::new(rules).copy(&folder.path().join("from"), &folder.path().join("to"))
    }

    #[test]
    fn files_arrive_private_and_executable_ones_stay_executable() {
        let folder = tree();
        copy(&folder, RULES).unwrap();
        let file = folder.path().join("to/sub/file");
        assert_eq!(fs::read_to_string(&file).unwrap(), "content");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(!folder.path().join("to/link").exists(), "links are skipped");
    }

    #[test]
    fn links_are_followed_where_the_operator_owns_them() {
        let folder = tree();
        copy(&folder, CopyRules { follow_links: true, ..RULES }).unwrap();
        assert!(folder.path().join("to/link").is_file());
    }

    #[test]
    fn names_that_are_left_out_are_left_out() {
        let folder = tree();
        fs::write(folder.path().join("from/sub/.part-1"), "half").unwrap();
        copy(&folder, CopyRules { left_out: ".part-", ..RULES }).unwrap();
        assert!(folder.path().join("to/sub/file").is_file() && !folder.path().join("to/sub/.part-1").exists());
    }

    #[test]
    fn bounds_end_in_an_error_that_names_the_path() {
        let folder = tree();
        let error = copy(&folder, CopyRules { max_bytes: 3, ..RULES }).unwrap_err().to_string();
        assert!(error.contains("from/sub/file") && error.contains("too many bytes"), "{error}");
        let folder = tree();
        assert!(copy(&folder, CopyRules { max_entries: 1, ..RULES }).is_err());
        let folder = tree();
        symlink(".", folder.path().join("from/again")).unwrap();
        assert!(copy(&folder, CopyRules { follow_links: true, max_entries: 10_000, ..RULES }).is_err());
    }

    #[test]
    fn a_rehearsal_ends_as_the_copy_does_and_makes_nothing() {
        let folder = tree();
        symlink(".", folder.path().join("from/again")).unwrap();
        for rules in [
            RULES,
            CopyRules { max_bytes: 3, ..RULES },
            CopyRules { max_entries: 1, ..RULES },
            CopyRules { follow_links: true, max_entries: 10_000, ..RULES },
        ] {
            let told = Copier::new(rules).rehearse(&folder.path().join("from")).map_err(|error| error.to_string());
            assert!(!folder.path().join("to").exists());
            assert_eq!(told, copy(&folder, rules).map_err(|error| error.to_string()), "{rules:?}");
            if folder.path().join("to").exists() {
                fs::remove_dir_all(folder.path().join("to")).unwrap();
            }
        }
    }

    #[test]
    fn the_whole_allowance_may_be_one_file() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("from"), vec![0; 1000]).unwrap();
        copy(&folder, RULES).unwrap();
        assert_eq!(fs::metadata(folder.path().join("to")).unwrap().len(), 1000);
    }

    #[test]
    fn a_pipe_is_skipped_and_not_waited_for() {
        let folder = tree();
        let pipe = folder.path().join("from/pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
        copy(&folder, RULES).unwrap();
        assert!(!folder.path().join("to/pipe").exists());
    }

    #[test]
    fn nothing_is_copied_from_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        copy(&folder, RULES).unwrap();
        assert!(!folder.path().join("to").exists());
    }
}
