//! Unix sockets of the host.

use std::io::Read as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::Duration;

use crate::Outcome;

/// How long a socket may take to say something.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) fn connect(file: &str) -> Outcome {
    greeting(UnixStream::connect(file)?)
}

pub(crate) fn connect_abstract(name: &str) -> Outcome {
    greeting(UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?)?)
}

fn greeting(mut socket: UnixStream) -> Outcome {
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut text = String::new();
    socket.read_to_string(&mut text)?;
    Ok(text)
}
