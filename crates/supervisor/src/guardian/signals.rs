//! The signals that ask a process to end, and to which neither a guardian nor bubblewrap listens.
//!
//! Only the lifeline decides about the tree. A service manager that signals a whole control group would otherwise end
//! every run at once, while the server lets them finish; and if the server ends, the lifeline ends. Signals that cannot be
//! caught are covered by the death signal of the child and by the server's sweep.

use std::io;

use tokio::signal::unix::{Signal as Arrivals, SignalKind, signal};

const DEAF_TO: [libc::c_int; 7] =
    [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGUSR1, libc::SIGUSR2, libc::SIGALRM];

/// Receives them, and does not obey, for as long as what is returned is kept.
///
/// For the guardian: a handled signal has its default effect again in the child, and an ignored one stays ignored.
pub(super) fn catch() -> io::Result<Vec<Arrivals>> {
    DEAF_TO.into_iter().map(|number| signal(SignalKind::from_raw(number))).collect()
}

/// Ignores them, and so does whatever is executed: for bubblewrap.
pub(super) fn ignore() -> io::Result<()> {
    dispose(libc::SIG_IGN)
}

/// Undoes [`ignore`], for the program.
pub(crate) fn hear_again() -> io::Result<()> {
    dispose(libc::SIG_DFL)
}

fn dispose(what: libc::sighandler_t) -> io::Result<()> {
    for number in DEAF_TO {
        #[expect(unsafe_code, reason = "nothing safe does it")]
        // SAFETY: it names no function of ours: it is one of the two dispositions without any.
        let before = unsafe { libc::signal(number, what) };
        if before == libc::SIG_ERR {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
