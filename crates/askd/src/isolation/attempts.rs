//! What the probe tries inside: askd's own executable, started as `__probe` where a run would be started.
//!
//! It is told over stdin what there is outside ([`Targets`]), tries to get at it, and prints what came of it
//! ([`Findings`]). It judges nothing. What it creates it removes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::fs::{Access, OFlags, access};
use rustix::process::{Pid, Resource, getrlimit, test_kill_process};
use serde::{Deserialize, Serialize};

/// The hidden subcommand.
pub const SUBCOMMAND: &str = "__probe";

/// The namespaces that are looked at, by their names in `/proc/self/ns`.
pub const NAMESPACES: [&str; 6] = ["cgroup", "ipc", "mnt", "pid", "user", "uts"];

/// Targets are much shorter.
const MAX_TARGETS: u64 = 1 << 20;

/// What there is to try.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Targets {
    /// A name that no file has; attempts to write use it.
    pub name: String,
    /// Folders that must be writable.
    pub needed: Vec<PathBuf>,
    /// Files that must be readable and executable.
    pub programs: Vec<PathBuf>,
    /// A file in the server's data whose content nobody may read.
    pub secret: PathBuf,
    /// Folders and files that must be out of reach.
    pub hidden: Vec<Hidden>,
    /// A folder that may be read and not written, though its user could.
    pub shown: PathBuf,
    /// The workspace around the write root.
    pub beside: PathBuf,
    /// Folders of the system.
    pub system: Vec<PathBuf>,
    /// The folder that is `/tmp` where that is private.
    pub temporary: PathBuf,
    /// The machine's own `/tmp`, `/var/tmp` and `/dev/shm`.
    pub shared: Vec<Hidden>,
    /// A unix socket in the server's data.
    pub hidden_socket: Option<PathBuf>,
    /// A unix socket in the write root.
    pub shown_socket: Option<PathBuf>,
    /// The name of an abstract unix socket.
    pub abstract_socket: Option<String>,
    /// Processes outside: pid and start time.
    pub processes: Vec<Outsider>,
}

/// Something that must be out of reach, and how it would be recognised.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hidden {
    /// Where it is.
    pub path: PathBuf,
    /// The device that it is on.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
}

impl Hidden {
    /// What is at a path now; `None` if nothing is.
    pub fn at(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self { path: path.to_owned(), device: metadata.dev(), inode: metadata.ino() })
    }
}

/// A process outside.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Outsider {
    /// Its id, outside.
    pub pid: u32,
    /// Its start in clock ticks since boot: with it a process is recognised, whatever namespace one looks from.
    pub start: u64,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attempt {
    /// It succeeded.
    Done,
    /// It did not; why, in the system's words.
    Refused(String),
}

impl Attempt {
    /// Whether it succeeded.
    pub fn is_done(&self) -> bool {
        *self == Self::Done
    }
}

impl<T> From<io::Result<T>> for Attempt {
    fn from(result: io::Result<T>) -> Self {
        match result {
            Ok(_) => Self::Done,
            Err(error) => Self::Refused(error.to_string()),
        }
    }
}

/// What was found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Findings {
    /// Writing in each of [`Targets::needed`].
    pub needed: Vec<Attempt>,
    /// Reading and executing each of [`Targets::programs`].
    pub programs: Vec<Attempt>,
    /// Reading [`Targets::secret`].
    pub secret: Attempt,
    /// Opening each of [`Targets::hidden`].
    pub hidden: Vec<Attempt>,
    /// Creating a file in each of them.
    pub hidden_writes: Vec<Attempt>,
    /// Listing [`Targets::shown`].
    pub shown: Attempt,
    /// Creating a file there.
    pub shown_write: Attempt,
    /// Creating a file in [`Targets::beside`].
    pub beside_write: Attempt,
    /// Creating a file in each of [`Targets::system`].
    pub system_writes: Vec<Attempt>,
    /// Opening a setting of the kernel for writing.
    pub kernel_write: Attempt,
    /// Whether what is written to `/tmp` and `/var/tmp` lies in [`Targets::temporary`].
    pub own_temporary: bool,
    /// Opening each of [`Targets::shared`].
    pub shared: Vec<Attempt>,
    /// Connecting to the sockets.
    pub hidden_socket: Option<Attempt>,
    /// The same.
    pub shown_socket: Option<Attempt>,
    /// The same.
    pub abstract_socket: Option<Attempt>,
    /// What can be done to each of [`Targets::processes`].
    pub processes: Vec<Reached>,
    /// The namespaces, as the kernel names them.
    pub namespaces: BTreeMap<String, String>,
    /// Forking.
    pub fork: Attempt,
    /// Making namespaces, as the CLI's own sandbox does.
    pub nested: Attempt,
    /// The process itself.
    pub own: Own,
    /// How many filters of system calls the first process that can be seen has: in a PID namespace of the run's own it
    /// belongs to the run. `None`: it cannot be asked.
    pub first_filters: Option<u64>,
}

