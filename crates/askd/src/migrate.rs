//! `askd migrate`: what an update would do to the store, and that alone.

use clap::{Arg, ArgAction, Command};
use serde::Serialize;

use crate::backup::{BackupError, has_data, has_store, locked};
use crate::serve::restored;
use crate::settings::{Settings, add_flags};
use crate::store::Store;
use crate::store::backup::{STORE_FILE, known_schema};

/// What was found, and done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Migration {
    /// Where was looked: a file's path, or `PostgreSQL`.
    pub store: String,
    /// The version of the store's tables; absent: there is no store yet.
    pub found: Option<i64>,
    /// The version that this askd brings them to.
    pub known: i64,
    /// Whether it has.
    pub done: bool,
}

impl Migration {
    /// Whether there is something to do.
    pub fn is_due(&self) -> bool {
        !self.done && self.found.is_some_and(|found| found < self.known)
    }
}

impl std::fmt::Display for Migration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { store, known, .. } = self;
        match self.found {
            None => write!(f, "{store}: there is no store yet; this askd makes one of version {known}"),
            Some(found) if found == *known => write!(f, "{store}: the store has version {found}, which is this askd's"),
            Some(found) if self.done => {
                write!(f, "{store}: the store had version {found}, and has version {known} now")
            }
            Some(found) => write!(
                f,
                "{store}: the store has version {found}, and a start of this askd brings it to {known}; make a backup first: \
                 there is no way back"
            ),
        }
    }
}

/// `askd migrate`.
pub fn command() -> Command {
    let about = "Brings the store to this askd's version while no server works, as its start would";
    let flag = |name, help| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    add_flags(Command::new("migrate").about(about)).args([
        flag(
            "check",
            "Only says what would be done: exit code 0 if nothing, 3 if something, 1 if the store is of a later askd",
        ),
        flag("json", "Prints JSON"),
    ])
}

/// Does it, or only looks.
pub async fn migrate(settings: &Settings, only_look: bool) -> Result<Migration, BackupError> {
    let data = &settings.paths.data_dir;
    let refused = |error: &dyn std::fmt::Display| BackupError::Refused(error.to_string());
    let is_settled = || {
        let unseen = |error| refused(&format!("ASKD_DATA_DIR cannot be looked through: {error}"));
        if restored::is_begun(data).map_err(unseen)? {
            let why = "a restore into ASKD_DATA_DIR has begun and is not finished; start the server or restore again";
            return Err(refused(&why));
        }
        Ok(())
    };
    let store = if settings.store.database_url.is_some() {
        "PostgreSQL".to_owned()
    } else {
        // To the wrong user there would be nothing, and a folder that is not there is perhaps not the server's.
        if !has_data(settings)? {
            let why = format!("there is no folder {}; hint: ASKD_DATA_DIR names that of the server", data.display());
            return Err(refused(&why));
        }
        has_store(settings)?;
        data.join(STORE_FILE).display().to_string()
    };
    is_settled()?;
    let found = Store::version(&settings.store, data).await.map_err(|error| refused(&error))?;
    let migration = Migration { store, found, known: known_schema(), done: false };
    if only_look || !migration.is_due() {
        return Ok(migration);
    }
    // Other servers of a PostgreSQL cannot be seen from here: the page on operations says that they are to be stopped.
    let _lock = locked(data)?;
    is_settled()?;
    let store = Store::open(&settings.store, data).await.map_err(|error| refused(&error))?;
    store.close().await;
    Ok(Migration { done: true, ..migration })
}
