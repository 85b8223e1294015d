//! Starting a child, through its guardian.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use tokio::net::unix::pipe;
use tokio::process::Command;
use tokio::time::timeout;

use crate::confinement::{Confinement, View};
use crate::environment;
use crate::guardian::GUARDIAN_VARIABLE;
use crate::guardian::inherited::{Inherited, Share};
use crate::guardian::order::Order;
use crate::identity::Marker;
use crate::input::Stdin;
use crate::open_files;
use crate::orphans;
use crate::output::Lines;
use crate::process::{GUARDIAN_MARGIN, NotStarted, Process, Watched, Why};
use crate::reports::{EXECUTE, VIEW};
use crate::stderr_tail::StderrTail;

/// The longest secret: what a pipe holds, so that it can be written before anybody reads.
pub const MAX_SECRET_BYTES: usize = 64 * 1024;

/// How long the words of a bubblewrap, or of a guardian, that has failed may take to arrive.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What to say about a file that is not found in a view.
const HIDDEN: &str = "; it may be hidden from the run: then let its folder in (ASKD_READABLE_FOLDERS)";

/// What to start, and how.
pub struct Launch {
    /// The program whose `main` begins with [`hidden_main`](crate::hidden_main): usually this very executable.
    pub launcher: PathBuf,
    /// The program; without a slash it is looked up in the `PATH` of `env`.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its whole environment: nothing is inherited. What starts it gets nothing of it.
    pub env: Vec<(OsString, OsString)>,
    /// The directory it runs in.
    pub cwd: OwnedFd,
    /// That directory's path as the child sees it. With [`View::Bubblewrap`](crate::confinement::View) it must lie in a
    /// bind, the directory is entered by this path, and it is refused if that leads to another one by then.
    pub cwd_path: PathBuf,
    /// A secret to hand over through a pipe.
    pub secret: Option<Secret>,
    /// How the run's processes are recognised; goes into the environment.
    pub marker: Marker,
    /// What it may see, reach and use up.
    pub confinement: Confinement,
}

impl fmt::Debug for Launch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Arguments and environment may hold what belongs into no log.
        let Self { program, marker, .. } = self;
        out.debug_struct("Launch").field("program", program).field("marker", marker).finish_non_exhaustive()
    }
}

/// A secret that the child reads from an inherited pipe, up to its end.
#[derive(Debug)]
pub struct Secret {
    /// The environment variable that will hold the descriptor's number.
    pub fd_variable: String,
    /// The secret: at most [`MAX_SECRET_BYTES`].
    pub value: SecretString,
}

/// How much, and how long.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest line of output.
    pub max_line_bytes: usize,
    /// How much of standard error is kept.
    pub stderr_tail_bytes: usize,
    /// How long the child may take to read a line of input.
    pub write_timeout: Duration,
    /// How long it may take until the program runs: above all, until its view is made.
    pub start_timeout: Duration,
    /// The patience of the kill ladder.
    pub graces: Graces,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_line_bytes: 64 << 20,
            stderr_tail_bytes: 16 << 10,
            write_timeout: Duration::from_secs(30),
            start_timeout: Duration::from_secs(30),
            graces: Graces::default(),
        }
    }
}

/// How long each [`Rung`](crate::ladder::Rung) waits before the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Graces {
    /// After the soft stop, which is included.
    pub soft: Duration,
    /// After the end of input.
    pub eof: Duration,
    /// After SIGTERM.
    pub term: Duration,
    /// How long killing may take before what is left is reported as leaked.
    pub kill: Duration,
    /// How long descendants that outlive the main child may take to end after SIGTERM.
    pub leftover: Duration,
}

impl Default for Graces {
    fn default() -> Self {
        Self {
            soft: Duration::from_secs(5),
            eof: Duration::from_secs(5),
            term: Duration::from_secs(5),
            kill: Duration::from_secs(5),
            leftover: Duration::from_millis(500),
        }
    }
}

