//! The descriptors that a guardian is given.
//!
//! They come as a message through a socket that is the guardian's standard input at first. So the server starts it
//! without any code between fork and exec, and the standard library uses `posix_spawn`, whose cost does not grow with the
//! server's memory (a fork copies the page tables: 8 ms for 500 MB). It also rules out that a descriptor is inherited by
//! accident, and mapping them to fixed numbers, which could overwrite the pipe that reports a failed exec.

use std::fs;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

/// How many there are at most.
const MOST: usize = 5;

/// What a guardian is given.
pub(crate) struct Inherited {
    /// The main child's standard input.
    pub(crate) stdin: OwnedFd,
    /// Commands from the server; its end is the server's end.
    pub(crate) lifeline: OwnedFd,
    /// Reports to the server.
    pub(crate) status: OwnedFd,
    /// The directory to run in.
    pub(crate) directory: OwnedFd,
    /// The pipe to hand on to the main child.
    pub(crate) secret: Option<OwnedFd>,
}

impl Inherited {
    /// Puts everything into a socket, and returns its other end: the standard input to start a guardian with.
    pub(crate) fn send(self) -> io::Result<OwnedFd> {
        let (near, far) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        let Self { stdin, lifeline, status, directory, secret } = &self;
        let all: Vec<BorrowedFd<'_>> =
            [stdin, lifeline, status, directory].into_iter().chain(secret).map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut message = SendAncillaryBuffer::new(&mut space);
        if !message.push(SendAncillaryMessage::ScmRights(&all)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // Descriptors travel with at least one byte.
        sendmsg(&near, &[IoSlice::new(b".")], &mut message, SendFlags::empty())?;
        Ok(far)
    }

    /// Closes every descriptor above 2, so that the guardian keeps nobody's socket or pipe open, and takes what waits at
    /// the standard input.
    ///
    /// To be called once, before anything else has opened a descriptor.
    pub(super) fn receive() -> io::Result<Self> {
        close_strays()?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut message = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        recvmsg(io::stdin(), &mut [IoSliceMut::new(&mut byte)], &mut message, RecvFlags::CMSG_CLOEXEC)?;
        let mut received = Vec::new();
        for part in message.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = part {
                received.extend(descriptors);
            }
        }
        let mut next = received.into_iter();
        let mut required = || next.next().ok_or(io::ErrorKind::UnexpectedEof);
        Ok(Self {
            stdin: required()?,
            lifeline: required()?,
            status: required()?,
            directory: required()?,
            secret: next.next(),
        })
    }
}

fn close_strays() -> io::Result<()> {
    let mut listed: Vec<RawFd> = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        listed.extend(entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok()));
    }
    // The listing's own descriptor was listed too, and is closed by now.
    listed.retain(|fd| *fd > 2 && fs::read_link(format!("/proc/self/fd/{fd}")).is_ok());
    for stray in listed {
        #[expect(unsafe_code, reason = "an inherited descriptor has a number and no owner")]
        // SAFETY: it was open a moment ago, this process has one thread, and nothing of it has opened a descriptor that
        // is still open: so it was inherited, and nobody else owns it.
        drop(unsafe { OwnedFd::from_raw_fd(stray) });
    }
    Ok(())
}
