//! What an attacker does, as far as a shell cannot.

use std::ffi::OsString;
use std::fs;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::process::ExitCode;

/// `climb FROM TO FILE`: for each descriptor with these numbers, goes to the directory that it is, from there to the
/// parent, and writes a file.
pub(crate) fn climb(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    let mut number = || args.next().and_then(|word| word.to_str()?.parse::<i32>().ok()).expect("a number");
    let (from, to) = (number(), number());
    let file = PathBuf::from(args.next().expect("a file"));
    let mut escaped = false;
    for number in from..=to {
        #[expect(unsafe_code, reason = "an inherited descriptor has a number and no owner")]
        // SAFETY: it is used for one call, which fails if there is no such descriptor.
        let directory = unsafe { BorrowedFd::borrow_raw(number) };
        let climbed = rustix::process::fchdir(directory).is_ok() && std::env::set_current_dir("..").is_ok();
        escaped |= climbed && fs::write(&file, "escaped").is_ok();
    }
    if escaped { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
