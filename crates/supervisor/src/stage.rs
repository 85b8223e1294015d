//! The stage: our own executable inside of a view that bubblewrap has made, for the last acts before the program.
//!
//! bubblewrap hands on whatever descriptors it was given. A directory among them would lead out of the view: `fchdir` to
//! it, and `..` from there (checked). The stage sees to it that none reaches the program.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::Resource;
use serde::{Deserialize, Serialize};

use crate::descriptors::keep_only;
use crate::guardian::{Failure, failed, limit};
use crate::reports::{EXECUTE, Report, VIEW};
use crate::seccomp;

/// The hidden subcommand's name.
pub(crate) const SUBCOMMAND: &str = "__enter";

/// The kinds of namespaces that a view has of its own.
const NAMESPACES: [&str; 5] = ["ipc", "mnt", "pid", "user", "uts"];

/// What the stage is told, in one word of its command line.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The pipe for its reports.
    pub(crate) report: RawFd,
    /// The pipe that goes on to the program.
    pub(crate) secret: Option<RawFd>,
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
    let entry = args.next().and_then(|word| serde_json::from_str::<Entry>(word.to_str()?).ok());
    let (Some(entry), Some(program)) = (entry, args.next()) else {
        drop(writeln!(io::stderr(), "`{SUBCOMMAND}` is internal to the server: it is started by `__launch`"));
        return ExitCode::from(2);
    };
    #[expect(unsafe_code, reason = "an inherited descriptor has a number and no owner")]
    // SAFETY: the guardian opened it for this process, which has not touched a descriptor yet, and nobody else owns it.
    // If there is none, using it fails, and nothing happens.
    let report = unsafe { OwnedFd::from_raw_fd(entry.report) };
    let Err(Failure { errno, text }) = enter(&entry, report.as_fd(), &program, args);
    drop(say(report.as_fd(), &Report::Failed { errno, text }));
    ExitCode::FAILURE
}

/// The acts, in their order. They return only if one fails.
fn enter(
    entry: &Entry,
    report: BorrowedFd<'_>,
    program: &OsString,
    args: impl Iterator<Item = OsString>,
) -> Result<std::convert::Infallible, Failure> {
    fcntl_setfd(report, FdFlags::CLOEXEC).map_err(failed("the guardian's pipe is missing"))?;
    check_inside(entry).map_err(failed(VIEW))?;
    limit(Resource::Nproc, entry.processes).map_err(failed("cannot set the limits"))?;
    if seccomp::is_available() {
        seccomp::apply(seccomp::Profile::Namespaces).map_err(failed(VIEW))?;
    }
    #[expect(unsafe_code, reason = "an inherited descriptor has a number and no owner")]
    // SAFETY: the guardian opened it for this process, and it stays open until the exec.
    let secret = entry.secret.map(|number| unsafe { BorrowedFd::borrow_raw(number) });
    keep_only(secret.as_slice()).map_err(failed("cannot close the descriptors"))?;
    // An error means that the guardian is dead: the program must not run then.
    say(report, &Report::Entered).map_err(failed("the guardian is gone"))?;
    #[expect(clippy::disallowed_methods, reason = "it replaces this very process")]
    let error = Command::new(program).args(args).exec();
    Err(failed(EXECUTE)(error))
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
