//! What the child does to itself between the fork and the program: an ordered list.
//!
//! The guardian has one thread, so that the child may do here whatever an ordinary program may.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::process::{
    Pid, Resource, Rlimit, Signal, fchdir, getgid, getppid, getrlimit, getuid, set_parent_process_death_signal,
    setrlimit, umask,
};
use rustix::thread::{
    Gid, Uid, clear_ambient_capability_set, set_no_new_privs, set_thread_res_gid, set_thread_res_uid,
};

use super::{Failure, signals};
use crate::confinement::{Folders, Resources};
use crate::descriptors::keep_only;
use crate::reports::{Report, VIEW};
use crate::seccomp::Profile;
use crate::{landlock, seccomp};

/// How much rather than the server the kernel is to end a run when memory runs out.
const OOM_MALUS: i32 = 500;
/// The most that the kernel takes.
const OOM_WORST: i32 = 1000;

/// What the acts need to know, and the descriptors that they need or let through.
pub(super) struct Acts {
    pub(super) guardian: Pid,
    pub(super) cgroup: Option<OwnedFd>,
    pub(super) resources: Resources,
    pub(super) view: ViewAct,
    /// The pipe for the words about a failure.
    pub(super) report: OwnedFd,
    /// What the program, or bubblewrap, inherits.
    pub(super) kept: Vec<OwnedFd>,
}

/// What is left to do for the view.
pub(super) enum ViewAct {
    /// Enter the directory.
    Host(OwnedFd),
    /// Enter the directory, then give up the rest.
    Landlock(OwnedFd, Folders),
    /// Not to be stopped by signals: what is executed is bubblewrap, and it keeps the report pipe for its stage.
    Bubblewrap,
}

type Act = fn(&Acts) -> io::Result<()>;

/// The acts in their order, each with the words that its item in the crate's documentation begins with, and what is said
/// when it fails.
const ORDER: [(&str, &str, Act); 12] = [
    ("enters the run's cgroup", "cannot enter the cgroup", enter_cgroup),
    ("checks its ids", "cannot run as this user", check_ids),
    ("asks to be killed when the guardian dies", "cannot ask to be killed with the guardian", die_with_guardian),
    ("checks that the guardian has not died", "the guardian is gone", check_guardian),
    ("gives up new privileges", "cannot give up new privileges", give_up_privileges),
    ("sets limits", "cannot set the limits", set_limits),
    ("sets the umask", "cannot set the umask", set_umask),
    ("has every descriptor above 2 closed", "cannot close the descriptors", close_descriptors),
    ("without bubblewrap, enters the directory", "cannot enter the working directory", enter_directory),
    ("with Landlock, restricts itself", VIEW, confine),
    ("with bubblewrap, ignores the signals", VIEW, become_deaf),
    ("in a view, filters its system calls", VIEW, filter_calls),
];

impl Acts {
    /// Performs them all. What goes wrong is said on the report pipe, too, since the way back through the standard
    /// library takes a number only.
    pub(super) fn perform(&self) -> io::Result<()> {
        for (_, words, act) in ORDER {
            if let Err(source) = act(self) {
                let Failure { errno, text } = Failure::of(words, &source);
                let report = format!("{}\n", Report::Failed { errno, text });
                // If nobody hears it, the number has to do.
                rustix::io::write(&self.report, report.as_bytes()).ok();
                return Err(io::Error::from_raw_os_error(if errno == 0 { Errno::PERM.raw_os_error() } else { errno }));
            }
        }
        Ok(())
    }
}

