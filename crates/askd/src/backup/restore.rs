//! A restore: the whole archive is read and checked before anything of it counts.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::{Access, AtFlags, CWD, StatxAttributes, StatxFlags, statx};
use serde::Serialize;

use super::archive::{self, ArchiveError, Target};
use super::manifest::{Header, SESSIONS};
use super::place::{SPARE, free, must_have_room};
use super::{BackupError, OpenArchive, RestoreOptions, locked};
use crate::disk::scratch::{ScratchFolder, make_folder, sync_folder};
use crate::privileges::access;
use crate::serve::lock::DataLock;
use crate::serve::restored::{self, ASIDE, NOTE, Note, Plan, STAGING};
use crate::settings::Settings;
use crate::store::backup::{STORE_FILE, check, known_schema};

/// The file of the lock.
const LOCK: &str = "lock";

/// What stays where it is: the lock is held, and by its id what an earlier server has left running is recognised.
const STAYS: [&str; 3] = [LOCK, "instance-id", "cli.json"];

/// What else a server keeps in the folder. Names of others stay: they are not in the way, and may be a mount or root's.
const MOVES: [&str; 9] =
    [STORE_FILE, "askd.db-wal", "askd.db-shm", "askd.db-journal", SESSIONS, "homes", "owners", "records", NOTE];

/// What a new file system has in it: no reason to think that somebody works there.
const LOST_AND_FOUND: &str = "lost+found";

/// Restores within one second.
const MAX_IN_A_SECOND: u32 = 1_000;

/// What was done.
#[derive(Debug, Clone, Serialize)]
pub struct Restored {
    /// Where it is now.
    pub data_dir: PathBuf,
    /// The moment whose state it has.
    pub created_at: String,
    /// The version of the store's tables; absent without a store.
    pub schema: Option<i64>,
    /// Files that were unpacked.
    pub files: usize,
    /// What they have together, in bytes.
    pub content_bytes: u64,
    /// Where that is which was there before; absent if nothing was.
    pub before: Option<PathBuf>,
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (data, created_at) = (self.data_dir.display(), &self.created_at);
        write!(f, "`{data}` is as it was at {created_at} ({} files)", self.files)?;
        if let Some(before) = &self.before {
            write!(f, "\nwhat was there before is in `{}`", before.display())?;
        }
        if self.schema.is_some() {
            f.write_str(
                "\nthe next start settles runs that had not ended then as lost; keys that were revoked since count again, and \
                 what was spent since is not known",
            )?;
        }
        Ok(())
    }
}

/// Puts the archive of a backup into the data folder.
pub async fn restore(
    settings: &Settings,
    options: &RestoreOptions,
    archive: OpenArchive,
    now: Timestamp,
) -> Result<Restored, BackupError> {
    let OpenArchive { name: from, bytes } = archive;
    let place = Place::open(settings)?;
    let data = place.data.clone();
    let failed = || BackupError::io(format!("cannot use ASKD_DATA_DIR `{}`", data.display()));
    if restored::finish(&data).map_err(BackupError::Begun)? {
        return Err(BackupError::Refused(format!(
            "an earlier restore into `{}` was cut off in the middle, and has been finished now; look at it, then say whether \
             this one is still wanted",
            data.display()
        )));
    }
    let staging = ScratchFolder::create(&data.join(STAGING)).map_err(failed())?;
    let Some(staging) = staging else {
        return Err(BackupError::Refused(format!("another askd restore works in `{}`", data.display())));
    };
    let unpacking = Unpacking {
        data: data.clone(),
        staging,
        replace: options.replace,
        is_elsewhere: settings.store.database_url.is_some(),
        free: free(&data).map_err(failed())?,
        old: Vec::new(),
        files: 0,
        bytes: 0,
    };
    let read = tokio::task::spawn_blocking(move || {
        let mut unpacking = unpacking;
        archive::read(io::BufReader::with_capacity(1 << 18, bytes), &mut unpacking).map(|header| (header, unpacking))
    });
    let read = read.await.map_err(|error| BackupError::Refused(error.to_string()))?;
    let (header, unpacking) =
        read.map_err(|error| BackupError::Refused(format!("{from} {error}; nothing was changed")))?;
    if let Some(schema) = header.schema {
        let found = check(&unpacking.staging.path().join(STORE_FILE)).await?;
        if found != schema {
            let why = format!("the store in {from} has tables of version {found}, and its header says {schema}");
            return Err(BackupError::Refused(format!("{why}; nothing was changed")));
        }
    }
    place.settle(unpacking, header, now)
}

