//! What a guardian is given over a socket: its descriptors, and what its child may see and use up.
//!
//! They come as a message through a socket that is the guardian's standard input at first. So the server starts it
//! without any code between fork and exec, and the standard library uses `posix_spawn`, whose cost does not grow with the
//! server's memory (a fork copies the page tables: 8 ms for 500 MB). It also rules out that a descriptor is inherited by
//! accident, and mapping them to fixed numbers, which could overwrite the pipe that reports a failed exec. And the paths
//! of the view stand in no command line, which every user of the machine could read: not here, nor further on.

mod letter;

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

use self::letter::Letter;
use crate::confinement::Confinement;
use crate::descriptors::close_strays;

/// How many descriptors there are at most: as many as the kernel lets travel with one message.
const MOST: usize = 253;
/// How long the letter may be, in bytes: it waits in the socket's buffer before anybody reads.
const LONGEST_LETTER: usize = 64 * 1024;

/// What a guardian is given.
pub(crate) struct Inherited {
    /// The main child's standard input.
    pub(crate) stdin: OwnedFd,
    /// Commands from the server; its end is the server's end.
    pub(crate) lifeline: OwnedFd,
    /// Reports to the server.
    pub(crate) status: OwnedFd,
    /// What is for the child.
    pub(crate) share: Share,
}

/// What the main child is given.
pub(crate) struct Share {
    /// The directory to run in.
    pub(crate) directory: OwnedFd,
    /// Where that is as the child sees it.
    pub(crate) cwd: PathBuf,
    /// Its variables, in a file in memory.
    pub(crate) environment: OwnedFd,
    /// The pipe to hand on.
    pub(crate) secret: Option<OwnedFd>,
    /// What it may see, reach and use up.
    pub(crate) confinement: Confinement,
}

impl Inherited {
    /// Puts everything into a socket, and returns its other end: the standard input to start a guardian with.
    pub(crate) fn send(self) -> io::Result<OwnedFd> {
        let (near, far) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        let Self { stdin, lifeline, status, share } = self;
        let (letter, enclosed) = Letter::write(share);
        let letter = serde_json::to_vec(&letter)?;
        let all: Vec<BorrowedFd<'_>> =
            [&stdin, &lifeline, &status].into_iter().chain(&enclosed).map(AsFd::as_fd).collect();
        if letter.len() > LONGEST_LETTER || all.len() > MOST {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many folders are hidden or let in"));
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut message = SendAncillaryBuffer::new(&mut space);
        if !message.push(SendAncillaryMessage::ScmRights(&all)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // Nobody reads yet: what does not fit must be an error, and not a wait for ever.
        match sendmsg(&near, &[IoSlice::new(&letter)], &mut message, SendFlags::DONTWAIT) {
            Ok(sent) if sent == letter.len() => Ok(far),
            Ok(_) => Err(io::ErrorKind::WriteZero.into()),
            // The kernel counts them for each user, against the limit of whoever sends the next one.
            Err(Errno::TOOMANYREFS) => Err(io::Error::other(
                "too many descriptors of this user are on their way through sockets; a run may hold them there: end it, or \
                 raise the limit of open files, `ulimit -n`",
            )),
            Err(error) => Err(error.into()),
        }
    }

    /// Closes every descriptor above 2, so that the guardian keeps nobody's socket or pipe open, and takes what waits at
    /// the standard input.
    ///
    /// To be called once, before anything else has opened a descriptor.
    pub(super) fn receive() -> io::Result<Self> {
        close_strays()?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut letter = vec![0; LONGEST_LETTER];
        let mut length = 0;
        let mut received = Vec::new();
        // The server has closed its end, so that the end of the letter is the end of the stream.
        while length < letter.len() {
            let mut message = RecvAncillaryBuffer::new(&mut space);
            let mut room = [IoSliceMut::new(&mut letter[length..])];
            let arrived = recvmsg(io::stdin(), &mut room, &mut message, RecvFlags::CMSG_CLOEXEC)?;
            if arrived.flags.contains(ReturnFlags::CTRUNC) {
                return Err(io::Error::other("not all of them arrived: raise the limit of open files, `ulimit -n`"));
            }
            let count = arrived.bytes;
            for part in message.drain() {
                if let RecvAncillaryMessage::ScmRights(descriptors) = part {
                    received.extend(descriptors);
                }
            }
            if count == 0 {
                break;
            }
            length += count;
        }
        let letter: Letter = serde_json::from_slice(&letter[..length])?;
        let mut enclosed = received.into_iter();
        let mut next = || enclosed.next().ok_or(io::ErrorKind::UnexpectedEof);
        let (stdin, lifeline, status) = (next()?, next()?, next()?);
        let share = letter.read(&mut enclosed).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(Self { stdin, lifeline, status, share })
    }
}
