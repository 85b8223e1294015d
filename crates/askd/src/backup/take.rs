//! A backup: the store first, then the sessions.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::archive::Writer;
use super::manifest::{FORMAT, Header};
use super::place::{Floor, rounded, size};
use super::{BackupError, BackupOptions, has_data, has_store};
use crate::disk::scratch::{ScratchFolder, put_in_place, scratch_name, sweep};
use crate::homes;
use crate::privileges::{own_folder, whose};
use crate::serve::lock;
use crate::settings::Settings;
use crate::small_file;
use crate::store::backup::{STORE_FILE, check, copy, sessions_at_work};

mod sessions;

/// Of what is needed meanwhile, the archive as long as it is not whole, and a session that is being added.
const ARCHIVE: &str = "archive";
const SESSION: &str = "session";

/// What a scratch folder in the data folder is for.
const PIPED: &str = "askd-backup";

/// How long the transcripts of runs that have just ended are waited for.
const RETURNS: Duration = Duration::from_mins(1);

/// What was done.
#[derive(Debug, Clone, Serialize)]
pub struct Taken {
    /// Where it is; absent for standard output.
    pub archive: Option<PathBuf>,
    /// The moment whose state it holds.
    pub created_at: String,
    /// The version of the store's tables; absent without the store.
    pub schema: Option<i64>,
    /// Sessions in it.
    pub sessions: usize,
    /// Sessions that could not be read or had no room, and are not in it.
    pub missing_sessions: usize,
    /// Files in it.
    pub files: usize,
    /// What they have together, in bytes.
    pub content_bytes: u64,
    /// What the archive has, in bytes.
    pub archive_bytes: u64,
    /// What is to be known besides.
    pub warnings: Vec<String>,
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sessions, files, content_bytes, archive_bytes, .. } = self;
        let (content, size) = (rounded(*content_bytes), rounded(*archive_bytes));
        let place =
            self.archive.as_ref().map_or_else(|| "standard output".to_owned(), |path| path.display().to_string());
        write!(f, "{place}: {sessions} sessions, {files} files, {content} in {size}")
    }
}

/// Makes a backup. `say` gets a line now and then, for people. `out` is where an archive without a file goes.
pub async fn backup(
    settings: &Settings,
    options: &BackupOptions,
    now: Timestamp,
    out: impl Write + Send + 'static,
    say: &mut impl FnMut(&str),
) -> Result<Taken, BackupError> {
    let data = &settings.paths.data_dir;
    if settings.store.database_url.is_some() && !options.sessions_only {
        return Err(BackupError::Refused(
            "runs and keys are in PostgreSQL (ASKD_DATABASE_URL): back that database up with pg_dump, and after it the \
             transcripts, which are in the data folder of each server, with askd backup --sessions-only"
                .to_owned(),
        ));
    }
    if !has_data(settings)? || !data.is_dir() {
        return Err(BackupError::Refused(format!("ASKD_DATA_DIR `{}` is no folder", data.display())));
    }
    if !options.sessions_only {
        has_store(settings)?;
    }
    let beside = |to| beside(to, &settings.paths.workspace_dir);
    let folder = options.to.as_deref().map_or_else(|| Ok(data.clone()), beside)?;
    let floor = Floor::of(&folder, settings);
    let name = options.to.as_ref().and_then(|to| to.file_name());
    let name = name.map_or_else(|| PIPED.to_owned(), |name| name.to_string_lossy().into_owned());
    sweep(&folder);
    sweep(data);
    let scratch = scratch(&folder, &name)?;
    let mut job = Job {
        data: data.clone(),
        now,
        warnings: Vec::new(),
        missing: 0,
        schema: None,
        floor: floor.clone(),
        times: if options.to.is_some() { 2 } else { 1 },
        max_session: settings.paths.max_session,
        excess: settings.paths.sessions_max_size,
    };
    let store_bytes = size(&data.join(STORE_FILE)) + size(&data.join(format!("{STORE_FILE}-wal")));
    let store_bytes = if options.sessions_only { 0 } else { store_bytes };
    // The copy, and an archive that could not be made smaller. For sessions the disk is looked at meanwhile.
    floor.must_have_room(if options.to.is_some() { store_bytes.saturating_mul(2) } else { store_bytes })?;
    let snapshot = if options.sessions_only {
        None
    } else {
        say(&format!("copying the store ({})", rounded(store_bytes)));
        let path = scratch.path().join(STORE_FILE);
        job.copy_store(&path).await?;
        Some(path)
    };
    let unfinished = scratch.path().join(ARCHIVE);
    let out = if options.to.is_some() {
        let file = File::options().write(true).create_new(true).mode(0o600).open(&unfinished);
        Out::File(file.map_err(BackupError::io("cannot write the archive"))?, floor)
    } else {
        Out::Pipe(Box::new(out))
    };
    say("adding the transcripts of sessions");
    // On a thread of its own, so that a signal is heard meanwhile.
    let stop = Stop::default();
    let (flag, over) = (Arc::clone(&stop.flag), Arc::clone(&stop.over));
    let place = scratch.path().join(SESSION);
    let written = tokio::task::spawn_blocking(move || {
        let written = job.write(snapshot.as_deref(), &place, Stoppable { out, stop: flag });
        over.store(true, Ordering::Relaxed);
        written
    });
    let written = written.await;
    let (job, sessions, files, content_bytes, archive_bytes) =
        written.map_err(|error| BackupError::Refused(error.to_string()))??;
    if let Some(to) = &options.to {
        put_in_place(&unfinished, to).map_err(BackupError::io(format!("cannot put `{}` in place", to.display())))?;
    }
    let Job { warnings, schema, missing: missing_sessions, .. } = job;
    let (archive, created_at) = (options.to.clone(), now.to_string());
    Ok(Taken { archive, created_at, schema, sessions, missing_sessions, files, content_bytes, archive_bytes, warnings })
}