/// The data folder, locked.
struct Place {
    data: PathBuf,
    _lock: DataLock,
    /// Whether the folder, and the file of the lock, were made by us: they go again if nothing comes of it.
    is_ours: bool,
    has_our_lock: bool,
    is_done: std::cell::Cell<bool>,
}

impl Place {
    fn open(settings: &Settings) -> Result<Self, BackupError> {
        let data = settings.paths.data_dir.clone();
        let is_ours = !data.exists();
        let failed = || BackupError::io(format!("cannot use ASKD_DATA_DIR `{}`", data.display()));
        make_folder(&data).map_err(failed())?;
        let has_our_lock = fs::symlink_metadata(data.join(LOCK)).is_err();
        let lock = locked(&data).inspect_err(|_| {
            // As at the end of one that was refused: only an empty one goes.
            if is_ours {
                drop(fs::remove_dir(&data));
            }
        })?;
        Ok(Self { data, _lock: lock, is_ours, has_our_lock, is_done: false.into() })
    }

    /// The last steps. Up to `commit` nothing has happened, after it everything has.
    fn settle(&self, unpacking: Unpacking, header: Header, now: Timestamp) -> Result<Restored, BackupError> {
        let failed = || BackupError::io(format!("cannot use ASKD_DATA_DIR `{}`", self.data.display()));
        let (has_old, files, bytes) = (!unpacking.old.is_empty(), unpacking.files, unpacking.bytes);
        let aside = if has_old { self.new_aside(now).map_err(failed())? } else { ASIDE.to_owned() };
        let before = self.data.join(&aside);
        if let Err(error) = self.commit(unpacking, &header, aside) {
            // Only an empty one goes.
            drop(fs::remove_dir(before));
            return Err(failed()(error));
        }
        self.is_done.set(true);
        restored::finish(&self.data).map_err(BackupError::Begun)?;
        Ok(Restored {
            data_dir: self.data.clone(),
            created_at: header.created_at,
            schema: header.schema,
            files,
            content_bytes: bytes,
            before: has_old.then_some(before),
        })
    }

    fn commit(&self, unpacking: Unpacking, header: &Header, aside: String) -> io::Result<()> {
        let Unpacking { staging, old, .. } = unpacking;
        let mut new = vec![SESSIONS.to_owned()];
        make_folder(&staging.path().join(SESSIONS))?;
        if header.schema.is_some() {
            let note = Note { created_at: header.created_at.clone() };
            fs::write(staging.path().join(NOTE), serde_json::to_vec(&note)?)?;
            // The store last: a server that finds it finds the note as well.
            new.extend([NOTE.to_owned(), STORE_FILE.to_owned()]);
        }
        sync_folder(&self.data)?;
        restored::commit(&self.data, &Plan { aside, old, new })?;
        staging.keep();
        Ok(())
    }

