//! How many descriptors the server may have open, and its children.
//!
//! Descriptors that wait in sockets are counted for each *user*, and the kernel compares the count with the limit of whoever
//! sends the next one. A child that lets as many wait as its own limit allows would keep the server from sending any to a
//! guardian, if the server had no higher limit (checked).

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How many more the server may have than a child: what it sends to a guardian at once, twice over.
const AHEAD: u64 = 512;

/// Raises what this process may have open to the most that it is allowed; returns that. For a server, at its start.
pub fn raise() -> io::Result<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    }
    Ok(maximum.unwrap_or(u64::MAX))
}

/// What a child may have that is to have `wanted`. Without a wish, as many as keep the server ahead.
pub(crate) fn of_a_child(wanted: Option<u64>) -> u64 {
    of_a_child_of(getrlimit(Resource::Nofile).current, wanted)
}

fn of_a_child_of(own: Option<u64>, wanted: Option<u64>) -> u64 {
    let own = own.unwrap_or(u64::MAX);
    // With a very low limit, a child could not even start.
    wanted.unwrap_or(u64::MAX).min(own.saturating_sub(AHEAD).max(own / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_stays_ahead_of_its_children() {
        assert_eq!(of_a_child_of(Some(4096), Some(100)), 100);
        assert_eq!(of_a_child_of(Some(4096), Some(16_384)), 3584);
        assert_eq!(of_a_child_of(Some(4096), None), 3584);
        assert_eq!(of_a_child_of(Some(256), Some(16_384)), 128);
        assert_eq!(of_a_child_of(None, Some(16_384)), 16_384);
    }
}
