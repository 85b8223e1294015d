//! Runs a child process so that no process outlives its run.
//!
//! The crate knows nothing of what the children are.
//!
//! # A child and its guardian
//!
//! A child is never started directly. [`spawn::spawn`] starts the server's own executable with the hidden subcommand
//! [`guardian::SUBCOMMAND`]; its `main` hands over to [`guardian::main`], and that process starts the child and stays.
//! It is handed its pipes over a socket. Two of them are its own: the *lifeline*, over which the server gives commands and whose end means that the server has
//! died or lost interest, and the *status* pipe, over which it reports.
//!
//! What the guardian does, in this order:
//!
//! 1. closes every descriptor above 2, and takes the pipes and the directory that wait in the socket at its stdin;
//! 2. becomes a subreaper: orphaned descendants become its children, however they daemonise;
//! 3. starts a session of its own, so that no terminal reaches the tree;
//! 4. gives up new privileges (`no_new_privs`), sets the umask to 077, forbids core dumps, enters the directory;
//! 5. catches the signals that ask a process to end, and does not obey them: the lifeline alone decides;
//! 6. forks; the child leads a process group of its own, is killed if the guardian dies (`PDEATHSIG`, and a check that it
//!    has not died already), has default signal dispositions, an empty signal mask, and of descriptors above 2 only the
//!    pipe with the secret, if there is one; then it executes the program;
//! 7. reports `started PID STARTTIME`, or `failed ERRNO TEXT` and ends;
//! 8. points its own stdin, stdout and stderr at the null device, so that the ends of those pipes are the tree's ends;
//! 9. waits. Command `T`: SIGTERM to every descendant. Command `K`, or the end of the lifeline: kill the tree;
//! 10. reports `exited CODE` or `signalled N` when the main child ends. Are there descendants left, it reports
//!     `leftover N`, sends them SIGTERM, waits for the leftover grace, and then kills the tree;
//! 11. kills in rounds, stopping everything before killing it, until it has no child left. For a subreaper that means
//!     that there is no descendant left either;
//! 12. reports `gone`, or `leaked N` if the kill grace passed before, and ends.
//!
//! # When something dies that should not
//!
//! * The server: the lifeline ends, the guardians kill their trees. [`leftovers::sweep`] at the next start does the same
//!   for whatever they missed, by [records](records::RunRecord) and by [marker](identity::Marker).
//! * A guardian: the kernel kills the main child, the task that watches the guardian kills the rest, by marker and, after
//!   [`orphans::become_subreaper`], as new children of the server.
//! * The task that holds a [`process::Process`]: dropping that closes the lifeline.
//!
//! # Use
//!
//! One task owns a child: it reads [`Lines`](output::Lines), writes [`Stdin`](input::Stdin), keeps
//! [`Deadlines`](deadlines::Deadlines), and in the end calls [`Process::stop`](process::Process::stop). Others hold at most an
//! [`Escalator`](process::Escalator).

pub mod deadlines;
pub mod guardian;
pub mod identity;
pub mod input;
pub mod ladder;
pub mod leftovers;
pub mod lines;
pub mod orphans;
pub mod output;
pub mod process;
pub mod records;
pub mod spawn;
pub mod stderr_tail;

mod procfs;
mod reports;
mod tree;