    /// Makes the folder for what is there. It must be new: what lies in it later has been moved by this restore.
    fn new_aside(&self, now: Timestamp) -> io::Result<String> {
        let time = now.strftime("%Y%m%dT%H%M%SZ");
        for number in 1..=MAX_IN_A_SECOND {
            let name = if number == 1 { format!("{ASIDE}{time}") } else { format!("{ASIDE}{time}-{number}") };
            match fs::DirBuilder::new().mode(0o700).create(self.data.join(&name)) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return made.map(|()| name),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_done.get() {
            return;
        }
        if self.has_our_lock {
            drop(fs::remove_file(self.data.join(LOCK)));
        }
        if self.is_ours {
            // Only an empty one goes.
            drop(fs::remove_dir(&self.data));
        }
    }
}

/// Takes the files of an archive into a folder beside what is there.
struct Unpacking {
    data: PathBuf,
    staging: ScratchFolder,
    replace: bool,
    /// Runs and keys are in PostgreSQL.
    is_elsewhere: bool,
    free: u64,
    /// What is in the way.
    old: Vec<String>,
    files: usize,
    bytes: u64,
}

impl Target for Unpacking {
    fn admit(&mut self, header: &Header) -> Result<(), ArchiveError> {
        let refused = |why: String| Err(ArchiveError::Foreign(why));
        match header.schema {
            Some(schema) if schema > known_schema() => {
                let (known, made) = (known_schema(), &header.askd);
                return refused(format!(
                    "holds a store of version {schema}, made by askd {made}, and this askd knows versions up to {known}; \
                     restore it with askd {made} or a later one"
                ));
            }
            Some(_) if self.is_elsewhere => {
                let why = "holds an embedded store, and ASKD_DATABASE_URL says that runs are in PostgreSQL";
                return refused(format!(
                    "{why}; take that setting away, or restore a backup made with --sessions-only"
                ));
            }
            _ => {}
        }
        let data = self.data.display();
        if !self.replace && is_used(&self.data, header.schema.is_some())? {
            return refused(format!(
                "is not put into `{data}`, which is not empty; name an empty folder with ASKD_DATA_DIR, or give --replace to \
                 put what is there aside"
            ));
        }
        self.old = in_the_way(&self.data, header.schema.is_some())?;
        for name in &self.old {
            if let Some(why) = is_fixed(&self.data.join(name))? {
                return refused(format!("is not put into `{data}`: `{name}` there cannot be moved aside, for {why}"));
            }
        }
        must_have_room(&self.data, header.bytes, SPARE)
            .map_err(|error| ArchiveError::Foreign(format!("has no room: {error}")))
    }

    fn file(&mut self, path: &str, size: u64, bytes: &mut dyn Read) -> Result<(), ArchiveError> {
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes.saturating_add(SPARE) > self.free {
            let why = format!("holds more than there is room for in `{}`", self.data.display());
            return Err(ArchiveError::Foreign(why));
        }
        self.files += 1;
        let target = self.staging.path().join(path);
        if let Some(folder) = target.parent() {
            make_folder(folder)?;
        }
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&target)?;
        copy(bytes, &mut file)
    }
}

/// Tells what cannot be read from what cannot be written.
fn copy(from: &mut dyn Read, to: &mut File) -> Result<(), ArchiveError> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => io::Write::write_all(to, &buffer[..length])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(ArchiveError::Damaged(error.to_string())),
        }
    }
}

/// Whether somebody has put something into the data folder: for a whole archive anything, for one of sessions only those.
fn is_used(data: &Path, is_whole: bool) -> io::Result<bool> {
    if !is_whole {
        return Ok(!in_the_way(data, false)?.is_empty());
    }
    for entry in fs::read_dir(data)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if !STAYS.contains(&&*name) && name != STAGING && name != LOST_AND_FOUND && !name.starts_with(ASIDE) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The names in the data folder that must go for an archive: of a whole one all of a server's, of one of sessions only those.
fn in_the_way(data: &Path, is_whole: bool) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for name in MOVES {
        let there = data.join(name);
        if fs::symlink_metadata(&there).is_ok()
            && (is_whole || (name == SESSIONS && fs::read_dir(there)?.next().is_some()))
        {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Why this cannot be moved within its folder, as far as it can be known before.
fn is_fixed(path: &Path) -> io::Result<Option<&'static str>> {
    let there = statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS)?;
    let has = |attribute| there.stx_attributes.contains(attribute);
    if has(StatxAttributes::MOUNT_ROOT) {
        return Ok(Some("something is mounted there"));
    }
    if has(StatxAttributes::IMMUTABLE) || has(StatxAttributes::APPEND) {
        return Ok(Some("it must not be changed (lsattr)"));
    }
    // A folder gets another parent, which is written into it.
    let is_folder = fs::symlink_metadata(path)?.is_dir();
    Ok((is_folder && access(path, Access::WRITE_OK).is_err()).then_some("this user must not write to it"))
}
