//! Starting the main child: the command, the fork, and what one hears of it until the program runs.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::fs::{Mode, OFlags};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{getpid, getuid};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use super::acts::{Acts, ViewAct};
use super::inherited::Share;
use super::order::Order;
use super::{Failure, GUARDIAN_VARIABLE, failed};
use crate::bubblewrap::{self, Place, What};
use crate::confinement::{Bubblewrap, Confinement, Folders, Resources, View};
use crate::descriptors::in_memory;
use crate::environment;
use crate::identity::ProcessId;
use crate::reports::{EXECUTE, Report, VIEW};
use crate::stage;

/// How much the child may say about why it did not start, in bytes.
const MOST_WORDS: u64 = 16 * 1024;

/// The process that was forked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Main {
    pub(super) id: ProcessId,
    /// Whether it is bubblewrap's outer process, which holds the tree in a PID namespace, and not the program itself.
    pub(super) is_wrapper: bool,
}

/// What the stage will say, if there is one.
pub(super) struct Words(pipe::Receiver);

/// Forks. What is returned without [`Words`] runs the program already, or was killed on its way there: nothing tells the two
/// apart, and the second is then the end of the first.
///
/// Afterwards the guardian has nothing open of what the share held.
pub(super) fn fork(order: &Order, share: Share) -> Result<(Main, Option<Words>), Failure> {
    let (words, report) = pipe_with(PipeFlags::CLOEXEC).map_err(failed("no pipe"))?;
    let Share { directory, cwd, environment, secret, confinement } = share;
    let Confinement { view, resources, cgroup } = confinement;
    let secret_variable = order.secret_variable.as_ref().zip(secret.as_ref().map(AsRawFd::as_raw_fd));
    let is_wrapper = matches!(view, View::Bubblewrap(_));
    // With bubblewrap the stage reads them.
    let variables = if is_wrapper {
        Vec::new()
    } else {
        environment::read(&environment).map_err(failed("cannot read the variables"))?
    };
    let mut kept: Vec<OwnedFd> = Vec::new();
    let (program, args, view) = match view {
        View::Host => (order.program.clone(), order.args.clone(), ViewAct::Host(directory)),
        View::Landlock(folders) => (order.program.clone(), order.args.clone(), ViewAct::Landlock(directory, folders)),
        View::Bubblewrap(Bubblewrap { program, folders }) => {
            let outside = Outside { directory: &directory, report: report.as_raw_fd(), secret: secret.as_ref() };
            let args =
                wrapped(order, folders, &cwd, environment, &outside, &resources, &mut kept).map_err(failed(VIEW))?;
            (program.into_os_string(), args, ViewAct::Bubblewrap)
        }
    };
    #[expect(clippy::disallowed_methods, reason = "this is where processes start")]
    let mut command = Command::new(&program);
    command.args(&args).env_remove(GUARDIAN_VARIABLE).envs(variables).process_group(0);
    if let Some((variable, number)) = secret_variable {
        command.env(variable, number.to_string());
    }
    kept.extend(secret);
    let acts = Acts { guardian: getpid(), cgroup, resources, view, report, kept };
    #[expect(unsafe_code, reason = "most of the acts can be done in the child only")]
    // SAFETY: the guardian has one thread, so that no lock can be held by another at the fork: whatever an ordinary
    // program may do, the closure may.
    unsafe {
        command.pre_exec(move || acts.perform());
    }
    let spawned = command.spawn();
    // With it go the descriptors, and our end of the report pipe.
    drop(command);
    let child = match spawned {
        Ok(child) => child,
        Err(error) => return Err(said(fs::File::from(words), &program, is_wrapper, error)),
    };
    // It is ours to reap, so its entry is there even if it has ended already.
    let start = ProcessId::of(child.id()).map_or(0, |id| id.start);
    let main = Main { id: ProcessId { pid: child.id(), start }, is_wrapper };
    let words =
        if is_wrapper { Some(Words(pipe::Receiver::from_owned_fd(words).map_err(failed(VIEW))?)) } else { None };
    Ok((main, words))
}

