//! The guardian: a process of its own between the server and a child, that outlives the child's whole tree.
//!
//! The order of its acts is the contract in the [crate documentation](crate).

mod acts;
mod birth;
pub(crate) mod inherited;
pub(crate) mod order;
pub(crate) mod signals;
mod watch;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, chdir, getpid, set_child_subreaper, setsid};
use tokio::net::unix::pipe;
use tokio::signal::unix::{SignalKind, signal};

pub(crate) use self::acts::limit;
pub use self::order::SUBCOMMAND;

use self::inherited::{Inherited, Share};
use self::order::Order;
use self::watch::Watch;
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
    let Inherited { stdin, lifeline, status, share } = inherited;
    let mut status = Status(File::from(status));
    let outcome = prepare(stdin).and_then(|()| run(&order, lifeline, share, &mut status));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { errno, text }) => {
            status.report(&Report::Failed { errno, text });
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

/// What could not be done before the program ran.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The system's error number, 0 if there was none.
    pub(crate) errno: i32,
    /// What could not be done, and why.
    pub(crate) text: String,
}

impl Failure {
    /// `act` is what could not be done: "cannot …".
    fn of(act: &str, source: &io::Error) -> Self {
        Self { errno: source.raw_os_error().unwrap_or(0), text: format!("{act}: {source}") }
    }
}

/// `map_err(failed("cannot …"))`
pub(crate) fn failed<E: Into<io::Error>>(act: &'static str) -> impl FnOnce(E) -> Failure {
    move |source| Failure::of(act, &source.into())
}

fn run(order: &Order, lifeline: OwnedFd, share: Share, status: &mut Status) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed("no runtime"))?;
    runtime.block_on(async {
        let deaf = signals::catch().map_err(failed("cannot set up signals"))?;
        // Before the child exists, so that its end is not missed.
        let deaths = signal(SignalKind::child()).map_err(failed("cannot set up signals"))?;
        let lifeline = pipe::Receiver::from_owned_fd(lifeline).map_err(failed("cannot use the lifeline"))?;
        let (main, words) = birth::fork(order, share)?;
        let mut watch = Watch::new(main, deaths, lifeline, order, status);
        if let Some(words) = words {
            watch.until_entered(words.heard()).await?;
        }
        watch.report_start();
        // The pipes now belong to the child's tree alone: their ends mean what they say.
        release_standard_streams().map_err(failed("cannot release the pipes"))?;
        watch.until_gone().await;
        drop(deaf);
        Ok(())
    })
}

/// What the guardian does to itself.
fn prepare(stdin: OwnedFd) -> Result<(), Failure> {
    rustix::stdio::dup2_stdin(stdin).map_err(failed("cannot take the standard input"))?;
    set_child_subreaper(Some(getpid())).map_err(failed("cannot become a subreaper"))?;
    // A session of its own: no terminal, so neither ^C nor a hang-up reaches the tree.
    setsid().map_err(failed("cannot start a session"))?;
    // It outlives the run's folders, and must not keep one busy.
    chdir("/").map_err(failed("cannot leave the server's directory"))?;
    // The child's variables are in its memory, with whatever is secret there.
    limit(Resource::Core, Some(0)).map_err(failed("cannot switch off core dumps"))
}

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
