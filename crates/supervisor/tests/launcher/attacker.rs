//! What an attacker does, as far as a shell cannot.

use std::ffi::OsString;
use std::fs;
use std::io::{IoSlice, Write, stdout};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::process::ExitCode;

use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, sendmsg, socketpair,
};

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

/// `flood`: lets as many descriptors wait in sockets as it may, says how many those are, and waits for a line.
pub(crate) fn flood() -> ExitCode {
    /// How many travel with one message.
    const MOST: usize = 253;
    let file = fs::File::open("/dev/null").expect("a file");
    let (mut waiting, mut sockets) = (0, Vec::new());
    'full: loop {
        let flags = SocketFlags::NONBLOCK;
        let Ok(pair) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None) else { break };
        loop {
            let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
            let mut message = SendAncillaryBuffer::new(&mut space);
            let descriptors = [file.as_fd(); MOST];
            assert!(message.push(SendAncillaryMessage::ScmRights(&descriptors)));
            match sendmsg(&pair.0, &[IoSlice::new(b"x")], &mut message, SendFlags::empty()) {
                Ok(_) => waiting += MOST,
                // This socket holds no more.
                Err(rustix::io::Errno::AGAIN) => break,
                Err(_) => break 'full,
            }
        }
        sockets.push(pair);
    }
    let mut out = stdout();
    writeln!(out, "{waiting}").and_then(|()| out.flush()).expect("a reader");
    std::io::stdin().read_line(&mut String::new()).expect("a line");
    ExitCode::SUCCESS
}

/// `inject`: has the first process of this PID namespace call what a run may not, and says with what result, and what the
/// same call gives when made by itself.
#[cfg(target_arch = "x86_64")]
pub(crate) fn inject() -> ExitCode {
    /// `KEYCTL_GET_KEYRING_ID` of the user's keyring, which is there or not, but is not refused by the kernel itself.
    const ASK: [u64; 4] = [libc::SYS_keyctl.cast_unsigned(), 0, (-4_i64).cast_unsigned(), 1];
    #[expect(unsafe_code, reason = "only the kernel's own interface can do this")]
    // SAFETY: the other process alone is changed, and what is read from there goes to structures of the right size.
    let (own, injected) = unsafe {
        let own = libc::syscall(libc::SYS_keyctl, 0, -4_i64, 1);
        let own = if own < 0 { -i64::from(*libc::__errno_location()) } else { own };
        (own, inject_into_first(ASK))
    };
    let mut out = stdout();
    writeln!(out, "own {own}\ninjected {injected:?}").and_then(|()| out.flush()).expect("a reader");
    ExitCode::SUCCESS
}

#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn inject() -> ExitCode {
    ExitCode::from(2)
}

/// Makes a system call in process 1, as a debugger: `None` if that cannot be debugged.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "only the kernel's own interface can do this")]
unsafe fn inject_into_first([number, first, second, third]: [u64; 4]) -> Option<i64> {
    /// `syscall`
    const SYSCALL: i64 = 0x050f;
    let none = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: as the caller's.
    unsafe {
        let ask = |request: libc::c_uint, address: *mut libc::c_void, data: *mut libc::c_void| {
            libc::ptrace(request, 1, address, data)
        };
        let wait = || libc::waitpid(1, std::ptr::null_mut(), libc::__WALL);
        if ask(libc::PTRACE_SEIZE, none, none) != 0 {
            return None;
        }
        ask(libc::PTRACE_INTERRUPT, none, none);
        wait();
        let mut before: libc::user_regs_struct = std::mem::zeroed();
        ask(libc::PTRACE_GETREGS, none, (&raw mut before).cast());
        let here = before.rip as *mut libc::c_void;
        let word = ask(libc::PTRACE_PEEKTEXT, here, none);
        ask(libc::PTRACE_POKETEXT, here, ((word & !0xffff) | SYSCALL) as *mut libc::c_void);
        let mut during = before;
        during.orig_rax = u64::MAX;
        (during.rax, during.rdi, during.rsi, during.rdx, during.r10) = (number, first, second, third, 0);
        ask(libc::PTRACE_SETREGS, none, (&raw mut during).cast());
        ask(libc::PTRACE_SINGLESTEP, none, none);
        wait();
        ask(libc::PTRACE_GETREGS, none, (&raw mut during).cast());
        ask(libc::PTRACE_POKETEXT, here, word as *mut libc::c_void);
        ask(libc::PTRACE_SETREGS, none, (&raw mut before).cast());
        ask(libc::PTRACE_DETACH, none, none);
        Some(during.rax.cast_signed())
    }
}