/// The folder of the archive. There lies a copy of the store as long as the archive is not whole, and what is there goes
/// afterwards: nobody else is to decide where that is.
fn beside(to: &Path, workspaces: &Path) -> Result<PathBuf, BackupError> {
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let is_folder = match fs::metadata(folder) {
        Ok(there) => there.is_dir(),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(shut(folder)),
        Err(_) => false,
    };
    if to.file_name().is_none() || !is_folder {
        return Err(BackupError::Refused(format!("`{}` is no folder to write an archive to", folder.display())));
    }
    if fs::symlink_metadata(to).is_ok() {
        let to = to.display();
        return Err(BackupError::Refused(format!("`{to}` is there already; name another file, or remove that one")));
    }
    let named = std::path::absolute(folder).and_then(|folder| own_folder(&folder));
    let named = named.map_err(BackupError::io(format!("cannot look at the way to `{}`", folder.display())))?;
    let real = named.map_err(|at| {
        BackupError::Refused(format!(
            "others can put something else in the place of what is in `{}` ({}); choose another folder, take that right away \
             (chmod go-w, or chmod +t), or {SHELL}",
            at.display(),
            whose(&at)
        ))
    })?;
    if real.starts_with(workspaces.canonicalize().unwrap_or_else(|_| workspaces.to_owned())) {
        let folder = folder.display();
        return Err(BackupError::Refused(format!(
            "`{folder}` is in WORKSPACE_DIR, which is the runs'; choose another folder"
        )));
    }
    Ok(folder.to_owned())
}

/// Where everything is until the archive is whole.
fn scratch(folder: &Path, name: &str) -> Result<ScratchFolder, BackupError> {
    match ScratchFolder::create(&folder.join(scratch_name(name))) {
        Ok(Some(scratch)) => Ok(scratch),
        Ok(None) => Err(BackupError::Refused(format!("another askd backup writes `{name}` at this moment"))),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(shut(folder)),
        Err(error) => Err(BackupError::io(format!("cannot write to `{}`", folder.display()))(error)),
    }
}

/// What the archive's mode is then is the shell's business.
const SHELL: &str = "let the shell open the file: (umask 077; askd backup --to - > FILE)";

/// Root has become the owner of the data folder before.
fn shut(folder: &Path) -> BackupError {
    let (path, whose) = (folder.display(), whose(folder));
    BackupError::Refused(format!(
        "`{path}` cannot be written to: {whose} (root becomes the user to whom ASKD_DATA_DIR belongs); name a folder of that \
         user's, or {SHELL}"
    ))
}

enum Out {
    File(File, Floor),
    Pipe(Box<dyn Write + Send>),
}

struct Job {
    data: PathBuf,
    now: Timestamp,
    schema: Option<i64>,
    warnings: Vec<String>,
    /// Sessions that could not be read.
    missing: usize,
    /// Of the folder of the archive.
    floor: Floor,
    /// How often a session is on that disk while it is added: as a copy, and in the archive unless that goes elsewhere.
    times: u8,
    /// `ASKD_MAX_SESSION`.
    max_session: u64,
    /// How many bytes the files of all further sessions may have together beyond what they take of the disk.
    excess: u64,
}

