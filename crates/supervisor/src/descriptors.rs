//! Which descriptors a program gets.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, RawFd};

use rustix::io::{FdFlags, fcntl_setfd};

/// Makes every descriptor above 2 close at the next `exec`, but those that are `kept`.
///
/// For a process with one thread that is about to execute something: descriptors that belong to nobody are marked too.
pub(crate) fn keep_only(kept: &[BorrowedFd<'_>]) -> io::Result<()> {
    if !mark_range() {
        mark_listed()?;
    }
    for descriptor in kept {
        fcntl_setfd(descriptor, FdFlags::empty())?;
    }
    Ok(())
}

/// All at once; `false` where the kernel, or a filter around this process, does not know the call.
fn mark_range() -> bool {
    let (first, last): (libc::c_uint, libc::c_uint) = (3, libc::c_uint::MAX);
    #[expect(unsafe_code, reason = "neither the standard library nor rustix has this call")]
    // SAFETY: it takes three numbers and no memory, and it closes nothing: with this flag it only marks.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, libc::CLOSE_RANGE_CLOEXEC) };
    result == 0
}

fn mark_listed() -> io::Result<()> {
    for descriptor in listed()? {
        #[expect(unsafe_code, reason = "an inherited descriptor has a number and no owner")]
        // SAFETY: it was listed as open, this process has one thread, and the borrow ends with this statement. The
        // listing's own descriptor is closed by now: then the call fails, and nothing happens.
        let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
        match fcntl_setfd(descriptor.as_fd(), FdFlags::CLOEXEC) {
            Ok(()) | Err(rustix::io::Errno::BADF) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
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
