//! How the processes of this server are recognised: a variable in their environment whose value begins with an id that
//! only this data folder has.

use std::fs;
use std::io;
use std::path::Path;

use supervisor::identity::Marker;
use uuid::Uuid;

/// The variable's name.
pub const MARKER_VARIABLE: &str = "ASKD_RUN_MARKER";

/// What all markers of one data folder begin with.
#[derive(Debug, Clone)]
pub struct MarkerPrefix(String);

impl MarkerPrefix {
    /// Reads the data folder's id, or gives it one.
    pub fn of_data_dir(data_dir: &Path, fresh: Uuid) -> io::Result<Self> {
        let file = data_dir.join("instance-id");
        let id: Option<Uuid> = match fs::read_to_string(&file) {
            Ok(text) => text.trim().parse().ok(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let id = if let Some(id) = id {
            id
        } else {
            // Complete or not at all: after a crash in between, processes of the new id do not exist yet.
            let new = file.with_extension("new");
            fs::write(&new, fresh.to_string())?;
            fs::rename(&new, &file)?;
            fresh
        };
        Ok(Self(format!("{id}/")))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_folder_keeps_its_id() {
        let data = tempfile::tempdir().unwrap();
        let first = MarkerPrefix::of_data_dir(data.path(), Uuid::from_u128(1)).unwrap();
        let again = MarkerPrefix::of_data_dir(data.path(), Uuid::from_u128(2)).unwrap();
        assert_eq!(first.as_str(), again.as_str());
        assert!(first.of("run_x").value.starts_with(first.as_str()));
    }
}
