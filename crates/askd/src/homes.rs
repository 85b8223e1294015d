//! The private home of a run: made before its process starts, removed when the process tree is gone.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use claude::environment::{CONFIG_FOLDER, TEMP_FOLDER};
use uuid::Uuid;

use crate::sessions::Sessions;

/// Where homes lie.
#[derive(Debug, Clone)]
pub struct Homes {
    folder: PathBuf,
}

/// One home.
#[derive(Debug)]
pub struct Home {
    path: PathBuf,
    name: String,
}

/// Names are short, because the deny rules against other homes name every prefix of the own one
/// ([`claude::run_settings::RunSettings::deny_siblings`]); random, because only live homes must not collide.
const NAME_LENGTH: usize = 8;

impl Homes {
    /// Creates the folder if need be.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let folder = data_dir.join("homes");
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Self { folder })
    }

    /// The folder of all homes.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes an empty home with the folders that the CLI expects.
    pub fn create(&self, random: impl Fn() -> Uuid) -> io::Result<Home> {
        let home = loop {
            let name = random().simple().to_string()[..NAME_LENGTH].to_owned();
            let path = self.folder.join(&name);
            match DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                created => break created.map(|()| Home { path, name })?,
            }
        };
        for folder in [CONFIG_FOLDER, TEMP_FOLDER] {
            DirBuilder::new().mode(0o700).create(home.path.join(folder))?;
        }
        Ok(home)
    }

    /// Clears away the homes of a dead server, after their sessions were moved back. To be called when none of its
    /// processes is left.
    pub fn recover(&self, sessions: &Sessions) -> io::Result<usize> {
        let mut count = 0;
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            sessions.recover(&path)?;
            remove(&path)?;
            count += 1;
        }
        Ok(count)
    }
}

impl Home {
    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its name in the folder of homes.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Removes it with everything in it.
    pub fn remove(&self) -> io::Result<()> {
        remove(&self.path)
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        // An agent may have taken permissions away, as package managers do in their caches.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(path)?;
            fs::remove_dir_all(path)
        }
        result => result,
    }
}

/// Gives the owner back the right to enter and to change every folder. Links are not followed.
fn open_up(folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_is_private_and_goes_with_everything_in_it() {
        let data = tempfile::tempdir().unwrap();
        let home = Homes::open(data.path()).unwrap().create(Uuid::new_v4).unwrap();
        assert_eq!(fs::metadata(home.path()).unwrap().permissions().mode() & 0o777, 0o700);
        let locked = home.path().join("a/b");
        fs::create_dir_all(&locked).unwrap();
        fs::write(locked.join("file"), "").unwrap();
        fs::set_permissions(&locked, Permissions::from_mode(0o000)).unwrap();
        let path = home.path().to_owned();
        home.remove().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn two_homes_never_share_a_folder() {
        let data = tempfile::tempdir().unwrap();
        let homes = Homes::open(data.path()).unwrap();
        let ids =
            std::cell::RefCell::new(vec![Uuid::from_u128(2 << 96), Uuid::from_u128(1 << 96), Uuid::from_u128(1 << 96)]);
        let next = || ids.borrow_mut().pop().unwrap();
        let (first, second) = (homes.create(next).unwrap(), homes.create(next).unwrap());
        assert_ne!(first.path(), second.path());
    }

    #[test]
    fn homes_of_a_dead_server_are_cleared_away() {
        let data = tempfile::tempdir().unwrap();
        let homes = Homes::open(data.path()).unwrap();
        homes.create(Uuid::new_v4).unwrap();
        let sessions = Sessions::open(data.path(), data.path(), 1).unwrap();
        assert_eq!(homes.recover(&sessions).unwrap(), 1);
        assert_eq!(fs::read_dir(homes.folder()).unwrap().count(), 0);
    }
}
