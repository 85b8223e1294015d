//! How the processes of this server are recognised: a variable in their environment whose value begins with an id that
//! only this data folder has.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use supervisor::identity::Marker;
use uuid::Uuid;

use crate::small_file;

/// The variable's name.
pub const MARKER_VARIABLE: &str = "ASKD_RUN_MARKER";

/// An id and a place are much shorter.
const MAX_FILE: u64 = 4096;

/// What all markers of one data folder begin with.
#[derive(Debug, Clone)]
pub struct MarkerPrefix(String);

impl MarkerPrefix {
    /// Reads the data folder's id, or gives it one.
    ///
    /// The id holds for the folder in which it was made. A copy of a folder (a backup, an image) gets an id of its own:
    /// a server there would take the runs of the first one for its own leftovers, and kill them. The copied records,
    /// which name processes of that other server too, go for the same reason.
    pub fn of_data_dir(data_dir: &Path, fresh: Uuid) -> io::Result<Self> {
        let file = data_dir.join("instance-id");
        let folder = fs::metadata(data_dir)?;
        let place = format!("{}:{}", folder.dev(), folder.ino());
        match small_file::read_text(&file, MAX_FILE) {
            Ok(text) => match id_made_at(&place, &text) {
                Some(id) => return Ok(Self::of_id(id)),
                None => forget_records(data_dir)?,
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        // Complete or not at all: after a crash in between, processes of the new id do not exist yet.
        let new = file.with_extension("new");
        fs::write(&new, format!("{fresh}\n{place}\n"))?;
        fs::rename(&new, &file)?;
        Ok(Self::of_id(fresh))
    }

    fn of_id(id: Uuid) -> Self {
        Self(format!("{id}/"))
    }

    /// The data folder's id: under it the server holds runs in the store.
    pub fn instance(&self) -> &str {
        self.0.trim_end_matches('/')
    }

    /// The prefix itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The marker of one run or program.
    pub fn of(&self, run: &str) -> Marker {
        Marker { name: MARKER_VARIABLE, value: format!("{}{run}", self.0) }
    }
}

fn id_made_at(place: &str, text: &str) -> Option<Uuid> {
    let (id, made_at) = text.trim_end().split_once('\n')?;
    if made_at == place { id.parse().ok() } else { None }
}

fn forget_records(data_dir: &Path) -> io::Result<()> {
    tracing::warn!("ASKD_DATA_DIR was copied or moved from elsewhere: it gets a new id, and its records go");
    match fs::remove_dir_all(data_dir.join("records")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(data: &Path, fresh: u128) -> String {
        MarkerPrefix::of_data_dir(data, Uuid::from_u128(fresh)).unwrap().as_str().to_owned()
    }

    #[test]
    fn a_data_folder_keeps_its_id() {
        let data = tempfile::tempdir().unwrap();
        let first = MarkerPrefix::of_data_dir(data.path(), Uuid::from_u128(1)).unwrap();
        assert_eq!(first.as_str(), prefix(data.path(), 2));
        assert!(first.of("run_x").value.starts_with(first.as_str()));
    }

    #[test]
    fn a_renamed_folder_is_the_same_one() {
        let root = tempfile::tempdir().unwrap();
        let (before, after) = (root.path().join("before"), root.path().join("after"));
        fs::create_dir(&before).unwrap();
        let first = prefix(&before, 1);
        fs::rename(&before, &after).unwrap();
        assert_eq!(first, prefix(&after, 2));
    }

    #[test]
    fn a_copy_gets_an_id_of_its_own_and_forgets_the_processes_of_the_other() {
        let (data, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = prefix(data.path(), 1);
        fs::copy(data.path().join("instance-id"), copy.path().join("instance-id")).unwrap();
        fs::create_dir(copy.path().join("records")).unwrap();
        fs::write(copy.path().join("records/run_x"), "a process of the other server").unwrap();
        let second = prefix(copy.path(), 2);
        assert_ne!(first, second);
        assert!(!copy.path().join("records").exists());
        assert_eq!(second, prefix(copy.path(), 3), "and keeps it");
        assert_eq!(first, prefix(data.path(), 4));
    }
}
