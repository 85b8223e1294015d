//! The stage: our own executable inside of a view that bubblewrap has made, for the last acts before the program.
//!
//! bubblewrap hands on whatever descriptors it was given. A directory among them would lead out of the view: `fchdir` to
//! it, and `..` from there (checked). The stage sees to it that none reaches the program.
//!
//! Its system calls are filtered already, as are those of bubblewrap's own processes.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde::{Deserialize, Serialize};

use crate::descriptors::{inherited, keep_only};
use crate::environment;
use crate::guardian::{Failure, failed, limit, signals};
use crate::reports::{EXECUTE, Report, VIEW};

/// The hidden subcommand's name.
pub(crate) const SUBCOMMAND: &str = "__enter";

/// The kinds of namespaces that a view has of its own.
const NAMESPACES: [&str; 5] = ["ipc", "mnt", "pid", "user", "uts"];

/// How much the stage may be told, in bytes: more than a letter to the guardian can hold.
const LONGEST_ENTRY: u64 = 1 << 20;

/// What the stage is told, in a file in memory whose descriptor is the one word of its command line.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The pipe for its reports.
    pub(crate) report: RawFd,
    /// The pipe that goes on to the program.
    pub(crate) secret: Option<RawFd>,
    /// The program's variables, in a file in memory.
    pub(crate) environment: RawFd,
    /// How many tasks the run may have.
    pub(crate) processes: Option<u64>,
    /// The directory that the program is to begin in.
    pub(crate) directory: FileId,
    /// What was let in, and where it has to be.
    pub(crate) places: Vec<(PathBuf, FileId)>,
    /// The guardian's namespaces.
    pub(crate) outside: Vec<String>,
}

/// Which file something is, whatever it is called.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// Of what is open.
    pub(crate) fn of(descriptor: impl AsFd) -> io::Result<Self> {
        let found = rustix::fs::fstat(descriptor)?;
        Ok(Self { device: found.st_dev, inode: found.st_ino })
    }
}

/// The namespaces of this process.
pub(crate) fn namespaces() -> io::Result<Vec<String>> {
    let name = |kind| Ok(fs::read_link(format!("/proc/self/ns/{kind}"))?.to_string_lossy().into_owned());
    NAMESPACES.into_iter().map(name).collect()
}

/// Runs the stage: the whole of the hidden subcommand [`SUBCOMMAND`]. `args` are the arguments after it.
pub(crate) fn main(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    let Some(given) = given(&mut args) else {
        drop(writeln!(io::stderr(), "`{SUBCOMMAND}` is internal to the server: it is started by `__launch`"));
        return ExitCode::from(2);
    };
    let Err(Failure { errno, text }) = enter(&given, args);
    drop(say(given.report.as_fd(), &Report::Failed { errno, text }));
    ExitCode::FAILURE
}

/// What it was given.
struct Given {
    entry: Entry,
    report: OwnedFd,
    secret: Option<OwnedFd>,
    environment: OwnedFd,
    program: OsString,
}

fn given(args: &mut impl Iterator<Item = OsString>) -> Option<Given> {
    let told = File::from(inherited(args.next()?.to_str()?.parse().ok()?)?);
    let mut text = Vec::new();
    told.take(LONGEST_ENTRY).read_to_end(&mut text).ok()?;
    let entry: Entry = serde_json::from_slice(&text).ok()?;
    // The same number twice is one descriptor.
    if entry.environment == entry.report
        || entry.secret.is_some_and(|it| [entry.report, entry.environment].contains(&it))
    {
        return None;
    }
    let (report, environment) = (inherited(entry.report)?, inherited(entry.environment)?);
    let secret = match entry.secret {
        Some(number) => Some(inherited(number)?),
        None => None,
    };
    Some(Given { entry, report, secret, environment, program: args.next()? })
}

/// The acts, in their order. They return only if one fails.
fn enter(given: &Given, args: impl Iterator<Item = OsString>) -> Result<std::convert::Infallible, Failure> {
    let Given { entry, report, secret, environment, program } = given;
    let report = report.as_fd();
    fcntl_setfd(report, FdFlags::CLOEXEC).map_err(failed("the guardian's pipe is missing"))?;
    check_inside(entry).map_err(failed(VIEW))?;
    limit_tasks(entry.processes).map_err(failed("cannot set the limits"))?;
    signals::hear_again().map_err(failed("cannot set up signals"))?;
    let variables = environment::read(environment).map_err(failed("cannot read the variables"))?;
    keep_only(secret.as_ref().map(AsFd::as_fd).as_slice()).map_err(failed("cannot close the descriptors"))?;
    // An error means that the guardian is dead: the program must not run then.
    say(report, &Report::Entered).map_err(failed("the guardian is gone"))?;
    #[expect(clippy::disallowed_methods, reason = "it replaces this very process")]
    // Of two with one name the one counts that the guardian or bubblewrap has set.
    let error = Command::new(program).args(args).envs(variables).envs(std::env::vars_os()).exec();
    Err(failed(EXECUTE)(error))
}

/// Of this process, and of bubblewrap's first one: what is in the view may debug that, and have it fork.
fn limit_tasks(processes: Option<u64>) -> io::Result<()> {
    limit(Resource::Nproc, processes)?;
    if processes.is_some() {
        let own = rustix::process::getrlimit(Resource::Nproc);
        prlimit(Some(Pid::INIT), Resource::Nproc, Rlimit { current: own.current, maximum: own.maximum })?;
    }
    Ok(())
}

fn say(report: BorrowedFd<'_>, what: &Report) -> io::Result<()> {
    rustix::io::write(report, format!("{what}\n").as_bytes())?;
    Ok(())
}

/// Nothing that was to be left outside is here, and what was let in is what was opened.
fn check_inside(entry: &Entry) -> io::Result<()> {
    let inside = namespaces()?;
    if let Some((shared, _)) = inside.iter().zip(&entry.outside).find(|(inside, outside)| inside == outside) {
        return Err(io::Error::other(format!("bubblewrap has left it in the host's namespace {shared}")));
    }
    let found = rustix::fs::stat(".")?;
    if (FileId { device: found.st_dev, inode: found.st_ino }) != entry.directory {
        return Err(io::Error::other("the working directory was replaced while the view was made"));
    }
    for (path, file) in &entry.places {
        // bubblewrap follows links on the way to a place. One that was put there meanwhile would lead to another.
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let found = openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS);
        if !found.is_ok_and(|found| FileId::of(found).is_ok_and(|found| found == *file)) {
            let path = path.display();
            return Err(io::Error::other(format!(
                "`{path}` lies behind a link, or was replaced while the view was made"
            )));
        }
    }
    Ok(())
}
