//! A connection to a place that may have several addresses, of which the first may lead nowhere: `localhost` where the server
//! has only IPv4, a name with an IPv6 address on a machine whose IPv6 ends at a firewall.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpStream, ToSocketAddrs, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};

/// Connects to the first address of these places that takes it, in their order. Each has an equal part of the time that is
/// left, so that one that swallows everything does not use up the others' time. The error is that of the last one.
pub async fn connect<T: ToSocketAddrs>(places: &[T], until: Instant) -> io::Result<TcpStream> {
    let mut addresses: Vec<SocketAddr> = Vec::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "it has no address");
    for place in places {
        match timeout_at(until, lookup_host(place)).await.unwrap_or_else(|_| Err(late())) {
            Ok(found) => addresses.extend(found),
            Err(error) => last = error,
        }
    }
    for (address, left) in addresses.iter().zip((1..=addresses.len()).rev()) {
        let part = until.saturating_duration_since(Instant::now()) / u32::try_from(left).unwrap_or(u32::MAX);
        match timeout(part, TcpStream::connect(address)).await.unwrap_or_else(|_| Err(late())) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    fn soon(seconds: u64) -> Instant {
        Instant::now() + Duration::from_secs(seconds)
    }

    #[tokio::test]
    async fn an_address_where_nobody_is_costs_nothing_but_itself() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = listener.local_addr().unwrap();
        let nobody = SocketAddr::new([127, 0, 0, 2].into(), there.port());
        let stream = connect(&[nobody, there], soon(60)).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), there);
        let error = connect(&[nobody], soon(60)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        // A name that is none takes no place from one that is.
        assert!(connect(&["nowhere.invalid:1".to_owned(), there.to_string()], soon(60)).await.is_ok());
    }

    #[tokio::test]
    async fn an_address_that_swallows_everything_has_only_its_part_of_the_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = listener.local_addr().unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new([127, 0, 0, 2].into(), there.port())).unwrap();
        // One may wait to be accepted. Of those after it the kernel drops the first packet.
        let full = socket.listen(0).unwrap();
        let dead = full.local_addr().unwrap();
        let _waiting = TcpStream::connect(dead).await.unwrap();
        let stream = connect(&[dead, there], soon(4)).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), there);
        assert_eq!(connect(&[dead], soon(1)).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
