//! What only system calls can try, for a child that is to find out how far it is confined.
//!
//! Each function does to its own process, or to one that it forks, what an attacker would do, and undoes it. They are for
//! the probe of the server and for tests.

#![expect(unsafe_code, reason = "forking and tracing have no safe form")]

use std::io;

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, waitpid};

/// Whether a process may be forked.
///
/// To be called in a process with one thread.
pub fn fork() -> io::Result<()> {
    in_child(|| 0)
}

/// Whether user, mount and PID namespaces with a `/proc` of their own may be made inside of what confines this process,
/// as the CLI's own sandbox does.
///
/// To be called in a process with one thread.
pub fn namespaces() -> io::Result<()> {
    in_child(|| {
        // SAFETY: `unshare` takes no pointers; it changes the forked child alone, which ends right after it.
        if unsafe { libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWPID) } != 0 {
            return errno();
        }
        // The first process of the new PID namespace is the next child.
        in_child(own_proc).map_or_else(|error| error.raw_os_error().unwrap_or(libc::EIO), |()| 0)
    })
}

/// Mounts a `/proc` of the new namespaces over the old one. What covers parts of that forbids it.
fn own_proc() -> i32 {
    let (proc, folder) = (c"proc".as_ptr(), c"/proc".as_ptr());
    // SAFETY: the strings end in zeros and live for ever. The mount namespace is this process's own, made by a user
    // namespace with fewer rights, so that no mount in it spreads to where it came from.
    if unsafe { libc::mount(proc, folder, proc, 0, std::ptr::null()) } == 0 { 0 } else { errno() }
}

/// Whether a process may be traced. It is let go at once.
pub fn trace(pid: u32) -> io::Result<()> {
    let pid = i32::try_from(pid).map_err(|_| io::ErrorKind::InvalidInput)?;
    let nothing = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: neither request reads or writes memory through its pointers; both are null.
    let seized = unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, nothing, nothing) };
    if seized != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: as above. A tracee that is not stopped cannot be detached; then it is let go when this process ends.
    unsafe { libc::ptrace(libc::PTRACE_DETACH, pid, nothing, nothing) };
    Ok(())
}

/// Runs `act` in a forked child; what it returns is the error number, 0 for none.
fn in_child(act: impl FnOnce() -> i32) -> io::Result<()> {
    // SAFETY: the caller has one thread, so nothing is locked in the child; it makes system calls and ends by `_exit`.
    let child = match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        // SAFETY: `_exit` ends the child without running anything of the parent's.
        0 => unsafe { libc::_exit(act()) },
        child => child,
    };
    let child = Pid::from_raw(child).ok_or(io::ErrorKind::InvalidData)?;
    let status = loop {
        match waitpid(Some(child), WaitOptions::empty()) {
            Err(Errno::INTR) => {}
            ended => break ended?,
        }
    };
    match status.and_then(|(_, status)| status.exit_status()) {
        Some(0) => Ok(()),
        Some(errno) => Err(io::Error::from_raw_os_error(errno)),
        None => Err(io::Error::other("the forked process was killed")),
    }
}

fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}