/// What can be done to a process outside.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reached {
    /// Whether it can be seen in `/proc`.
    pub seen: bool,
    /// Signalling it.
    pub signal: Attempt,
    /// Reading its environment.
    pub environment: Attempt,
    /// Tracing it.
    pub trace: Attempt,
}

/// The probe as a process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Own {
    /// Its effective user.
    pub uid: u32,
    /// Its effective capabilities, as `/proc` writes them.
    pub capabilities: String,
    /// `NoNewPrivs`.
    pub no_new_privileges: bool,
    /// How many filters of system calls it has.
    pub filters: u64,
    /// The most bytes of a core dump; `None`: no limit, here and below.
    pub core: Option<u64>,
    /// The most open files.
    pub open_files: Option<u64>,
    /// The most tasks.
    pub tasks: Option<u64>,
    /// The largest file.
    pub file_size: Option<u64>,
}

/// Handles `__probe`. `None`: the arguments are others. To be called before any thread exists: it forks.
pub fn hidden_main(mut args: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    if args.next()? != SUBCOMMAND {
        return None;
    }
    let tried = || -> io::Result<()> {
        let mut text = String::new();
        io::stdin().lock().take(MAX_TARGETS).read_to_string(&mut text)?;
        let targets = serde_json::from_str(&text)?;
        writeln!(io::stdout().lock(), "{}", serde_json::to_string(&attempt(&targets))?)
    };
    Some(match tried() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(io::stderr(), "`{SUBCOMMAND}` is internal to the server: {error}"));
            ExitCode::from(2)
        }
    })
}

/// Tries everything.
fn attempt(targets: &Targets) -> Findings {
    let write = |folder: &PathBuf| Attempt::from(create_in(folder, &targets.name));
    Findings {
        needed: targets.needed.iter().map(write).collect(),
        programs: targets.programs.iter().map(|program| use_program(program).into()).collect(),
        secret: fs::read(&targets.secret).into(),
        hidden: targets.hidden.iter().map(|hidden| reach(hidden).into()).collect(),
        hidden_writes: targets.hidden.iter().map(|hidden| write_in(hidden, &targets.name).into()).collect(),
        shown: fs::read_dir(&targets.shown).into(),
        shown_write: write(&targets.shown),
        beside_write: write(&targets.beside),
        system_writes: targets.system.iter().map(write).collect(),
        // Opened and not written: it would be the machine's own.
        kernel_write: OpenOptions::new().write(true).open("/proc/sys/kernel/core_pattern").into(),
        own_temporary: own_temporary(&targets.temporary),
        shared: targets.shared.iter().map(|folder| reach(folder).into()).collect(),
        hidden_socket: targets.hidden_socket.as_ref().map(|path| UnixStream::connect(path).into()),
        shown_socket: targets.shown_socket.as_ref().map(|path| UnixStream::connect(path).into()),
        abstract_socket: targets.abstract_socket.as_ref().map(|name| connect_abstract(name).into()),
        processes: targets.processes.iter().map(|process| reach_process(*process)).collect(),
        namespaces: namespaces(),
        fork: supervisor::attempts::fork().into(),
        nested: supervisor::attempts::namespaces().into(),
        own: own(),
        first_filters: field(&status("1"), "Seccomp_filters").parse().ok(),
    }
}

/// Creates a file and removes it again.
fn create_in(folder: &Path, name: &str) -> io::Result<()> {
    let path = folder.join(name);
    OpenOptions::new().write(true).create_new(true).open(&path)?;
    fs::remove_file(&path)
}