/// Why a child could not be started. Nothing is left running, except with [`Leaked`](Self::Leaked).
#[derive(Debug, Error)]
pub enum SpawnError {
    /// There is no such program.
    #[error(
        "cannot start `{program}`: there is no such file (or the interpreter it names is missing); install it or correct the path{hint}"
    )]
    NotFound {
        /// The program.
        program: PathBuf,
        /// What else may help where the program does not see what the server sees.
        hint: &'static str,
    },
    /// The program may not be executed.
    #[error(
        "cannot start `{program}`: it may not be executed; check its mode, its directories' modes and the mount options"
    )]
    NotExecutable {
        /// The program.
        program: PathBuf,
    },
    /// Arguments and environment exceed what the kernel takes.
    #[error(
        "cannot start `{program}`: its arguments and environment are too long together, or one of them is; pass long texts over standard input"
    )]
    TooLong {
        /// The program.
        program: PathBuf,
    },
    /// What the program was to see could not be made. It never ran.
    #[error("cannot start `{program}` in a view of its own: {text}")]
    View {
        /// The program.
        program: PathBuf,
        /// What could not be done, and why; with bubblewrap's own words.
        text: String,
    },
    /// What the program was to get could not be handed over to its guardian.
    #[error("cannot hand over what `{program}` is to get: {source}")]
    HandOver {
        /// The program.
        program: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Anything else that kept the program from starting.
    #[error("cannot start `{program}`: {text}")]
    Failed {
        /// The program.
        program: PathBuf,
        /// The system's error number, 0 if there was none.
        errno: i32,
        /// What could not be done, and why.
        text: String,
    },
    /// The guardian could not be started.
    #[error(
        "cannot start the launcher `{launcher}`: {source}; it must be this server's own executable, unchanged since the start"
    )]
    Launcher {
        /// The launcher.
        launcher: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The guardian ended without a report.
    #[error("the guardian of `{program}` ended before it could start it: {stderr}")]
    Guardian {
        /// The program.
        program: PathBuf,
        /// What the guardian had to say.
        stderr: String,
    },
    /// The guardian did not say in time how the start went, and has been killed.
    #[error("cannot start `{program}`: its guardian has taken longer than {patience:?}, and has been killed")]
    TooLate {
        /// The program.
        program: PathBuf,
        /// How long it was waited for.
        patience: Duration,
    },
    /// The start has failed, and some of its processes could not be killed. They may use what they were given for long.
    #[error("{error}; and {leaked} of its processes could not be killed")]
    Leaked {
        /// Why it has failed.
        error: Box<SpawnError>,
        /// How many are left.
        leaked: usize,
    },
    /// The secret does not fit.
    #[error("the secret for `{variable}` is {bytes} bytes long, and {MAX_SECRET_BYTES} is the most a pipe can hold")]
    SecretTooLong {
        /// The variable that names its descriptor.
        variable: String,
        /// Its length.
        bytes: usize,
    },
    /// No pipes.
    #[error("cannot make the pipes to the program: {0}; if too many files are open, raise the limit (ulimit -n)")]
    Pipes(#[from] io::Error),
}

/// A running child. Its parts are used separately, and usually by one task.
#[derive(Debug)]
pub struct Child {
    /// Its standard input.
    pub stdin: Stdin,
    /// Its standard output.
    pub lines: Lines,
    /// The end of its standard error.
    pub stderr: StderrTail,
    /// The child as a process, and its tree. Dropping this kills the tree.
    pub process: Process,
}

impl Child {
    /// The main child's pid.
    pub fn pid(&self) -> u32 {
        self.process.identity().child.pid
    }

    /// How to recognise the run's processes later.
    pub fn identity(&self) -> &crate::identity::Identity {
        self.process.identity()
    }
}

/// Starts a child, and returns when it runs. If the future is dropped before, whatever was started is killed.
pub async fn spawn(launch: Launch, limits: Limits) -> Result<Child, SpawnError> {
    let Launch { launcher, program, args, env, cwd, cwd_path, secret, marker, mut confinement } = launch;
    confinement.resources.open_files = Some(open_files::of_a_child(confinement.resources.open_files));
    let hint = if matches!(confinement.view, View::Host) { "" } else { HIDDEN };
    let (lifeline_read, lifeline) = close_on_exec_pipe()?;
    let (status, status_write) = close_on_exec_pipe()?;
    let status = pipe::Receiver::from_owned_fd(status)?;
    let (child_stdin, stdin) = close_on_exec_pipe()?;
    let stdin = pipe::Sender::from_owned_fd(stdin)?;
    let secret_variable = secret.as_ref().map(|secret| secret.fd_variable.clone());
    let secret = secret.map(|secret| secret_pipe(&secret)).transpose()?;
    let hand_over = |source| SpawnError::HandOver { program: program.clone(), source };
    let variables = env.iter().filter(|(name, _)| name != GUARDIAN_VARIABLE);
    let variables = variables.map(|(name, value)| (name.as_os_str(), value.as_os_str()));
    let marked = (marker.name.as_ref(), marker.value.as_ref());
    let environment = environment::write(variables.chain([marked])).map_err(hand_over)?;
    let share = Share { directory: cwd, cwd: cwd_path, environment, secret, confinement };
    let inherited = Inherited { stdin: child_stdin, lifeline: lifeline_read, status: status_write, share };
    let order = Order {
        secret_variable,
        start_timeout: limits.start_timeout,
        leftover_grace: limits.graces.leftover,
        kill_grace: limits.graces.kill,
        program: program.clone().into(),
        args,
    };
    #[expect(clippy::disallowed_methods, reason = "this is where guardians start, and nothing else does")]
    let mut command = Command::new(&launcher);
    command.args(order.to_args()).env_clear().env(marker.name, &marker.value).env(GUARDIAN_VARIABLE, "1");
    let handed_over = inherited.send().map_err(hand_over)?;
    command.stdin(handed_over).stdout(Stdio::piped()).stderr(Stdio::piped());

    let (mut guardian, registered) = match orphans::spawn_guardian(&mut command) {
        Ok(spawned) => spawned,
        Err(error) if error.raw_os_error() == Some(Errno::TOOBIG.raw_os_error()) => {
            return Err(SpawnError::TooLong { program });
        }
        Err(source) => return Err(SpawnError::Launcher { launcher, source }),
    };
    // The command owns our copy of the socket that holds the guardian's pipe ends; while it is open nobody would see an
    // end if the guardian died before it could take them.
    drop(command);
    let (Some(stdout), Some(stderr)) = (guardian.stdout.take(), guardian.stderr.take()) else {
        return Err(SpawnError::Pipes(io::ErrorKind::BrokenPipe.into()));
    };
    let stderr = StderrTail::drain(stderr, limits.stderr_tail_bytes);
    let watched = Watched { guardian, registered, status, marker, graces: limits.graces };
    // The guardian keeps the bound by itself, and then ends what it has started.
    let patience = limits.start_timeout + limits.graces.kill + GUARDIAN_MARGIN;
    let process = match Process::watch(watched, Arc::new(lifeline), patience).await {
        Ok(process) => process,
        Err(NotStarted { why, leaked }) => {
            let error = match why {
                Why::Reported { errno, text } => not_started(program, hint, errno, text, &stderr).await,
                Why::Silent => {
                    // Bounded: its words are on their way, since it has ended.
                    drop(timeout(LAST_WORDS, stderr.ended()).await);
                    SpawnError::Guardian { program, stderr: stderr.text().trim().to_owned() }
                }
                Why::TooLate => SpawnError::TooLate { program, patience },
            };
            return Err(if leaked == 0 { error } else { SpawnError::Leaked { error: Box::new(error), leaked } });
        }
    };
    Ok(Child {
        stdin: Stdin::new(stdin, limits.write_timeout),
        lines: Lines::new(stdout, limits.max_line_bytes),
        stderr,
        process,
    })
}

async fn not_started(
    program: PathBuf,
    hint: &'static str,
    errno: i32,
    mut text: String,
    stderr: &StderrTail,
) -> SpawnError {
    // The guardian's own difficulties come with other numbers, or with other words.
    match (errno != 0).then(|| Errno::from_raw_os_error(errno)) {
        Some(Errno::NOENT) if text.starts_with(EXECUTE) => SpawnError::NotFound { program, hint },
        Some(Errno::ACCESS) if text.starts_with(EXECUTE) => SpawnError::NotExecutable { program },
        Some(Errno::TOOBIG) => SpawnError::TooLong { program },
        _ if text.starts_with(VIEW) => {
            // Bounded: bubblewrap's own words are on their way, since it has ended.
            drop(timeout(LAST_WORDS, stderr.ended()).await);
            let words = stderr.text();
            if !words.trim().is_empty() {
                text = format!("{text}: {}", words.trim());
            }
            SpawnError::View { program, text }
        }
        _ => SpawnError::Failed { program, errno, text },
    }
}

/// A pipe that no other child can inherit: close-on-exec from its creation, since other tasks fork at any time, and a
/// copy of an end in a stranger's child would keep its end from ever being seen.
fn close_on_exec_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(pipe_with(PipeFlags::CLOEXEC)?)
}

/// The reading end of a pipe that holds the whole secret.
fn secret_pipe(secret: &Secret) -> Result<OwnedFd, SpawnError> {
    let value = secret.value.expose_secret().as_bytes();
    let too_long = || SpawnError::SecretTooLong { variable: secret.fd_variable.clone(), bytes: value.len() };
    if value.len() > MAX_SECRET_BYTES {
        return Err(too_long());
    }
    let (read, write) = close_on_exec_pipe()?;
    // Users with very many pipes get small ones. That must be an error here, and not a wait for ever.
    rustix::io::ioctl_fionbio(&write, true).map_err(io::Error::from)?;
    match rustix::io::write(&write, value) {
        Ok(written) if written == value.len() => Ok(read),
        Ok(_) | Err(Errno::AGAIN) => Err(too_long()),
        Err(error) => Err(SpawnError::Pipes(error.into())),
    }
}