impl Job {
    /// Copies the store, and waits for the transcripts that belong to it.
    async fn copy_store(&mut self, path: &Path) -> Result<(), BackupError> {
        copy(&self.data, path).await?;
        // Nobody looks at a backup before it is needed.
        self.schema = Some(check(path).await?);
        let at_work = sessions_at_work(path).await?;
        let is_served = lock::is_held(&self.data);
        let until = Instant::now() + RETURNS;
        // Those that ended a moment before: their transcripts are on their way out of the homes.
        let mut homes = self.ended_homes(&at_work);
        while is_served && !homes.is_empty() && Instant::now() < until {
            sleep(Duration::from_millis(50)).await;
            homes.retain(|home| home.exists());
        }
        if !homes.is_empty() {
            let what = if is_served {
                "runs have ended whose transcripts were not put back within a minute"
            } else {
                "a server that was killed has left homes of runs; start it once, so that it takes their transcripts back"
            };
            self.warnings.push(format!("{} sessions may not be up to date: {what}", homes.len()));
        }
        Ok(())
    }

    /// The notes of homes whose session no run of the copy works with.
    fn ended_homes(&self, at_work: &std::collections::BTreeSet<String>) -> Vec<PathBuf> {
        let owners = fs::read_dir(homes::owners(&self.data)).into_iter().flatten().flatten();
        let is_ended = |path: &PathBuf| {
            let session = small_file::read_text(path, 100).unwrap_or_default();
            !session.trim().is_empty() && !at_work.contains(session.trim())
        };
        owners.map(|entry| entry.path()).filter(is_ended).collect()
    }

    fn write(
        mut self,
        snapshot: Option<&Path>,
        place: &Path,
        target: Stoppable,
    ) -> Result<(Self, usize, usize, u64, u64), BackupError> {
        let counted = Counted { inner: io::BufWriter::with_capacity(1 << 18, target), count: 0 };
        let failed = || BackupError::io("the archive could not be written");
        let snapshot = match snapshot {
            Some(path) => Some((path, File::open(path).map_err(failed())?)),
            None => None,
        };
        let bytes = match &snapshot {
            Some((_, file)) => file.metadata().map_err(failed())?.len(),
            None => 0,
        };
        let header = Header {
            format: FORMAT,
            askd: env!("CARGO_PKG_VERSION").to_owned(),
            schema: self.schema,
            created_at: self.now.to_string(),
            bytes,
        };
        let mut writer = Writer::begin(counted, &header).map_err(failed())?;
        let mut content = 0;
        if let Some((path, file)) = snapshot {
            writer.file(STORE_FILE, bytes, io::BufReader::new(file)).map_err(failed())?;
            content += bytes;
            // Room for what comes.
            fs::remove_file(path).map_err(failed())?;
        }
        let (sessions, bytes) = self.sessions(&mut writer, place)?;
        content += bytes;
        let (mut counted, files) = writer.finish().map_err(failed())?;
        counted.flush().map_err(failed())?;
        counted.inner.get_ref().out.sync().map_err(failed())?;
        Ok((self, sessions, files, content, counted.count))
    }
}

/// Counts what passes.
struct Counted {
    inner: io::BufWriter<Stoppable>,
    count: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.inner.write(bytes)?;
        self.count += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Whoever is interrupted stops the thread that writes, and gives it a moment to clear up.
#[derive(Default)]
struct Stop {
    flag: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
}

/// How long that moment is: a pipe that nobody reads holds the thread for ever.
const CLEARING_UP: Duration = Duration::from_secs(2);

impl Drop for Stop {
    fn drop(&mut self) {
        self.flag.store(true, Ordering::Relaxed);
        let until = Instant::now() + CLEARING_UP;
        while !self.over.load(Ordering::Relaxed) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

struct Stoppable {
    out: Out,
    stop: Arc<AtomicBool>,
}

impl Write for Stoppable {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("interrupted"));
        }
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Out {
    /// Brings it to the disk.
    fn sync(&self) -> io::Result<()> {
        match self {
            Self::File(file, _) => file.sync_all(),
            Self::Pipe(_) => Ok(()),
        }
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file, floor) => {
                floor.is_kept(bytes.len())?;
                file.write(bytes)
            }
            Self::Pipe(pipe) => pipe.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(file, _) => file.flush(),
            Self::Pipe(pipe) => pipe.flush(),
        }
    }
}