fn use_program(path: &Path) -> io::Result<()> {
    access(path, Access::EXEC_OK)?;
    File::open(path).map(drop)
}

/// Opens what is at a path; an error if that is something else than outside.
fn reach(hidden: &Hidden) -> io::Result<()> {
    // Without waiting: it may be a named pipe.
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let metadata = OpenOptions::new().read(true).custom_flags(nonblocking).open(&hidden.path)?.metadata()?;
    if (metadata.dev(), metadata.ino()) == (hidden.device, hidden.inode) {
        Ok(())
    } else {
        Err(io::Error::other("something else is there"))
    }
}

/// Creates a file in a hidden folder. What stands in its place is the run's own, and no attempt is made on it.
fn write_in(hidden: &Hidden, name: &str) -> io::Result<()> {
    match Hidden::at(&hidden.path) {
        Some(found) if (found.device, found.inode) == (hidden.device, hidden.inode) => create_in(&hidden.path, name),
        _ => Err(io::Error::other("something else is there")),
    }
}

/// `/var/tmp` is not on every machine.
fn own_temporary(temporary: &Path) -> bool {
    let other = Path::new("/var/tmp");
    is_same(Path::new("/tmp"), temporary) && (!other.exists() || is_same(other, temporary))
}

fn is_same(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino())).ok();
    identity(one).is_some_and(|identity_of_one| identity(other) == Some(identity_of_one))
}

fn connect_abstract(name: &str) -> io::Result<UnixStream> {
    UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?)
}

fn reach_process(process: Outsider) -> Reached {
    let Outsider { pid, start } = process;
    let seen = supervisor::identity::ProcessId::of(pid).is_some_and(|found| found.start == start);
    // By its number alone, unless that number is somebody else's here.
    let stranger = !seen && Path::new("/proc").join(pid.to_string()).exists();
    let of_stranger = || Attempt::Refused("another process has its number here".to_owned());
    if stranger {
        return Reached { seen, signal: of_stranger(), environment: of_stranger(), trace: of_stranger() };
    }
    let as_pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput);
    let signal = as_pid.map_err(io::Error::from).and_then(|pid| Ok(test_kill_process(pid)?));
    // A file of `/proc` is checked when it is opened, and some of it not before it is read.
    let environment = fs::read(format!("/proc/{pid}/environ"));
    Reached {
        seen,
        signal: signal.into(),
        environment: environment.into(),
        trace: supervisor::attempts::trace(pid).into(),
    }
}

/// The namespaces of this process; also used outside, to compare.
pub(super) fn namespaces() -> BTreeMap<String, String> {
    let named = |name: &str| {
        let link = fs::read_link(Path::new("/proc/self/ns").join(name)).ok()?;
        Some((name.to_owned(), link.to_string_lossy().into_owned()))
    };
    NAMESPACES.into_iter().filter_map(named).collect()
}

/// What `/proc` says of a process; nothing of one that is not there.
fn status(process: &str) -> String {
    fs::read_to_string(Path::new("/proc").join(process).join("status")).unwrap_or_default()
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_default().trim()
}

/// This process; also used outside, to compare.
pub(super) fn own() -> Own {
    let status = status("self");
    let field = |name: &str| field(&status, name);
    let limit = |resource| getrlimit(resource).current;
    Own {
        uid: rustix::process::geteuid().as_raw(),
        capabilities: field("CapEff").to_owned(),
        no_new_privileges: field("NoNewPrivs") == "1",
        filters: field("Seccomp_filters").parse().unwrap_or(0),
        core: limit(Resource::Core),
        open_files: limit(Resource::Nofile),
        tasks: limit(Resource::Nproc),
        file_size: limit(Resource::Fsize),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_created_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        create_in(folder.path(), "name").unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        fs::write(folder.path().join("name"), "somebody's").unwrap();
        create_in(folder.path(), "name").unwrap_err();
        assert!(folder.path().join("name").exists(), "what was there before stays");
    }

    #[test]
    fn something_else_at_a_path_is_not_what_was_meant() {
        let folder = tempfile::tempdir().unwrap();
        let mut hidden = Hidden::at(folder.path()).unwrap();
        reach(&hidden).unwrap();
        hidden.inode += 1;
        assert!(reach(&hidden).unwrap_err().to_string().contains("something else"));
    }
}
