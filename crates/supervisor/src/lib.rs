//! Runs a child process so that no process outlives its run.
//!
//! The crate knows nothing of what the children are.
//!
//! # A child and its guardian
//!
//! A child is never started directly. [`spawn::spawn`] starts the server's own executable with the hidden subcommand
//! [`guardian::SUBCOMMAND`]; its `main` begins with [`hidden_main`], and that process starts the child and stays.
//! It is handed its pipes over a socket. Two of them are its own: the *lifeline*, over which the server gives commands and
//! whose end means that the server has died or lost interest, and the *status* pipe, over which it reports.
//!
//! The child's variables come in a file in memory. Whatever starts the program, the guardian, bubblewrap and the stage, has
//! none of them in its own environment, which holds the marker and little else: so no variable of a child can steer what
//! watches over it.
//!
//! ## What the guardian does, in this order
//!
//! 1. closes every descriptor above 2, and takes what waits in the socket at its stdin;
//! 2. becomes a subreaper: orphaned descendants become its children, however they daemonise;
//! 3. starts a session of its own, so that no terminal reaches the tree; leaves the server's directory; forbids its own
//!    core dumps;
//! 4. catches the signals that ask a process to end, and does not obey them: the lifeline alone decides;
//! 5. forks the child, which acts as below; waits until the program runs; closes what it held of the run's folders;
//! 6. reports `started PID STARTTIME`; or, if the program does not run in time, kills what it has started, reports
//!    `leaked N` if that did not succeed within the kill grace, and `failed ERRNO TEXT`, and ends;
//! 7. points its own stdin, stdout and stderr at the null device, so that the ends of those pipes are the tree's ends;
//! 8. waits. Command `T`: SIGTERM to every descendant. Command `K`, or the end of the lifeline: kill the tree;
//! 9. reports `exited CODE` or `signalled N` when the main child ends. Are there descendants left, it reports
//!    `leftover N`, sends them SIGTERM, waits for the leftover grace, and then kills the tree;
//! 10. kills in rounds, stopping everything before killing it, until it has no child left. For a subreaper that means
//!     that there is no descendant left either;
//! 11. reports `gone`, or `leaked N` if the kill grace passed before, and ends.
//!
//! ## What the child does to itself, in this order
//!
//! It leads a process group of its own, has default signal dispositions and an empty signal mask. Then, and a failure of
//! any act but the last half of 6 means that the program never runs. The code begins each act with the words of this list,
//! and a test compares them:
//!
//! 1. enters the run's cgroup, if there is one, so that whatever follows is counted;
//! 2. checks its ids: real, effective and saved are the same, and root cannot be regained. The server has put down its
//!    privileges before; this is the proof;
//! 3. asks to be killed when the guardian dies (`PDEATHSIG`);
//! 4. checks that the guardian has not died already;
//! 5. gives up new privileges (`no_new_privs`), and the capabilities that would go on (the ambient ones);
//! 6. sets limits: no core dumps, open files ([fewer](open_files) than the server), file size, and without namespaces the
//!    backstop for tasks; and makes itself the kernel's first choice when memory runs out (500 more than the server). That
//!    is a default and no limit: a run may set its own score back to the server's (checked);
//! 7. sets the umask to 077;
//! 8. has every descriptor above 2 closed at the exec, except the pipe with the secret, and for bubblewrap what it binds,
//!    the stage's executable, what the two are told, and the way to report;
//! 9. without bubblewrap, enters the directory, by its descriptor;
//! 10. with Landlock, restricts itself ([`landlock::restrict`]);
//! 11. with bubblewrap, ignores the signals that the guardian catches: a service manager that signals everything must not
//!     end bubblewrap, which would take the tree along;
//! 12. in a view, filters its system calls ([`seccomp`]). With bubblewrap already here, so that its own processes are
//!     filtered: what is in the view may debug the first one, and have it call whatever is not refused there (checked);
//! 13. executes the program, or bubblewrap.
//!
//! bubblewrap makes the namespaces and the mounts, and then executes the *stage*: our own executable, by an open
//! descriptor, with the hidden subcommand `__enter`.
//!
//! ## What the stage does inside of bubblewrap's view, in this order
//!
//! 1. takes what it is told from a file in memory, and has its way to report closed at the exec;
//! 2. checks that all its namespaces differ from the guardian's, that the directory it is in is the one that was opened,
//!    and that what was let in lies where it should, with no link on the way;
//! 3. limits the tasks, its own and those of bubblewrap's first process, inside of the user namespace, where the kernel
//!    counts this run alone (not root's: nobody limits those but a cgroup);
//! 4. has the default dispositions of all signals again;
//! 5. has every descriptor above 2 closed at the exec, except the pipe with the secret. No directory's descriptor crosses
//!    into the view: from one, `fchdir` and `..` lead out of it (checked);
//! 6. reports that it has entered. If nobody hears it, the guardian is dead, and the program must not run;
//! 7. executes the program.
//!
//! ## With bubblewrap
//!
//! * The main child is bubblewrap's outer process. The program's end is its end, with the same code. A signal that ends
//!   the program is seen as the code 128 + N, as in a shell. If it is killed itself, that is a signal.
//! * SIGTERM means nothing to bubblewrap's own two processes, and reaches all others. A kill begins with the outer one: the
//!   PID namespace ends at once, whatever its processes do.
//! * No path of the view, and nothing of its limits, stands in a command line. The run finds the paths in its mounts.
//! * What the program leaves in the background ends with it, without a SIGTERM, and is not counted as left over.
//! * The three standard pipes are also open in bubblewrap's outer and first process; they end with the tree, not before.
//!
//! ## What a later version may rely on
//!
//! A guardian outlives a server that is replaced, and is of the older version then. So these stay:
//!
//! * the commands `T` and `K`, one byte each, other bytes being ignored, and the meaning of the lifeline's end;
//! * the lines of the status pipe, each a word and its numbers; unknown ones are to be skipped. `leaked` comes before
//!   `failed`, and after everything else;
//! * that the guardian, and nothing else, holds the status pipe's writing end: its end is the guardian's end;
//! * the variable of the [marker](identity::Marker) in the environment of the guardian and of the tree, and
//!   `SUPERVISOR_GUARDIAN=1` in the guardian's alone.
//!
//! Not so the command lines, the message in the socket and what the stage is told: both ends of those are one executable.
//!
//! # When something dies that should not
//!
//! * The server: the lifeline ends, the guardians kill their trees. [`leftovers::sweep`] at the next start does the same
//!   for whatever they missed, by [records](records::RunRecord) and by [marker](identity::Marker).
//! * The server and a guardian, both killed during a start: a bubblewrap that had not yet asked to die with its parent, or
//!   a stage that nobody listens to, may be left. The program does not run then, and the sweep at the next start ends them.
//! * A guardian: the kernel kills the main child, the task that watches the guardian kills the rest, by marker and, after
//!   [`orphans::become_subreaper`], as new children of the server.
//! * The task that holds a [`process::Process`]: dropping that closes the lifeline.
//!
//! # Use
//!
//! One task owns a child: it reads [`Lines`](output::Lines), writes [`Stdin`](input::Stdin), keeps
//! [`Deadlines`](deadlines::Deadlines), and in the end calls [`Process::stop`](process::Process::stop). Others hold at most an
//! [`Escalator`](process::Escalator).

pub mod attempts;
pub mod cgroup;
pub mod confinement;
pub mod deadlines;
pub mod guardian;
pub mod identity;
pub mod input;
pub mod ladder;
pub mod landlock;
pub mod leftovers;
pub mod lines;
pub mod open_files;
pub mod orphans;
pub mod output;
pub mod process;
pub mod records;
pub mod seccomp;
pub mod spawn;
pub mod stderr_tail;
pub mod usage;

mod bubblewrap;
mod descriptors;
mod environment;
mod procfs;
mod reports;
mod stage;
mod tree;

use std::ffi::OsString;
use std::process::ExitCode;

/// The hidden subcommands that a launcher answers to. `None`: the arguments are none of them.
///
/// `args` are the arguments after the program's name. To be called first thing in `main`, before any thread, runtime or
/// file: see [`guardian::main`].
pub fn hidden_main(mut args: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    match args.next()?.to_str()? {
        guardian::SUBCOMMAND => Some(guardian::main(args)),
        stage::SUBCOMMAND => Some(stage::main(args)),
        _ => None,
    }
}