/// What kept a child from its exec: its own words, or else the exec's.
fn said(words: fs::File, program: &OsString, is_wrapper: bool, error: io::Error) -> Failure {
    let text = io::read_to_string(io::Read::take(words, MOST_WORDS)).unwrap_or_default();
    match verdict(&text) {
        Some(Err(failure)) => failure,
        _ if is_wrapper => {
            let program = Path::new(program).display();
            Failure::of(&format!("{VIEW}: cannot execute bubblewrap (`{program}`)"), &error)
        }
        _ => failed(EXECUTE)(error),
    }
}

impl Words {
    /// Waits until the program runs inside of its view, or will not. Without any word it is bubblewrap that has failed,
    /// and it has said why on its standard error. Cancel-safe only in that nothing is to be asked again.
    pub(super) async fn heard(self) -> Result<(), Failure> {
        let mut text = String::new();
        let read = self.0.take(MOST_WORDS).read_to_string(&mut text).await;
        read.map_err(failed(VIEW))?;
        verdict(&text).unwrap_or_else(|| Err(Failure { errno: 0, text: format!("{VIEW}: bubblewrap has failed") }))
    }
}

/// What the words mean; a failure is the last of them.
fn verdict(text: &str) -> Option<Result<(), Failure>> {
    match Report::parse(text.lines().last()?)? {
        Report::Entered => Some(Ok(())),
        Report::Failed { errno, text } => Some(Err(Failure { errno, text })),
        _ => None,
    }
}

/// What comes from outside of the view.
struct Outside<'a> {
    directory: &'a OwnedFd,
    report: RawFd,
    secret: Option<&'a OwnedFd>,
}

/// The arguments for bubblewrap: the view, and then our own executable as the stage. What they say stands in memory, since
/// the run, and every user of the machine, can read the command line.
fn wrapped(
    order: &Order,
    folders: Folders,
    cwd: &Path,
    environment: OwnedFd,
    outside: &Outside<'_>,
    resources: &Resources,
    kept: &mut Vec<OwnedFd>,
) -> io::Result<Vec<OsString>> {
    let mut keep = |descriptor: OwnedFd| {
        let number = descriptor.as_raw_fd();
        kept.push(descriptor);
        number
    };
    // By a descriptor: so it needs no path inside, and is this very version.
    let own = keep(rustix::fs::open("/proc/self/exe", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?);
    let mut places = bubblewrap::masks(&folders.hidden)?;
    for path in bubblewrap::temporary_places() {
        // A copy for each: bubblewrap closes what it has bound.
        places.push(Place { path, what: What::Temporary(keep(fcntl_dupfd_cloexec(&folders.temporary, 3)?)) });
    }
    let mut let_in = Vec::new();
    for bind in folders.binds {
        let_in.push((bind.path.clone(), stage::FileId::of(&bind.descriptor)?));
        places.push(Place { path: bind.path, what: What::Bind(bind.access, keep(bind.descriptor)) });
    }
    let entry = stage::Entry {
        report: outside.report,
        secret: outside.secret.map(AsRawFd::as_raw_fd),
        environment: keep(environment),
        processes: resources.processes,
        directory: stage::FileId::of(outside.directory)?,
        places: let_in,
        outside: stage::namespaces()?,
    };
    let entry = keep(in_memory("stage", &serde_json::to_vec(&entry)?)?);
    let view = bubblewrap::arguments(places, cwd, getuid().is_root())?;
    let view = keep(in_memory("view", &view)?);
    let words =
        ["--args", &view.to_string(), "--", &format!("/proc/self/fd/{own}"), stage::SUBCOMMAND, &entry.to_string()];
    let words = words.into_iter().map(OsString::from);
    Ok(words.chain([order.program.clone()]).chain(order.args.iter().cloned()).collect())
}
