//! The guardian: a process of its own between the server and a child, that outlives the child's whole tree.
//!
//! The order of its acts is the contract in the [crate documentation](crate).

pub(crate) mod inherited;
pub(crate) mod order;
mod watch;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use command_fds::CommandFdExt;
use rustix::fs::{Mode, OFlags};
use rustix::process::{
    Pid, Resource, Rlimit, Signal, fchdir, getpid, getppid, set_child_subreaper, set_parent_process_death_signal,
    setrlimit, setsid, umask,
};
use rustix::thread::set_no_new_privs;
use tokio::net::unix::pipe;
use tokio::signal::unix::{Signal as Arrivals, SignalKind, signal};

pub use self::order::SUBCOMMAND;

use self::inherited::Inherited;
use self::order::Order;
use self::watch::Watch;
use crate::identity::ProcessId;
use crate::reports::Report;

/// Set in the guardian's environment and not in its child's, so that a sweep can tell them apart.
pub(crate) const GUARDIAN_VARIABLE: &str = "SUPERVISOR_GUARDIAN";

/// The lifeline's command to send SIGTERM to every descendant.
pub(crate) const TERM: u8 = b'T';
/// The lifeline's command to kill the whole tree.
pub(crate) const KILL: u8 = b'K';

/// Runs a guardian to its end: the whole of the hidden subcommand [`SUBCOMMAND`].
///
/// `args` are the arguments after the subcommand. To be called first thing in `main`, before any thread, runtime or
/// file: it needs a process with one thread, and it closes every descriptor that it was not given on purpose.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let Some(order) = Order::parse(args) else {
        return refuse("it is started by the server, not by hand");
    };
    let inherited = match Inherited::receive() {
        Ok(inherited) => inherited,
        Err(error) => return refuse(&format!("the pipes from the server are missing ({error})")),
    };
    let Inherited { stdin, lifeline, status, directory, secret } = inherited;
    let mut status = Status(File::from(status));
    let outcome = restrict(stdin, directory).and_then(|()| run(&order, lifeline, secret, &mut status));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { act, source }) => {
            let errno = source.raw_os_error().unwrap_or(0);
            status.report(&Report::Failed { errno, text: format!("{act}: {source}") });
            ExitCode::FAILURE
        }
    }
}

/// The writing end of the status pipe.
struct Status(File);

impl Status {
    fn report(&mut self, report: &Report) {
        // Nobody listens any more when the server is dead; the work is the same.
        drop(self.0.write_all(format!("{report}\n").as_bytes()));
    }
}

/// What could not be done before the child ran.
struct Failure {
    act: &'static str,
    source: io::Error,
}

/// `map_err(failed("cannot …"))`
fn failed<E: Into<io::Error>>(act: &'static str) -> impl FnOnce(E) -> Failure {
    move |source| Failure { act, source: source.into() }
}

fn run(order: &Order, lifeline: OwnedFd, secret: Option<OwnedFd>, status: &mut Status) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed("no runtime"))?;
    runtime.block_on(async {
        let deaf = ignore_signals().map_err(failed("cannot set up signals"))?;
        // Before the child exists, so that its end is not missed.
        let deaths = signal(SignalKind::child()).map_err(failed("cannot set up signals"))?;
        let lifeline = pipe::Receiver::from_owned_fd(lifeline).map_err(failed("cannot use the lifeline"))?;
        let child = start(order, secret)?;
        status.report(&Report::Started(child));
        // The pipes now belong to the child's tree alone: their ends mean what they say.
        release_standard_streams().map_err(failed("cannot release the pipes"))?;
        Watch::new(child, deaths, lifeline, order, status).until_gone().await;
        drop(deaf);
        Ok(())
    })
}

/// What the guardian does to itself, and thereby to everything below it.
fn restrict(stdin: OwnedFd, directory: OwnedFd) -> Result<(), Failure> {
    rustix::stdio::dup2_stdin(stdin).map_err(failed("cannot take the standard input"))?;
    set_child_subreaper(Some(getpid())).map_err(failed("cannot become a subreaper"))?;
    // A session of its own: no terminal, so neither ^C nor a hang-up reaches the tree.
    setsid().map_err(failed("cannot start a session"))?;
    set_no_new_privs(true).map_err(failed("cannot give up new privileges"))?;
    umask(Mode::RWXG | Mode::RWXO);
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
        .map_err(failed("cannot switch off core dumps"))?;
    fchdir(directory).map_err(failed("cannot enter the working directory"))
}

/// Receives, and does not obey, what asks a process to end.
///
/// Only the lifeline decides about the tree. A service manager that signals a whole control group would otherwise end
/// every run at once, while the server lets them finish; and if the server ends, the lifeline ends. Signals that cannot
/// be caught are covered by the death signal of the child and by the server's sweep. They are handled rather than
/// ignored, because a handled signal has its default effect again in the child, and an ignored one stays ignored.
fn ignore_signals() -> io::Result<Vec<Arrivals>> {
    [
        SignalKind::hangup(),
        SignalKind::interrupt(),
        SignalKind::quit(),
        SignalKind::terminate(),
        SignalKind::user_defined1(),
        SignalKind::user_defined2(),
        SignalKind::alarm(),
    ]
    .into_iter()
    .map(signal)
    .collect()
}

/// Starts the main child.
fn start(order: &Order, secret: Option<OwnedFd>) -> Result<ProcessId, Failure> {
    let guardian = getpid();
    #[expect(clippy::disallowed_methods, reason = "this is where processes start")]
    let mut command = Command::new(&order.program);
    command.args(&order.args).env_remove(GUARDIAN_VARIABLE).process_group(0);
    if let (Some(variable), Some(secret)) = (&order.secret_variable, secret) {
        command.env(variable, secret.as_raw_fd().to_string());
        command.preserved_fds(vec![secret]);
    }
    #[expect(unsafe_code, reason = "the death signal can be asked for in the child only")]
    // SAFETY: the closure makes system calls only; it neither allocates nor takes a lock.
    unsafe {
        command.pre_exec(move || die_with(guardian));
    }
    let child = command.spawn().map_err(failed("cannot execute"))?;
    // It is ours to reap, so its entry is there even if it has ended already.
    let start = ProcessId::of(child.id()).map_or(0, |id| id.start);
    Ok(ProcessId { pid: child.id(), start })
}

/// In the child: to be killed when the guardian dies.
fn die_with(guardian: Pid) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have died before the request; then the signal never comes.
    if getppid() == Some(guardian) { Ok(()) } else { Err(io::Error::from_raw_os_error(ESRCH)) }
}

/// "No such process".
const ESRCH: i32 = 3;

fn release_standard_streams() -> io::Result<()> {
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}

fn refuse(why: &str) -> ExitCode {
    drop(writeln!(io::stderr(), "`{SUBCOMMAND}` is internal to the server: {why}"));
    ExitCode::from(2)
}