/// First of all, so that whatever follows is counted.
fn enter_cgroup(acts: &Acts) -> io::Result<()> {
    let Some(folder) = &acts.cgroup else { return Ok(()) };
    let processes = openat(folder, "cgroup.procs", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    // 0 is whoever writes.
    rustix::io::write(processes, b"0")?;
    Ok(())
}

/// The server has put down its privileges before. Here it shows whether it has really done so: real, effective and saved
/// ids are the same, and the way back to root is closed.
fn check_ids(_: &Acts) -> io::Result<()> {
    let status = fs::read_to_string("/proc/self/status")?;
    for name in ["Uid:", "Gid:"] {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        let mut ids = line.split_ascii_whitespace();
        let first = ids.next();
        if first.is_none() || ids.any(|id| Some(id) != first) {
            return Err(io::Error::other(format!("real, effective and saved ids differ ({name}{line})")));
        }
    }
    let back =
        || io::Error::other("it could become root again; start the server as this user, or let it drop root itself");
    if !getuid().is_root() && set_thread_res_uid(None, Some(Uid::ROOT), None).is_ok() {
        return Err(back());
    }
    if !getuid().is_root() && !getgid().is_root() && set_thread_res_gid(None, Some(Gid::ROOT), None).is_ok() {
        return Err(back());
    }
    Ok(())
}

fn die_with_guardian(_: &Acts) -> io::Result<()> {
    Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
}

/// It may have died before the request; then the signal never comes.
fn check_guardian(acts: &Acts) -> io::Result<()> {
    if getppid() == Some(acts.guardian) { Ok(()) } else { Err(Errno::SRCH.into()) }
}

/// Nor do capabilities go on to the program that a container gave to an ordinary user.
fn give_up_privileges(_: &Acts) -> io::Result<()> {
    set_no_new_privs(true)?;
    match clear_ambient_capability_set() {
        // A kernel that is too old for them has none.
        Ok(()) | Err(Errno::INVAL) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn set_limits(acts: &Acts) -> io::Result<()> {
    let Resources { processes: _, processes_backstop, open_files, file_size } = acts.resources;
    limit(Resource::Core, Some(0))?;
    limit(Resource::Nofile, open_files)?;
    limit(Resource::Fsize, file_size)?;
    // In a user namespace the stage sets a limit that counts this run alone. One that is set out here would keep
    // bubblewrap from starting while the user has other processes.
    if !matches!(acts.view, ViewAct::Bubblewrap) {
        limit(Resource::Nproc, processes_backstop)?;
    }
    // No error: without /proc, or in a foreign security policy, it is merely the server that may be ended first.
    drop(worsen_oom_score());
    Ok(())
}

/// Soft and hard, and never more than there was.
pub(crate) fn limit(resource: Resource, value: Option<u64>) -> io::Result<()> {
    let Some(value) = value else { return Ok(()) };
    let value = getrlimit(resource).maximum.map_or(value, |most| most.min(value));
    Ok(setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })?)
}

fn worsen_oom_score() -> io::Result<()> {
    const FILE: &str = "/proc/self/oom_score_adj";
    let score: i32 = fs::read_to_string(FILE)?.trim().parse().map_err(io::Error::other)?;
    let worse = score.saturating_add(OOM_MALUS).min(OOM_WORST);
    OpenOptions::new().write(true).open(FILE)?.write_all(worse.to_string().as_bytes())
}

#[expect(clippy::unnecessary_wraps, reason = "all acts have one form")]
fn set_umask(_: &Acts) -> io::Result<()> {
    umask(Mode::RWXG | Mode::RWXO);
    Ok(())
}

/// They close at the exec.
fn close_descriptors(acts: &Acts) -> io::Result<()> {
    let report = matches!(acts.view, ViewAct::Bubblewrap).then_some(&acts.report);
    let kept: Vec<BorrowedFd<'_>> = acts.kept.iter().chain(report).map(AsFd::as_fd).collect();
    keep_only(&kept)
}

fn enter_directory(acts: &Acts) -> io::Result<()> {
    match &acts.view {
        ViewAct::Host(directory) | ViewAct::Landlock(directory, _) => Ok(fchdir(directory)?),
        // bubblewrap changes into it by its path inside; no directory goes with it.
        ViewAct::Bubblewrap => Ok(()),
    }
}

fn confine(acts: &Acts) -> io::Result<()> {
    let ViewAct::Landlock(_, Folders { hidden, binds, temporary }) = &acts.view else { return Ok(()) };
    let binds: Vec<_> = binds.iter().map(|bind| (bind.descriptor.as_fd(), bind.access)).collect();
    landlock::restrict(hidden, &binds, temporary.as_fd()).map_err(io::Error::other)
}

/// A service manager that signals everything in its control group would end bubblewrap, and with it the run, while the
/// server lets it finish. The stage becomes able to hear again; bubblewrap's own processes do not.
fn become_deaf(acts: &Acts) -> io::Result<()> {
    if matches!(acts.view, ViewAct::Bubblewrap) { signals::ignore() } else { Ok(()) }
}

/// With bubblewrap already here, and not only for the program: what is in the view may debug bubblewrap's first process, and
/// have it call whatever is not refused there, too. bubblewrap itself works under this filter, as does one that the program
/// starts (checked).
fn filter_calls(acts: &Acts) -> io::Result<()> {
    let profile = match acts.view {
        ViewAct::Host(_) => return Ok(()),
        ViewAct::Landlock(..) => Profile::Landlock,
        ViewAct::Bubblewrap => Profile::Namespaces,
    };
    if seccomp::is_available() { seccomp::apply(profile) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The items of the list below a heading of the [crate documentation](crate), with their own words only.
    fn documented(heading: &str) -> Vec<String> {
        let text = include_str!("../lib.rs");
        let list = text.split_once(heading).unwrap().1.split("//! ## ").next().unwrap();
        let words = list.replace("//!", "").split_whitespace().collect::<Vec<_>>().join(" ");
        let item = |number: usize| Some(words.split_once(&format!(" {number}. "))?.1.to_owned());
        (1..).map_while(item).collect()
    }

    #[test]
    fn the_acts_are_the_documented_ones_in_the_documented_order() {
        let documented = documented("## What the child does to itself, in this order");
        // The last is the exec.
        assert_eq!(documented.len(), ORDER.len() + 1);
        for ((words, _, _), item) in ORDER.iter().zip(&documented) {
            assert!(item.starts_with(words), "the documentation says: {}", item.chars().take(60).collect::<String>());
        }
    }
}
