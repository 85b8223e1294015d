//! A run's record on disk: what a later server needs in order to recognise the processes of a dead one.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::identity::{Identity, ProcessId};
use crate::procfs;

const SUFFIX: &str = ".run";

/// The extension of a record that is being written.
const UNFINISHED: &str = "new";

/// The record of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRecord {
    /// The run's id, which is the file's name.
    pub id: String,
    /// The boot during which it was written: pids and start times mean nothing in another one.
    pub boot: String,
    /// The run's processes.
    pub identity: Identity,
}

impl RunRecord {
    /// A record for a run of this boot.
    pub fn new(id: impl Into<String>, identity: Identity) -> io::Result<Self> {
        Ok(Self { id: id.into(), boot: procfs::boot_id()?, identity })
    }

    /// Writes the record: complete or not at all. `id` must be a plain file name.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        let path = path(directory, &self.id)?;
        let temporary = path.with_extension(UNFINISHED);
        let write = || {
            let mut file = File::create(&temporary)?;
            file.write_all(self.to_text().as_bytes())?;
            fs::rename(&temporary, &path)
        };
        write().map_err(|error| annotate(&error, "cannot write the run record", &path))
    }

    /// Removes the record of a run; that there is none is fine.
    pub fn remove(directory: &Path, id: &str) -> io::Result<()> {
        let path = path(directory, id)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(annotate(&error, "cannot remove the run record", &path))
            }
            _ => Ok(()),
        }
    }

    /// All records of a directory. Files that are no records are left out, and a missing directory has none.
    pub fn list(directory: &Path) -> io::Result<Vec<Self>> {
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(annotate(&error, "cannot list the run records", directory)),
        };
        let mut records = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            if let Some(id) = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)) {
                // It may just have been removed.
                let text = fs::read_to_string(directory.join(&name)).unwrap_or_default();
                records.extend(Self::parse(id, &text));
            }
        }
        Ok(records)
    }

    /// Removes what a server left that died while it wrote a record. Nobody may be writing one.
    pub(crate) fn remove_unfinished(directory: &Path) -> io::Result<()> {
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(annotate(&error, "cannot list the run records", directory)),
        };
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == UNFINISHED) {
                fs::remove_file(&path).map_err(|error| annotate(&error, "cannot remove the run record", &path))?;
            }
        }
        Ok(())
    }

    /// Whether it is of this boot.
    pub(crate) fn is_current(&self) -> bool {
        procfs::boot_id().is_ok_and(|boot| boot == self.boot)
    }

    fn to_text(&self) -> String {
        let Identity { guardian, child, marker } = &self.identity;
        let boot = &self.boot;
        format!(
            "boot {boot}\nguardian {} {}\nchild {} {}\nmarker {marker}\n",
            guardian.pid, guardian.start, child.pid, child.start
        )
    }

    fn parse(id: &str, text: &str) -> Option<Self> {
        // Unknown lines are skipped, so that a newer server's records can still be swept by an older one.
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let process = |name: &str| {
            let (pid, start) = value(name)?.split_once(' ')?;
            Some(ProcessId { pid: pid.parse().ok()?, start: start.parse().ok()? })
        };
        let identity =
            Identity { guardian: process("guardian")?, child: process("child")?, marker: value("marker")?.to_owned() };
        Some(Self { id: id.to_owned(), boot: value("boot")?.to_owned(), identity })
    }
}

fn path(directory: &Path, id: &str) -> io::Result<PathBuf> {
    let plain = !id.is_empty() && !id.starts_with('.') && !id.contains(['/', '\0']);
    if plain {
        Ok(directory.join(format!("{id}{SUFFIX}")))
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, format!("`{id}` cannot be the id of a run record")))
    }
}

fn annotate(error: &io::Error, act: &str, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("{act} `{}`: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            guardian: ProcessId { pid: 7, start: 70 },
            child: ProcessId { pid: 8, start: 80 },
            marker: "a b=c".to_owned(),
        }
    }

    #[test]
    fn a_record_is_written_listed_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let record = RunRecord::new("run-1", identity()).unwrap();
        record.write(directory.path()).unwrap();
        fs::write(directory.path().join("other"), "x").unwrap();
        fs::write(directory.path().join("torn.run"), "boot 1\nguardian 7").unwrap();
        assert_eq!(RunRecord::list(directory.path()).unwrap(), std::slice::from_ref(&record));
        assert!(record.is_current());
        RunRecord::remove(directory.path(), "run-1").unwrap();
        RunRecord::remove(directory.path(), "run-1").unwrap();
        assert_eq!(RunRecord::list(directory.path()).unwrap(), []);
        assert_eq!(RunRecord::list(&directory.path().join("none")).unwrap(), []);
    }

    #[test]
    fn a_record_whose_writer_died_is_removed_and_no_other() {
        let directory = tempfile::tempdir().unwrap();
        RunRecord::new("run-1", identity()).unwrap().write(directory.path()).unwrap();
        fs::write(directory.path().join("run-2.new"), "boot 1\nguard").unwrap();
        RunRecord::remove_unfinished(directory.path()).unwrap();
        let left: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["run-1.run"]);
        RunRecord::remove_unfinished(&directory.path().join("none")).unwrap();
    }

    #[test]
    fn an_id_cannot_leave_the_directory() {
        for id in ["", "..", "../x", "a/b"] {
            let record = RunRecord { id: id.to_owned(), boot: String::new(), identity: identity() };
            assert!(record.write(Path::new("/nonexistent")).is_err());
            assert!(RunRecord::remove(Path::new("/nonexistent"), id).is_err());
        }
    }
}
