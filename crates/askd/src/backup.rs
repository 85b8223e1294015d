//! `askd backup` and `askd restore`: what a server with the embedded store cannot lose, in one file.
//!
//! A backup is made beside a server at work. It holds the store as it was at one moment, and the transcripts of sessions.
//! The store is copied first and the transcripts after it, so that every run that has ended in the one has its transcript
//! among the others. It holds no key in the clear, and not `ASKD_SECRET_KEY`, without which what is sealed in the store
//! stays sealed.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command};
use rustix::fs::Access;

use crate::privileges::{self, PrivilegesError};
use crate::serve::lock::{self, Attempt, DataLock};
use crate::settings::{Settings, SettingsErrors, Sources, add_flags};
use crate::store::backup::{CopyError, STORE_FILE};

mod archive;
mod manifest;
mod place;
mod restore;
mod take;

pub use restore::{Restored, restore};
pub use take::{Taken, backup};

/// What was asked for, and why it did not work, for the person at the terminal.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The settings cannot be read.
    #[error(transparent)]
    Settings(#[from] SettingsErrors),
    /// Not as the user that this is.
    #[error(transparent)]
    Privileges(#[from] PrivilegesError),
    /// It cannot be done so; nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] CopyError),
    /// A file or a folder; nothing was changed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// The system's error.
        source: io::Error,
    },
    /// A restore from when all of it is there: what is left to be done is done later.
    #[error("{0}; nothing is lost: remove the cause, then start the server or restore again, which goes on from there")]
    Begun(io::Error),
}

impl BackupError {
    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// What `askd backup` is to do.
#[derive(Debug, Clone)]
pub struct BackupOptions {
    /// Where the archive goes; `None`: standard output.
    pub to: Option<PathBuf>,
    /// Without the store, which is elsewhere.
    pub sessions_only: bool,
}

/// What `askd restore` is to do.
#[derive(Debug, Clone)]
pub struct RestoreOptions {
    /// The archive; `None`: standard input.
    pub from: Option<PathBuf>,
    /// Whether what is there is put aside.
    pub replace: bool,
}

/// `askd backup`.
pub fn backup_command() -> Command {
    let about = "Writes the embedded store and the transcripts into one archive, beside a server at work";
    add_flags(Command::new("backup").about(about)).args([
        Arg::new("to").long("to").value_name("FILE").required(true).help("The archive to make; - is standard output"),
        flag("sessions-only", "Leaves the store out: for servers with PostgreSQL, whose own tools back it up"),
        flag("json", "Prints what was done as JSON (with --to - on standard error)"),
    ])
}

/// `askd restore`.
pub fn restore_command() -> Command {
    let about = "Puts the archive of a backup into ASKD_DATA_DIR, while no server works there";
    add_flags(Command::new("restore").about(about)).args([
        Arg::new("from").long("from").value_name("FILE").required(true).help("The archive; - is standard input"),
        flag("replace", "Puts what is in ASKD_DATA_DIR into a folder before-restore-TIME in it"),
        flag("json", "Prints what was done as JSON"),
    ])
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

impl BackupOptions {
    /// As the command line says.
    pub fn of(matches: &ArgMatches) -> Self {
        let to = matches.get_one::<String>("to").filter(|to| *to != "-").map(PathBuf::from);
        Self { to, sessions_only: matches.get_flag("sessions-only") }
    }
}

impl RestoreOptions {
    /// As the command line says.
    pub fn of(matches: &ArgMatches) -> Self {
        let from = matches.get_one::<String>("from").filter(|from| *from != "-").map(PathBuf::from);
        Self { from, replace: matches.get_flag("replace") }
    }

    /// Opens the archive. To be done first: whom this process [becomes](as_owner) need not be able to read it.
    pub fn open(&self) -> Result<OpenArchive, BackupError> {
        let Some(from) = &self.from else {
            return Ok(OpenArchive { name: "standard input".to_owned(), bytes: Box::new(io::stdin()) });
        };
        let name = format!("`{}`", from.display());
        let file = File::open(from).map_err(BackupError::io(format!("cannot read {name}")))?;
        Ok(OpenArchive { name, bytes: Box::new(file) })
    }
}

/// An archive that is to be restored.
pub struct OpenArchive {
    /// In words.
    name: String,
    bytes: Box<dyn Read + Send>,
}

/// The lock of a data folder, which nobody else has as long as it is kept. Blocking, for a second at most.
pub fn locked(data: &Path) -> Result<DataLock, BackupError> {
    let taken = lock::take(data).map_err(BackupError::io(format!("cannot take the lock of `{}`", data.display())))?;
    match taken {
        Attempt::Taken(lock) => Ok(lock),
        Attempt::Held(holder) => Err(BackupError::Refused(format!(
            "another askd (process {holder}) works in ASKD_DATA_DIR `{}`; stop it first, or wait for its end",
            data.display()
        ))),
    }
}

/// Makes the process be to whom the data folder belongs, before it touches anything in it and while it has one thread.
pub fn as_owner(settings: &Settings, is_to_be_made: bool) -> Result<(), BackupError> {
    Ok(privileges::become_owner(settings, is_to_be_made)?)
}

/// Whether something of the server's is there, for this process to work with. Only what the system says is not there is absent:
/// to the wrong user all of it looks so, and an empty backup would pass for a good one.
pub fn is_there(path: &Path, needed: Access) -> Result<bool, BackupError> {
    match privileges::access(path, needed) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(BackupError::Refused(format!(
            "`{}` cannot be used: {error}; {}: run this as the server's user, or as root",
            path.display(),
            privileges::whose(path)
        ))),
    }
}

/// [`is_there`] of a server's data folder.
pub fn has_data(settings: &Settings) -> Result<bool, BackupError> {
    is_there(&settings.paths.data_dir, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)
}

/// [`is_there`] of the embedded store.
pub fn has_store(settings: &Settings) -> Result<bool, BackupError> {
    is_there(&settings.paths.data_dir.join(STORE_FILE), Access::READ_OK | Access::WRITE_OK)
}

/// The settings of the server.
pub fn settings(sources: Sources) -> Result<Settings, BackupError> {
    Ok(Settings::load(&sources.without_api_key())?.settings)
}
