//! Which descriptors a process keeps, and which a program gets.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::fs::MemfdFlags;
use rustix::io::{Errno, FdFlags, fcntl_getfd, fcntl_setfd, pwrite};

/// Makes every descriptor above 2 close at the next `exec`, but those that are `kept`.
///
/// For a process with one thread that is about to execute something: descriptors that belong to nobody are marked too.
pub(crate) fn keep_only(kept: &[BorrowedFd<'_>]) -> io::Result<()> {
    if !close_range(libc::CLOSE_RANGE_CLOEXEC) {
        for number in listed()? {
            #[expect(unsafe_code, reason = "an inherited descriptor has a number and no owner")]
            // SAFETY: it was listed as open, this process has one thread, and the borrow ends with this statement. The
            // listing's own descriptor is closed by now: then the call fails, and nothing happens.
            let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
            match fcntl_setfd(descriptor.as_fd(), FdFlags::CLOEXEC) {
                Ok(()) | Err(Errno::BADF) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    for descriptor in kept {
        fcntl_setfd(descriptor, FdFlags::empty())?;
    }
    Ok(())
}

/// Closes every descriptor above 2: strays that a careless server let through.
///
/// For a process that has only just begun: it has one thread, and has not opened anything that it still owns.
pub(crate) fn close_strays() -> io::Result<()> {
    if close_range(0) {
        return Ok(());
    }
    for number in listed()? {
        #[expect(unsafe_code, reason = "an inherited descriptor has a number and no owner")]
        // SAFETY: as above. It is used for one question: the listing's own descriptor is closed by now.
        let is_open = fcntl_getfd(unsafe { BorrowedFd::borrow_raw(number) }).is_ok();
        if is_open {
            #[expect(unsafe_code, reason = "an inherited descriptor has a number and no owner")]
            // SAFETY: this process has one thread, and nothing of it has opened a descriptor that is still open: so it
            // was inherited, and nobody else owns it.
            drop(unsafe { OwnedFd::from_raw_fd(number) });
        }
    }
    Ok(())
}

/// A descriptor that this process was given by its number.
///
/// `None` for the three standard ones, and for what is not open. To be called once for each number, by a process that has
/// only just begun: nobody else owns it.
pub(crate) fn inherited(number: RawFd) -> Option<OwnedFd> {
    if number <= 2 {
        return None;
    }
    #[expect(unsafe_code, reason = "an inherited descriptor has a number and no owner")]
    // SAFETY: it is used for one question, whether it is open.
    fcntl_getfd(unsafe { BorrowedFd::borrow_raw(number) }).ok()?;
    #[expect(unsafe_code, reason = "an inherited descriptor has a number and no owner")]
    // SAFETY: it is open, and whoever started this process meant it for the caller alone.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}

/// A file in memory, to be read from its beginning: for words that are too many, or too private, for a command line.
pub(crate) fn in_memory(name: &str, content: &[u8]) -> io::Result<OwnedFd> {
    let file = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC)?;
    // Not `write`, which would leave the position behind what is to be read.
    match pwrite(&file, content, 0)? {
        written if written == content.len() => Ok(file),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}

/// Everything above 2 at once; `false` where the kernel, or a filter around this process, does not know the call.
fn close_range(flags: libc::c_uint) -> bool {
    let (first, last): (libc::c_uint, libc::c_uint) = (3, libc::c_uint::MAX);
    #[expect(unsafe_code, reason = "neither the standard library nor rustix has this call")]
    // SAFETY: it takes three numbers and no memory. What it closes belongs to nobody: that is the callers' promise, and
    // this module's alone to give.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    result == 0
}

/// The numbers above 2 that are open, and that of the listing itself.
fn listed() -> io::Result<Vec<RawFd>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        numbers.extend(entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok()));
    }
    numbers.retain(|number| *number > 2);
    Ok(numbers)
}
